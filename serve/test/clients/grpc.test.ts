// Calls 14 and 17: tritonclient over gRPC.
import { version } from "vgg-cudnn";
import { describe, expect, inject, it } from "vitest";
import { expectClasses, extensions } from "./expected.ts";
import { photos } from "./images.ts";
import { has, python } from "./programs.ts";
import { readMetrics } from "./server.ts";

describe.runIf(has("python"))("tritonclient over gRPC", () => {
  const shared = inject("shared");
  const url = shared?.server.grpc;

  it("14: reads health, metadata, statistics and the repository, and classifies an image", async () => {
    const before = await readMetrics(shared.server);
    const images = photos.slice(0, 1);
    const lines = await python("triton_grpc", "facts", { url, images });
    const [health, server, model, found, statistics, index] = lines;
    expect(health).toEqual({ live: true, ready: true, models: [true, true, false] });
    expect(server).toEqual({ name: "vgg-cudnn-serve", version, extensions });
    expect(model.metadata).toMatchObject({
      name: "vgg11",
      versions: ["1"],
      inputs: [{ name: "image", datatype: "BYTES", shape: ["-1", "1"] }],
      outputs: [{ name: "probabilities", datatype: "FP32", shape: ["-1", "1000"] }],
    });
    expect(model.config).toMatchObject({ name: "vgg11", max_batch_size: 8 });
    expect(model.unknown).toEqual({
      type: "InferenceServerException",
      status: "StatusCode.NOT_FOUND",
      message: "Request for unknown model: 'nope' is not found",
    });
    expectClasses(images, found.classes);
    const [stats] = statistics.model_stats;
    const count = before("nv_inference_count", 'model="vgg11"') + 1;
    expect(stats).toMatchObject({ name: "vgg11", version: "1", inference_count: String(count) });
    expect(
      index.models.map(({ name, state }: { name: string; state: string }) => [name, state]),
    ).toEqual([
      ["vgg11", "READY"],
      ["small", "READY"],
    ]);
  });

  it("17: answers the requests of a stream, and goes on after an unknown model", async () => {
    const images = photos.slice(0, 3);
    const lines = await python("triton_grpc", "stream", { url, images });
    const errors = lines.filter((line) => "error" in line);
    expect(errors.length).toBe(1);
    expect(errors[0].error).toContain("unknown model: 'nope'");
    const answers = lines.filter((line) => "classes" in line);
    const asked = [...images, images[0]!];
    expect(answers.map(({ id }) => id)).toEqual(asked.map((path) => `vgg11 ${path}`));
    for (const [at, { classes }] of answers.entries()) expectClasses([asked[at]!], classes);
  });
});
