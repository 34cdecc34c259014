// A real network behind gRPC: the answers, what is counted, and the end.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Vgg } from "vgg-cudnn";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  GRPCInferenceService as Inference,
  ModelInferRequestSchema,
  type ModelInferResponse,
} from "../../lib/grpc/gen/grpc_service_pb.ts";
import { type ServeOptions, type Server, serve } from "../../lib/index.ts";
import { fileOf, labels, saveSmallModel } from "../support/small-model.ts";
import { connectClient, grpcClient } from "./servers.ts";

let saved: Awaited<ReturnType<typeof saveSmallModel>>;
let server: Server;
let options: ServeOptions;
const lines: Record<string, unknown>[] = [];
beforeAll(async () => {
  saved = await saveSmallModel();
  const line = (fields: object) => void lines.push({ ...fields });
  options = {
    models: { small: { weights: saved.weights, devices: ["cpu"], threads: 2, warmup: false } },
    http: false,
    grpc: { port: 0 },
    metrics: { port: 0 },
    logger: { info: line, warn: line, error: line },
    drainMs: 0,
  };
  server = await serve(options);
});
afterAll(async () => {
  await server?.close();
  saved?.remove();
});

const hasOpenssl = ["/usr/bin/openssl", "/usr/local/bin/openssl"].some((path) => existsSync(path));

/** BYTES with the length before each element. */
function bytesOf(...elements: Uint8Array[]): Buffer {
  return Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.length);
      return [length, element];
    }),
  );
}

function imagesRequest(images: Uint8Array[], changes: object = {}) {
  return create(ModelInferRequestSchema, {
    modelName: "small",
    inputs: [{ name: "image", datatype: "BYTES", shape: [BigInt(images.length), 1n] }],
    rawInputContents: [bytesOf(...images)],
    ...changes,
  });
}

describe("a server of gRPC", () => {
  it("gives the classes of each image in order, as the library does", async () => {
    const { inference } = connectClient(server.addresses.grpc!.port);
    const images = [1, 2, 3].map((seed) => fileOf(seed));
    const { outputs, rawOutputContents } = await inference.modelInfer(
      imagesRequest(images, {
        outputs: [
          {
            name: "probabilities",
            parameters: { classification: { parameterChoice: { case: "int64Param", value: 2n } } },
          },
        ],
      }),
    );
    expect(outputs).toMatchObject([{ name: "probabilities", datatype: "BYTES", shape: [3n, 2n] }]);
    const text = Buffer.from(rawOutputContents[0]!).toString("latin1");
    const found = [...text.matchAll(/\d\.\d{6}:(\d+):(class \w)/g)].map((match) => match[2]);
    await using model = await Vgg.load(saved.weights, { device: "cpu" });
    const expected = await model.classify(images, { top: 2 });
    expect(found).toEqual(expected.flat().map(({ label }) => label));
  });

  it("takes contents and raw bytes of a tensor, and both give equal values", async () => {
    const { inference } = connectClient(server.addresses.grpc!.port);
    const values = Float32Array.from({ length: 3 * 32 * 32 }, (_, index) => Math.sin(index));
    const input = { name: "input", datatype: "FP32", shape: [1n, 3n, 32n, 32n] };
    const raw = await inference.modelInfer({
      modelName: "small",
      inputs: [input],
      rawInputContents: [new Uint8Array(values.buffer)],
    });
    const typed = await inference.modelInfer({
      modelName: "small",
      inputs: [{ ...input, contents: { fp32Contents: [...values] } }],
    });
    expect(raw.outputs).toMatchObject([
      { name: "probabilities", shape: [1n, BigInt(labels.length)] },
    ]);
    expect(raw.rawOutputContents[0]).toEqual(typed.rawOutputContents[0]);
  });

  it("counts what it serves before the answer, and writes a line for it", async () => {
    const { port } = server.addresses.grpc!;
    const { inference } = connectClient(port);
    const count = async () => (await inference.modelStatistics({})).modelStats[0]!.inferenceCount;
    const before = await count();
    await inference.modelInfer(imagesRequest([fileOf(1), fileOf(2)], { id: "a line" }));
    expect(await count()).toBe(before + 2n);
    expect(lines.filter(({ id }) => id === "a line")).toMatchObject([
      { kind: "infer", protocol: "grpc", status: 200, images: 2, client: "127.0.0.1" },
    ]);
    const url = `http://127.0.0.1:${server.addresses.metrics!.port}/metrics`;
    expect(await (await fetch(url)).text()).toContain(
      `nv_inference_count{model="small",version="1"} ${before + 2n}`,
    );
  });

  it("answers a text that is no image with INVALID_ARGUMENT, and an unknown model with NOT_FOUND", async () => {
    const client = grpcClient(server.addresses.grpc!.port);
    const { modelInfer } = Inference.method;
    const text = await client.call(modelInfer, imagesRequest([Buffer.from("no image at all")]));
    expect(text.code).toBe(3);
    const nope = await client.call(modelInfer, imagesRequest([], { modelName: "nope" }));
    expect([nope.code, nope.details]).toEqual([
      5,
      "Request for unknown model: 'nope' is not found",
    ]);
  });

  it.skipIf(!hasOpenssl)(
    "serves over TLS, to clients with a certificate if it has their authority",
    async () => {
      const key = join(saved.folder, "key.pem");
      const cert = join(saved.folder, "cert.pem");
      execFileSync(
        "openssl",
        [
          ...[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
          ],
          ...["-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-days", "2"],
          ...["-addext", "subjectAltName=DNS:localhost"],
        ],
        { stdio: "ignore" },
      );
      await using secure = await serve({
        ...options,
        grpc: { port: 0, tls: { key, cert, ca: cert } },
      });
      const liveFrom = async (nodeOptions: object) => {
        const baseUrl = `https://localhost:${secure.addresses.grpc!.port}`;
        const transport = createGrpcTransport({ baseUrl, nodeOptions });
        return createClient(Inference, transport).serverLive({});
      };
      const ca = readFileSync(cert);
      expect(await liveFrom({ ca, cert: ca, key: readFileSync(key) })).toMatchObject({
        live: true,
      });
      await expect(liveFrom({ ca })).rejects.toThrow();
      await expect(liveFrom({})).rejects.toThrow();
    },
  );

  it("refuses to load and unload without a token", async () => {
    const client = grpcClient(server.addresses.grpc!.port);
    for (const method of Inference.methods.filter(({ name }) => /^RepositoryModel/.test(name)))
      expect((await client.call(method, create(method.input))).code).toBe(16);
  });

  it("gives 40 callers at once the answers of their own images", async () => {
    const { inference } = connectClient(server.addresses.grpc!.port);
    const alone: ModelInferResponse[] = [];
    for (let seed = 0; seed < 4; seed += 1)
      alone.push(await inference.modelInfer(imagesRequest([fileOf(seed)])));
    const together = await Promise.all(
      Array.from({ length: 40 }, (_, caller) =>
        inference.modelInfer(imagesRequest([fileOf(caller % 4)])),
      ),
    );
    const valuesOf = ({ rawOutputContents: [bytes] }: ModelInferResponse) =>
      new Float32Array(Uint8Array.from(bytes!).buffer);
    for (const [caller, answer] of together.entries()) {
      const expected = valuesOf(alone[caller % 4]!);
      for (const [index, value] of valuesOf(answer).entries())
        expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-5);
    }
  });
});
