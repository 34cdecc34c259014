// The calls of the server's soak: good, bad, canceled, slow and over-limit requests, over REST and gRPC, and reloads.
import { once, setMaxListeners } from "node:events";
import { Agent, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
} from "../../dist/grpc/gen/grpc_service_pb.js";

const callPath = "/inference.GRPCInferenceService/ModelInfer";

/** The kinds of calls. */
export const kinds = ["rest", "grpc", "bad", "canceled", "slow", "overLimit", "burst", "reload"];

/** Differences that shared runs may make. */
const tolerance = 1e-4;

/** @param given ports, the limits of the server, an admin's token, pixels of images and their probabilities, and kinds of calls to omit */
export function makeLoad(given) {
  const { http, grpc: grpcPort, limits, token, side, images, expected, count, without } = given;
  const check = (isRight, what) => {
    if (!isRight) throw new Error(what);
  };
  const same = (values, image) =>
    check(
      values.length === expected[image].length &&
        expected[image].every((value, i) => Math.abs(value - values[i]) < tolerance),
      `the probabilities of image ${image} are wrong: ${values}`,
    );
  const ppm = images.map((pixels) =>
    Buffer.concat([Buffer.from(`P6\n${side} ${side}\n255\n`), pixels]),
  );
  let agent;

  function send(path, body, { headers = {}, signal } = {}) {
    return new Promise((resolve, reject) => {
      const options = { port: http, path, method: "POST", agent, signal };
      const outgoing = httpRequest({
        ...options,
        headers: { "Content-Length": body.length, ...headers },
      });
      outgoing.on("error", reject);
      outgoing.on("response", async (incoming) => {
        const bytes = await buffer(incoming).catch(reject);
        resolve({ status: incoming.statusCode, headers: incoming.headers, bytes });
      });
      outgoing.end(body);
    });
  }
  const json = { "Content-Type": "application/json" };
  const sendJson = (path, value) =>
    send(path, Buffer.from(JSON.stringify(value)), { headers: json });

  const message = (image, changes = {}) =>
    toBinary(
      ModelInferRequestSchema,
      create(ModelInferRequestSchema, {
        modelName: "small",
        inputs: [{ name: "pixels", datatype: "UINT8", shape: [1, side, side, 3].map(BigInt) }],
        rawInputContents: [images[image]],
        ...changes,
      }),
    );
  let client;
  function call(bytes, onCall) {
    return new Promise((resolve) => {
      const pass = (value) => value;
      const started = client.makeUnaryRequest(
        callPath,
        (value) => Buffer.from(value),
        pass,
        bytes,
        (error, answer) => resolve({ code: error?.code ?? 0, answer }),
      );
      onCall?.(started);
    });
  }
  const floats = (bytes) => [...new Float32Array(Uint8Array.from(bytes).buffer)];

  const calls = {
    async rest() {
      await Promise.all(
        ppm.map(async (body, image) => {
          const { status, headers, bytes } = await send("/v2/models/small/infer", body, {
            headers: { "Inference-Header-Content-Length": "0" },
          });
          check(status === 200, `a good request got ${status}: ${bytes}`);
          same(floats(bytes.subarray(Number(headers["inference-header-content-length"]))), image);
        }),
      );
      count("good requests over REST", ppm.length);
    },
    async grpc() {
      await Promise.all(
        images.map(async (_, image) => {
          const { code, answer } = await call(message(image));
          check(code === 0, `a good call got ${code}`);
          same(floats(fromBinary(ModelInferResponseSchema, answer).rawOutputContents[0]), image);
        }),
      );
      count("good calls of gRPC", images.length);
    },
    async bad() {
      const wrong = [
        [400, send("/classify", Buffer.from("no image"))],
        [404, send("/classify?model=none", ppm[0])],
        [400, send("/v2/models/small/infer", Buffer.from("{"), { headers: json })],
        [
          400,
          sendJson("/v2/models/small/infer", {
            inputs: [{ name: "x", datatype: "FP32", shape: [1], data: [1] }],
          }),
        ],
        [401, send("/v2/repository/models/small/load", Buffer.from("{}"), { headers: json })],
      ];
      for (const [expectedStatus, answer] of wrong) {
        const { status, bytes } = await answer;
        check(status === expectedStatus, `a bad request got ${status}: ${bytes}`);
      }
      const codes = [
        [grpc.status.NOT_FOUND, message(0, { modelName: "none" })],
        [grpc.status.INVALID_ARGUMENT, message(0, { rawInputContents: [Buffer.alloc(3)] })],
        [grpc.status.INVALID_ARGUMENT, Buffer.from([255, 255, 255])],
      ];
      for (const [wanted, bytes] of codes) {
        const { code } = await call(bytes);
        check(code === wanted, `a bad call got ${code} for ${wanted}`);
      }
      count("bad requests", wrong.length + codes.length);
    },
    async canceled(round) {
      const controller = new AbortController();
      const { signal } = controller;
      setMaxListeners(0, signal);
      const sent = ppm.map((body) =>
        send("/classify", body, { signal }).catch(({ name }) => check(name === "AbortError", name)),
      );
      const called = images.map((_, image) =>
        call(message(image), (one) => signal.addEventListener("abort", () => one.cancel())),
      );
      await delay(round % 8);
      controller.abort();
      await Promise.all(sent);
      for (const { code } of await Promise.all(called))
        check(code === 0 || code === grpc.status.CANCELLED, `a canceled call got ${code}`);
      count("canceled requests", sent.length + called.length);
    },
    async slow(round) {
      const head = (length) =>
        `POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;
      const open = async () => {
        const socket = connect(http, "127.0.0.1");
        socket.on("error", () => {});
        await once(socket, "connect");
        return socket;
      };
      const [whole, half, left] = [await open(), await open(), await open()];
      const [body] = ppm;
      const text = head(body.length);
      for (const [index, letter] of [...text.slice(0, 20)].entries()) {
        whole.write(letter);
        if (index % 4 === 0) await delay(round % 5);
      }
      whole.write(text.slice(20));
      for (let at = 0; at < body.length; at += 500) {
        whole.write(body.subarray(at, at + 500));
        await delay(2);
      }
      // This one ends its side after the request. To the server it has left, and the connection ends.
      half.end(Buffer.concat([Buffer.from(text), body]));
      left.write(Buffer.concat([Buffer.from(text), body.subarray(0, 700)]));
      const answer = async (socket) => {
        for await (const part of socket) if (`${part}`.includes("200 OK")) return true;
        return false;
      };
      check(await answer(whole), "a slow request got no answer");
      await answer(half);
      for (const socket of [whole, half, left]) socket.destroy();
      count("slow requests", 3);
    },
    async overLimit() {
      const body = Buffer.alloc(limits.bodyBytes + 1);
      // The client may see its connection end while it still sends.
      const { status } = await send("/classify", body).catch(() => ({ status: 413 }));
      check(status === 413, `a body over the limit got ${status}`);
      const { code } = await call(message(0, { rawInputContents: [body] }));
      check(code === grpc.status.RESOURCE_EXHAUSTED, `a message over the limit got ${code}`);
      const many = Array.from(
        { length: limits.imagesPerRequest + 1 },
        () => `data:;base64,${ppm[0].toString("base64")}`,
      );
      const answer = await sendJson("/classify", many);
      check(answer.status === 413, `too many images got ${answer.status}`);
      count("requests over limits", 3);
    },
    async burst(round) {
      if (round % 4 !== 1) return;
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, i) => send("/classify", ppm[i % ppm.length])),
      );
      for (const { status, headers } of answers)
        check(
          status === 200 || (status === 503 && headers["retry-after"] !== undefined),
          `a request of a burst got ${status}`,
        );
      count("requests of bursts", answers.length);
      count("of these refused", answers.filter(({ status }) => status === 503).length);
    },
    async reload(round) {
      if (round % 8 !== 0) return;
      const headers = { ...json, Authorization: `Bearer ${token}` };
      const { status, bytes } = await send("/v2/repository/models/small/load", Buffer.from("{}"), {
        headers,
      });
      check(status === 200, `a reload got ${status}: ${bytes}`);
      count("reloads");
    },
  };

  for (const kind of without) delete calls[kind];

  /** All calls at the same time, with connections of their own. */
  return async (round) => {
    agent = new Agent({ keepAlive: true, maxSockets: 256 });
    client = new grpc.Client(`127.0.0.1:${grpcPort}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    try {
      // What fills the queue comes after what must be answered.
      const { burst, ...others } = calls;
      await Promise.all(Object.values(others).map((one) => one(round)));
      await burst?.(round);
    } finally {
      agent.destroy();
      client.close();
    }
  };
}
