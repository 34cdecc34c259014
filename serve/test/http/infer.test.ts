// Inference over REST: the forms of requests that real clients send, and of their answers.
import { deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { bytesOfElements } from "../../lib/protocol/tensors.ts";
import type { InferRequest } from "../../lib/protocol/types.ts";
import { type Answer, startServer, type TestServer } from "./server.ts";

const path = "/v2/models/vgg11/infer";
const lengthHeader = "Inference-Header-Content-Length";
/** Begins as a JPEG does: class 3, value 64. */
const jpeg = Buffer.concat([Buffer.from("ffd8ffe0", "hex"), Buffer.alloc(60, 7)]);

/** Joins JSON and tensors, as binary_tensor_data says. */
function binary(json: unknown, ...parts: Uint8Array[]) {
  const head = Buffer.from(JSON.stringify(json));
  return {
    body: Buffer.concat([head, ...parts]),
    headers: { [lengthHeader]: String(head.length) },
  };
}

/** Splits an answer with tensors behind its JSON. */
function split({ headers, body }: Pick<Answer, "headers" | "body">) {
  const length = Number(headers[lengthHeader.toLowerCase()]);
  const json = JSON.parse(body.subarray(0, length).toString());
  return { json, tensors: body.subarray(length) };
}

const asked = ({ state }: TestServer) => state.requests.at(-1) as InferRequest;
const image = { name: "image", shape: [1, 1], datatype: "BYTES" };
const base64 = { content_type: "base64" };

describe("JSON", () => {
  const post = async (server: TestServer, request: unknown) =>
    server.call(path, { body: JSON.stringify(request) });
  const numbers = { name: "input", shape: [2, 3], datatype: "UINT8" };

  it("has lists that are flat, or nested as the shape is", async () => {
    const server = await startServer();
    for (const data of [
      [1, 2, 3, 4, 5, 6],
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ]) {
      const answer = await post(server, { id: "7", inputs: [{ ...numbers, data }] });
      expect(answer.json()).toEqual({
        model_name: "vgg11",
        model_version: "1",
        id: "7",
        outputs: [
          {
            name: "probabilities",
            datatype: "FP32",
            shape: [2, 4],
            data: [0, 3, 0.25, 0.375, 3, 0.125, 0.25, 0.375],
          },
        ],
      });
      expect(asked(server).inputs[0]!.data).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6));
    }
  });

  it("has texts, and says which stand for base64", async () => {
    const server = await startServer();
    await post(server, { inputs: [{ ...image, parameters: base64, data: [["/9j/"]] }] });
    expect(asked(server).inputs[0]).toMatchObject({
      data: [Buffer.from("/9j/")],
      parameters: base64,
    });
    await post(server, { inputs: [{ ...image, data: ["é"] }] });
    expect(asked(server).inputs[0]).toMatchObject({ data: [Buffer.from("é")], parameters: {} });
  });

  it("passes priority, deadline in microseconds, id, and no unknown word", async () => {
    const server = await startServer();
    const inputs = [{ ...numbers, data: [1, 2, 3, 4, 5, 6], parameters: { shared: true } }];
    const parameters = { priority: 2, timeout: 1500, headers: "x", triton_enable: true };
    await post(server, { id: "", model_name: "other", parameters, inputs, outputs: null });
    expect(asked(server)).toMatchObject({
      model: "vgg11",
      priority: 2,
      timeoutMs: 1.5,
      client: "127.0.0.1",
      outputs: [],
      inputs: [{ parameters: { shared: true } }],
      origin: { protocol: "http" },
    });
    expect(asked(server).id).toBeUndefined();
    await post(server, { parameters: { timeout: 0 }, inputs });
    expect(asked(server)).toMatchObject({ priority: 0 });
    expect(asked(server).timeoutMs).toBeUndefined();
  });

  it("waits no longer than Envoy does", async () => {
    const server = await startServer();
    const send = async (envoy: string, timeout: number) => {
      const headers = { "x-envoy-expected-rq-timeout-ms": envoy, traceparent: "00-1-2-01" };
      const inputs = [{ ...image, data: ["a"] }];
      const body = JSON.stringify({ parameters: { timeout }, inputs });
      await server.call(path, { body, headers });
      expect(asked(server).origin!.traceparent).toBe("00-1-2-01");
      return asked(server).timeoutMs;
    };
    expect(await send("250", 500_000)).toBe(250);
    expect(await send("250", 100_000)).toBe(100);
    expect(await send("250", 0)).toBe(250);
    expect(await send("soon", 0)).toBeUndefined();
  });

  it("writes NaN as null", async () => {
    const server = await startServer();
    const inputs = [{ name: "input", shape: [1, 1], datatype: "FP32", data: [1] }];
    const { engine } = server;
    engine.infer = async () => ({
      model: "vgg11",
      version: "1",
      outputs: [
        {
          name: "logits",
          datatype: "FP32",
          shape: [1, 3],
          data: Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, 1),
        },
      ],
    });
    const answer = await post(server, { inputs });
    expect(answer.json().outputs[0].data).toEqual([null, null, 1]);
  });
});

