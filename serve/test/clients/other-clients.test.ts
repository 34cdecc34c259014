// Calls 19 to 22: kserve, open-inference and perf_analyzer. Also grpcurl, and a parser of Prometheus's format.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tensor, Vgg, version } from "vgg-cudnn";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { classesOf, softmax } from "./expected.ts";
import { photos } from "./images.ts";
import { has, type Line, program, python, run } from "./programs.ts";
import { readMetrics } from "./server.ts";

const shared = inject("shared");

describe.runIf(has("python"))("other clients in Python", () => {
  let expected: number[];
  beforeAll(async () => {
    await using model = await Vgg.load(shared.weights.vgg11, { device: "cpu" });
    const data = new Float32Array(readFileSync(shared.x).buffer);
    const logits = await model.forward(new Tensor([1, 3, 224, 224], data));
    expected = softmax(logits.data as Float32Array);
  });

  function expectProbabilities(values: number[]): void {
    expect(values.length).toBe(1000);
    const off = expected.map((value, at) => Math.abs(value - values[at]!));
    expect(Math.max(...off)).toBeLessThan(1e-6);
  }

  it("19: kserve over REST reads health, and infers with JSON, tensors and images", async () => {
    const { http: url } = shared.server;
    const images = photos.slice(0, 1);
    const [health, json, binary, found, unknown] = await python("kserve_clients", "rest", {
      ...{ url, x: shared.x, images },
    });
    expect(health).toEqual({ live: true, ready: true, model: true });
    for (const { shape, values } of [json, binary]) {
      expect(shape).toEqual([1, 1000]);
      expectProbabilities(values[0]);
    }
    const [best] = classesOf(images);
    expect(found.classes.map((text: string) => text.split(":").slice(1).join(":"))).toEqual(
      best!.map(({ index, label }) => `${index}:${label}`),
    );
    expect(unknown).toMatchObject({ error: "HTTPStatusError", status: 404 });
    expect(unknown.text).toContain("unknown model: 'nope'");
  });

  it("20: kserve over gRPC infers with contents and raw bytes, and loads a model", async () => {
    const { grpc: url } = shared.server;
    const [health, contents, raw, loaded] = await python("kserve_clients", "grpc", {
      ...{ url, x: shared.x, token: shared.admin },
    });
    expect(health).toEqual({ live: true, ready: true, model: true });
    for (const { shape, values } of [contents, raw]) {
      expect(shape).toEqual([1, 1000]);
      expectProbabilities(values[0]);
    }
    expect(loaded).toEqual({ model: "small", loaded: true });
  });

  const inputs = [["image", "BYTES", [-1, 1]]];
  const server = ["vgg-cudnn-serve", version];

  it("21: open-inference-openapi and open-inference-grpc read metadata and infer", async () => {
    const [facts, answer] = await python("open_inference_clients", "rest", {
      ...{ url: shared.server.http, x: shared.x },
    });
    expect(facts).toEqual({ server, model: "vgg11", inputs });
    expect(answer).toMatchObject({ id: "7", name: "probabilities", shape: [1, 1000] });
    expectProbabilities(answer.values.flat());
    const [grpcFacts, grpcAnswer] = await python("open_inference_clients", "grpc", {
      ...{ url: shared.server.grpc, x: shared.x },
    });
    expect(grpcFacts).toEqual({ live: true, ready: true, server, model: "vgg11", inputs });
    expect(grpcAnswer).toMatchObject({ id: "7", name: "probabilities", shape: [1, 1000] });
    expectProbabilities(grpcAnswer.values);
  });

  it("prometheus_client reads every metric", async () => {
    const [{ contentType }, ...families] = await python("metrics", "families", {
      url: shared.server.metrics,
    });
    expect(contentType).toContain("text/plain; version=0.0.4");
    const names = families.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain("nv_inference_count");
    for (const { name, type, help, samples } of families) {
      expect(["counter", "gauge", "histogram"], name).toContain(type);
      expect(help.length, name).toBeGreaterThan(10);
      const keys = samples.map(([sample, labels]: Line) => sample + JSON.stringify(labels));
      expect(new Set(keys).size, name).toBe(keys.length);
      if (type === "histogram") expectHistogram(samples);
    }
  });

  /** Buckets are cumulative, and the last one counts everything. */
  function expectHistogram(samples: [string, Record<string, string>, number][]): void {
    const series = new Map<string, { buckets: number[]; count: number }>();
    for (const [name, { le: _, ...labels }, value] of samples) {
      const key = JSON.stringify(labels);
      const one = series.get(key) ?? { buckets: [], count: -1 };
      if (name.endsWith("_bucket")) one.buckets.push(value);
      if (name.endsWith("_count")) one.count = value;
      series.set(key, one);
    }
    for (const { buckets, count } of series.values()) {
      expect(buckets.length).toBeGreaterThan(1);
      expect(buckets).toEqual([...buckets].sort((a, b) => a - b));
      expect(buckets.at(-1)).toBe(count);
    }
  }
});

