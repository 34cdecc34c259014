// An option that is undefined counts as absent, at every call that takes options.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import {
  Graph,
  GraphBuilder,
  openDevice,
  preprocess,
  readCheckpoint,
  Tensor,
  Vgg,
  writeSafetensors,
} from "../../lib/index.ts";

const image = fileURLToPath(new URL("../golden/images/chroma420.jpg", import.meta.url));
const preprocessing = {
  ...{ mean: undefined, std: undefined, resize: undefined, crop: undefined },
  ...{ interpolation: undefined, channels: undefined, maxPixels: undefined },
  orientation: undefined,
};

it("an option that is undefined is absent", async () => {
  using device = await openDevice("cpu", {
    threads: undefined,
    instructionSet: undefined,
    deterministic: undefined,
    maxQueuedBytes: undefined,
  });
  const common = {
    ...{ device: undefined, precision: undefined, labels: undefined },
    ...{ inChannels: undefined, imageSize: undefined, preprocess: undefined },
  };
  await using made = await Vgg.create("vgg11", {
    ...common,
    seed: undefined,
    numClasses: 2,
    hiddenFeatures: 64,
  });
  expect([made.inChannels, made.imageSize]).toEqual([3, 224]);
  const sized = { ...common, device, imageSize: 32, numClasses: 2, hiddenFeatures: 64 };
  await using model = await Vgg.create("vgg11", { ...sized, preprocess: preprocessing });

  const x = Tensor.randn([1, 3, 32, 32]);
  const logits = await model.forward(x, {
    signal: undefined,
    into: undefined,
    outputs: undefined,
  });
  expect(logits.shape).toEqual([1, 2]);
  const layers = await model.forward(x, { outputs: ["avgpool"], into: undefined });
  expect(layers.avgpool.shape).toEqual([1, 512, 7, 7]);
  const classified = { top: undefined, batchSize: undefined, signal: undefined };
  expect(await model.classify(image, classified)).toHaveLength(2);
  const profiled = { warmup: undefined, iterations: 1, signal: undefined };
  expect(await model.profile(1, profiled)).not.toHaveLength(0);
  await model.loadStateDict(await model.stateDict(), { strict: undefined });

  const reading = { signal: undefined, maxBytes: undefined, timeoutMs: undefined };
  const options = { ...preprocessing, ...reading, decodeTimeoutMs: undefined };
  const read = await preprocess(image, { ...options, resizeSize: undefined, cropSize: undefined });
  expect(read.shape).toEqual([1, 3, 224, 224]);

  const folder = mkdtempSync(join(tmpdir(), "vgg-undefined-"));
  try {
    const path = join(folder, "x.safetensors");
    await writeSafetensors(path, { x }, { metadata: undefined });
    const limits = { key: undefined, verify: undefined, maxHeaderBytes: undefined };
    expect((await readCheckpoint(path, limits)).get("x")!.data).toEqual(x.data);
    await model.save(path, { metadata: undefined });
    const loading = { signal: undefined, onProgress: undefined, ...limits };
    await using loaded = await Vgg.load("vgg11", path, { ...common, ...loading, device });
    expect(loaded.numClasses).toBe(2);
  } finally {
    rmSync(folder, { recursive: true });
  }

  const builder = new GraphBuilder();
  const input = builder.input("x", [3, 4, 4], undefined);
  const settings = { bias: undefined, relu: undefined, stride: undefined, padding: undefined };
  const conv = builder.conv2d(input, builder.parameter("w", [2, 3, 1, 1]), settings);
  const pool = builder.maxPool2d(conv, { size: undefined, stride: undefined, padding: undefined });
  const gemm = { bias: undefined, relu: undefined };
  const row = builder.gemm(builder.flatten(pool), builder.parameter("v", [5, 8]), gemm);
  await using graph = Graph.compile(device, builder.finish({ row }), undefined);
  await graph.parameters.fill("w", 1);
  await graph.parameters.fill("v", 1);
  const run = { signal: undefined, into: undefined };
  expect((await graph.run({ x: Tensor.zeros([1, 3, 4, 4]) }, run)).row.shape).toEqual([1, 5]);
});