describe("binary tensors", () => {
  const input = (size: number) => ({ ...image, parameters: { binary_data_size: size } });
  const element = bytesOfElements([jpeg]);
  const outputs = [{ name: "probabilities", parameters: { classification: 2, binary_data: true } }];

  it("come behind the JSON, and go back so", async () => {
    const server = await startServer();
    const request = { inputs: [input(element.length)], outputs };
    const answer = await server.call(path, binary(request, element));
    expect(answer).toMatchObject({
      status: 200,
      headers: { "content-type": "application/octet-stream" },
    });
    const { json, tensors } = split(answer);
    const texts = bytesOfElements([Buffer.from("64.000000:3:dog"), Buffer.from("0.250000:2:cat")]);
    expect(json.outputs).toEqual([
      {
        name: "probabilities",
        datatype: "BYTES",
        shape: [1, 2],
        parameters: { binary_data_size: texts.length },
      },
    ]);
    expect(tensors).toEqual(Buffer.from(texts));
  });

  it("go back as each output asks, or as the whole request does", async () => {
    const server = await startServer();
    const ways = async (all: boolean | undefined, own: (boolean | undefined)[]) => {
      const request = {
        parameters: { binary_data_output: all },
        inputs: [input(element.length)],
        outputs: ["probabilities", "logits"].map((name, i) => ({
          name,
          parameters: { binary_data: own[i] },
        })),
      };
      const answer = await server.call(path, binary(request, element));
      const isBinary = answer.headers[lengthHeader.toLowerCase()] !== undefined;
      const { json, tensors } = isBinary ? split(answer) : { json: answer.json(), tensors: "" };
      const described = json.outputs as { data?: unknown }[];
      expect(tensors.length).toBe(16 * described.filter(({ data }) => data === undefined).length);
      return described.map(({ data }) => data === undefined);
    };
    expect(await ways(undefined, [undefined, undefined])).toEqual([false, false]);
    expect(await ways(undefined, [true, undefined])).toEqual([true, false]);
    expect(await ways(true, [undefined, false])).toEqual([true, false]);
    expect(await ways(true, [undefined, undefined])).toEqual([true, true]);
    expect(await ways(false, [undefined, true])).toEqual([false, true]);
  });

  it("are several images in order, at any place in the body", async () => {
    const server = await startServer();
    for (const pad of ["", " ", "  ", "   "]) {
      const data = Float32Array.of(1.5, -2, 3, 4);
      const bytes = new Uint8Array(data.buffer);
      const parameters = { binary_data_size: bytes.length };
      const inputs = [{ name: `input${pad}`, shape: [2, 2], datatype: "FP32", parameters }];
      expect(await server.call(path, binary({ inputs }, bytes))).toMatchObject({ status: 200 });
      expect(asked(server).inputs[0]!.data).toEqual(data);
    }
  });

  it("may be packed together with the JSON, and be answered so", async () => {
    const server = await startServer();
    const plain = binary({ inputs: [input(element.length)] }, element);
    for (const [encoding, pack, unpack] of [
      ["gzip", gzipSync, gunzipSync],
      ["deflate", deflateSync, inflateSync],
    ] as const) {
      const headers = { ...plain.headers, "Content-Encoding": encoding };
      const answer = await server.call(path, { body: pack(plain.body), headers });
      expect(answer.status).toBe(200);
      const many = Float32Array.from({ length: 4000 }, (_, i) => i);
      server.engine.infer = async () => ({
        model: "vgg11",
        version: "1",
        outputs: [{ name: "logits", datatype: "FP32", shape: [1, 4000], data: many }],
      });
      const request = { parameters: { binary_data_output: true }, inputs: [input(element.length)] };
      const { body, headers: length } = binary(request, element);
      const packed = await server.call(path, {
        body,
        headers: { ...length, "Accept-Encoding": encoding },
      });
      expect(packed.headers).toMatchObject({
        "content-encoding": encoding,
        vary: "Accept-Encoding",
      });
      const { tensors } = split({ headers: packed.headers, body: unpack(packed.body) });
      expect(Buffer.from(tensors)).toEqual(Buffer.from(many.buffer));
    }
  });
});

describe("a raw body", () => {
  const ways: Record<string, string>[] = [
    { [lengthHeader]: "0" },
    { [lengthHeader]: "0", "Content-Type": "application/x-www-form-urlencoded" },
    { "Content-Type": "image/jpeg" },
  ];

  it("is the image, and every output comes back as bytes", async () => {
    const server = await startServer();
    for (const headers of ways) {
      const answer = await server.call(path, { body: jpeg, headers });
      const { json, tensors } = split(answer);
      expect(json.outputs[0]).toMatchObject({ name: "probabilities", shape: [1, 4] });
      expect(tensors.readFloatLE(12)).toBe(64);
      expect(asked(server).inputs[0]).toMatchObject({ name: "image", shape: [1] });
    }
  });

  it("is any number of images if the model's input is pixels", async () => {
    const server = await startServer();
    server.state.input = { name: "input", datatype: "FP32", shape: [-1, 2, 1, 1] };
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    const headers = ways[0]!;
    await server.call(path, { body: new Uint8Array(data.buffer), headers });
    expect(asked(server).inputs[0]).toMatchObject({ name: "input", shape: [3, 2, 1, 1], data });
    for (const size of [0, 4, 20]) {
      const answer = await server.call(path, { body: Buffer.alloc(size), headers });
      expect([answer.status, answer.json().error]).toEqual([
        400,
        expect.stringContaining('input "input"'),
      ]);
    }
  });

  it("is not empty", async () => {
    const server = await startServer();
    for (const headers of ways)
      expect(await server.call(path, { body: "", headers })).toMatchObject({ status: 400 });
  });
});