describe.runIf(has("python", "perf_analyzer"))("perf_analyzer", () => {
  it.each([
    ["http", ["-i", "http"], "1:8"],
    ["grpc", ["-i", "grpc"], "1:8:7"],
    ["grpc with streams", ["-i", "grpc", "--streaming"], "1:8:7"],
  ])("22: over %s, finds that calls of 8 callers share runs", async (_, protocol, range) => {
    const image = readFileSync(photos[0]!).toString("base64");
    const input = join(shared.folder, "b64.json");
    writeFileSync(
      input,
      JSON.stringify({ data: [{ image: { content: { b64: image }, shape: [1] } }] }),
    );
    const url = protocol[1] === "http" ? shared.server.http : shared.server.grpc;
    const said = await run(
      program("perf_analyzer"),
      ...["-m", "small", "-u", url, ...protocol, "--input-data", input, "--shape", "image:1"],
      ...["--concurrency-range", range, "--measurement-interval", "300"],
      ...["--stability-percentage", "999", "--max-trials", "3"],
    );
    const levels = said.split("Request concurrency: ").slice(1);
    const of = (level: number) => {
      const text = levels.find((one) => one.startsWith(`${level}\n`))!;
      const read = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
      return { images: read("Inference count"), runs: read("Execution count") };
    };
    const [alone, eight] = [of(1), of(8)];
    expect(alone.images).toBeGreaterThan(0);
    expect(alone.runs).toBe(alone.images);
    expect(eight.runs).toBeGreaterThan(0);
    expect(eight.images).toBeGreaterThan(1.5 * eight.runs);
  });
});

describe.runIf(has("python", "grpcurl"))("grpcurl", () => {
  const proto = fileURLToPath(new URL("../../lib/grpc/proto/", import.meta.url));
  const files = ["grpc_service.proto", "health.proto"];
  const given = ["-plaintext", "-import-path", proto, ...files.flatMap((one) => ["-proto", one])];
  const grpcurl = (...args: string[]) => run(program("grpcurl"), ...given, ...args);

  it("checks the health, and lists and describes the services of the definitions", async () => {
    const { grpc: url } = shared.server;
    expect(JSON.parse(await grpcurl(url, "grpc.health.v1.Health/Check"))).toEqual({
      status: "SERVING",
    });
    const service = "inference.GRPCInferenceService";
    expect((await grpcurl("list")).trim().split("\n")).toEqual(["grpc.health.v1.Health", service]);
    expect(await grpcurl("describe", service)).toContain("rpc ModelInfer (");
    const ready = await grpcurl("-d", '{"name":"vgg11"}', url, `${service}/ModelReady`);
    expect(JSON.parse(ready)).toEqual({ ready: true });
    const metrics = await readMetrics(shared.server);
    expect(metrics("vgg_device_up")).toBeGreaterThan(0);
  });
});
