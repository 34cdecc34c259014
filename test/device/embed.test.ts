// Vgg.embed and embedEach: PyTorch's embeddings, what the options do, and what a call refuses.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  DeviceTensor,
  type EmbedOptions,
  preprocess,
  Tensor,
  Vgg,
  type VggError,
} from "../../lib/index.ts";
import { relativeError } from "../support/compare.ts";
import { devices, isSlow, testDevice } from "../support/devices.ts";
import {
  expectProbe,
  goldenImages,
  type Probe,
  readGolden,
  setGoldenParameters,
} from "../support/golden.ts";
import { small } from "../support/small-models.ts";

const image = (name: string) => fileURLToPath(new URL(`../golden/images/${name}`, import.meta.url));
const floats = (tensor: Tensor) => tensor.data as Float32Array;
const rowsOf = (tensor: Tensor) => {
  const [count, length] = tensor.shape as [number, number];
  return Array.from({ length: count }, (_, i) =>
    floats(tensor).slice(i * length, (i + 1) * length),
  );
};

interface EmbeddingsGolden {
  readonly seed: number;
  readonly numClasses: number;
  readonly input: readonly number[];
  readonly featuresMean: readonly (readonly number[])[];
  readonly avgpool: Probe;
  readonly fc1: Probe;
  readonly fc2: Probe;
}

const fullSize = devices.filter(
  ({ name, precision }, index) => precision === "float32" && (index === 0 || /^cuda/.test(name)),
);

describe.skipIf(isSlow)("embeddings-vgg16.json", () => {
  const golden = readGolden<EmbeddingsGolden>("uses/embeddings-vgg16.json");
  const { seed, numClasses, featuresMean } = golden;

  it.each(fullSize)("agrees with PyTorch on $name", async ({ open }) => {
    const device = await open();
    await using model = await Vgg.create("vgg16", { device, numClasses });
    await setGoldenParameters(model, seed);
    const images = goldenImages(seed, golden.input);
    const tolerance = 1e-5;
    const mean = await model.embed(images, { layer: "features", pool: "mean" });
    expect(mean.shape).toEqual([2, 512]);
    const error = relativeError(floats(mean), featuresMean.flat());
    console.log(`mean over features on ${device}: ${error.toExponential(2)}`);
    expect(error).toBeLessThanOrEqual(tolerance);
    for (const [layer, probe] of [
      ["avgpool", golden.avgpool],
      ["classifier.1", golden.fc1],
      ["classifier.4", golden.fc2],
    ] as const) {
      const embeddings = await model.embed(images, { layer });
      expect(embeddings.shape).toEqual(probe.shape);
      expectProbe(embeddings, probe, tolerance, layer);
    }
    expect(floats(await model.embed(images))).toEqual(
      floats(await model.embed(images, { layer: "classifier.5" })),
    );
  });
});

describe("Vgg.embed", () => {
  const width = small.hiddenFeatures;
  let model: Vgg;
  beforeAll(async () => {
    model = await Vgg.create("vgg11", { ...small, seed: 3 });
  });
  afterAll(() => model.dispose());
  const paths = ["landscape.png", "portrait.jpg", "palette.gif"].map(image);
  const crop = { resizeSize: 37, cropSize: 32 };

  it("gives the input of the last linear layer of images in any form", async () => {
    const embeddings = await model.embed(paths);
    expect(embeddings.shape).toEqual([3, width]);
    const images = await preprocess(paths, crop);
    const layers = await model.forward(images, { outputs: ["classifier.4"] });
    expect(relativeError(floats(embeddings), floats(layers["classifier.4"]))).toBeLessThan(1e-5);
    const weight = floats(await model.getParameter("classifier.6.weight"));
    const logits = floats(await model.forward(images));
    for (const [n, row] of rowsOf(embeddings).entries()) {
      const first = row.reduce((sum, x, i) => sum + x * weight[i]!, 0);
      expect(first).toBeCloseTo(logits[n * 10]!, 4);
    }
    const one = await model.embed(readFileSync(paths[0]!));
    expect(one.shape).toEqual([1, width]);
    expect(relativeError(floats(one), rowsOf(embeddings)[0]!)).toBeLessThan(1e-5);
    expect((await model.embed([])).shape).toEqual([0, width]);
  });

  it.each([
    ["features", [3, 512, 1, 1]],
    ["features.20", [3, 512, 1, 1]],
    ["features.0", [3, 64, 32, 32]],
    ["avgpool", [3, 512, 7, 7]],
    ["classifier", [3, 10]],
    ["classifier.0", [3, width]],
  ] as const)("flattens %s, and pools it", async (layer, shape) => {
    const images = await preprocess(paths, crop);
    const { [layer]: values } = await model.forward(images, { outputs: [layer] });
    expect(values.shape).toEqual(shape);
    const [count, channels, ...rest] = shape as readonly [number, number, ...number[]];
    const pixels = rest.reduce((a, b) => a * b, 1);
    const flat = await model.embed(paths, { layer });
    expect(flat.shape).toEqual([count, channels * pixels]);
    expect(relativeError(floats(flat), floats(values))).toBeLessThan(1e-5);
    const truth = { mean: [] as number[], max: [] as number[] };
    for (let i = 0; i < count * channels; i++) {
      const map = floats(values).subarray(i * pixels, (i + 1) * pixels);
      truth.mean.push(map.reduce((a, b) => a + b, 0) / pixels);
      truth.max.push(Math.max(...map));
    }
    for (const pool of ["mean", "max"] as const) {
      const pooled = await model.embed(paths, { layer, pool });
      expect(pooled.shape).toEqual([count, channels]);
      expect(relativeError(floats(pooled), truth[pool]), pool).toBeLessThan(1e-5);
    }
  });

  it.each([
    [64, 64],
    [96, 224],
    [225, 64],
    [33, 128],
  ])("pools maps of images of %i × %i", async (height, width) => {
    const images = Tensor.randn([2, 3, height, width], height);
    for (const layer of ["features", "features.15"] as const) {
      const { [layer]: values } = await model.forward(images, { outputs: [layer] });
      const pixels = values.shape[2]! * values.shape[3]!;
      const maps = Array.from({ length: floats(values).length / pixels }, (_, i) =>
        floats(values).subarray(i * pixels, (i + 1) * pixels),
      );
      const max = await model.embed(images, { layer, pool: "max" });
      const mean = await model.embed(images, { layer, pool: "mean" });
      expect(max.shape).toEqual([2, 512]);
      const greatest = maps.map((map) => Math.max(...map));
      const average = maps.map((map) => map.reduce((a, b) => a + b, 0) / pixels);
      expect(relativeError(floats(max), greatest)).toBeLessThan(1e-6);
      expect(relativeError(floats(mean), average)).toBeLessThan(1e-5);
    }
  });

  it("normalises each embedding, but not one of zeros", async () => {
    const plain = await model.embed(paths);
    const normalised = await model.embed(paths, { normalize: true });
    for (const [n, row] of rowsOf(normalised).entries()) {
      const norm = Math.hypot(...rowsOf(plain)[n]!);
      expect(Math.hypot(...row)).toBeCloseTo(1, 6);
      expect(
        relativeError(
          row,
          rowsOf(plain)[n]!.map((x) => x / norm),
        ),
      ).toBeLessThan(1e-6);
    }
    const zeros = await model.embed(Tensor.zeros([2, 3, 32, 32]), {
      layer: "features",
      normalize: true,
    });
    expect(new Set(floats(zeros))).toEqual(new Set([0])); // biases are zero
  });

  it("takes a batch as forward does, of any size, in parts of batchSize", async () => {
    const images = Tensor.randn([5, 3, 40, 64], 1);
    const whole = await model.embed(images, { batchSize: 5 });
    const parts = await model.embed(images, { batchSize: 2 });
    expect(parts.shape).toEqual([5, width]);
    expect(relativeError(floats(parts), floats(whole))).toBeLessThan(1e-5);
    const pending = model.embed(images, { batchSize: 2 });
    floats(images).fill(0);
    expect(floats(await pending)).toEqual(floats(parts));
    const clone = structuredClone(Tensor.randn([5, 3, 40, 64], 1));
    expect(floats(await model.embed(clone as Tensor, { batchSize: 2 }))).toEqual(floats(parts));
    const on = DeviceTensor.allocate(model.device, [1, 3, 48, 32]);
    await on.write(Tensor.randn([1, 3, 48, 32], 2));
    expect(floats(await model.embed(on))).toEqual(
      floats(await model.embed(Tensor.randn([1, 3, 48, 32], 2))),
    );
    on.dispose();
  });

  it("crops images to any size from 32 pixels", async () => {
    const large = { resizeSize: 80, cropSize: 64 };
    const { features } = await model.forward(await preprocess(paths, large), {
      outputs: ["features"],
    });
    const embeddings = await model.embed(paths, {
      layer: "features",
      preprocess: { resize: 80, crop: 64 },
    });
    expect(embeddings.shape).toEqual([3, 512 * 4]);
    expect(relativeError(floats(embeddings), floats(features))).toBeLessThan(1e-5);
    await expect(model.embed(paths, { preprocess: { resize: 40, crop: 31 } })).rejects.toThrow(
      "for options.preprocess.crop but received 31",
    );
  });

  it("yields the embedding or the error of each image in order, each with its own buffer", async () => {
    const sources = [paths[0]!, image("missing.png"), Buffer.from("no image"), paths[1]!];
    const results = [];
    for await (const result of model.embedEach(sources, { batchSize: 3 })) results.push(result);
    expect(results.map(({ source }) => source)).toEqual(sources);
    expect(
      results.map((result) =>
        "error" in result ? (result.error as VggError).code : result.embedding.length,
      ),
    ).toEqual([width, "IMAGE_UNREADABLE", "IMAGE_FORMAT", width]);
    const [first, , , last] = results;
    if (!("embedding" in first!) || !("embedding" in last!)) throw new Error("an image failed");
    expect(first.embedding.buffer.byteLength).toBe(4 * width);
    const all = await model.embed([paths[0]!, paths[1]!]);
    expect(relativeError(first.embedding, rowsOf(all)[0]!)).toBeLessThan(1e-5);
    expect(relativeError(last.embedding, rowsOf(all)[1]!)).toBeLessThan(1e-5);
    await expect(model.embed(sources)).rejects.toMatchObject({ code: "IMAGE_UNREADABLE" });
  });

  it.each([
    [{ layer: "features.99" }, RangeError, "a layer of vgg11 for options.layer"],
    [{ layer: 3 }, TypeError, "options.layer"],
    [{ pool: "avg" }, RangeError, "one of mean, max for options.pool"],
    [{ pool: true }, TypeError, "options.pool"],
    [{ normalize: 1 }, TypeError, "a boolean for options.normalize"],
    [{ normalize: "l2" }, TypeError, "a boolean for options.normalize"],
    [{ batchSize: 0 }, RangeError, "options.batchSize"],
    [{ signal: {} }, TypeError, "options.signal"],
    [{ top: 5 }, TypeError, 'received "top"'],
    [{ preprocess: { means: [0] } }, TypeError, "means"],
  ] as const)("refuses %j", async (options, type, message) => {
    const refused = model.embed(paths, options as unknown as EmbedOptions);
    await expect(refused).rejects.toThrow(type);
    await expect(refused).rejects.toThrow(message);
    const each = model.embedEach(paths, options as unknown as EmbedOptions);
    await expect(each.next()).rejects.toThrow(message);
  });

  it("refuses images that are none, and works afterwards", async () => {
    await expect(model.embed(7 as never)).rejects.toThrow("for image but received 7");
    await expect(model.embed(["a.png", {} as never])).rejects.toThrow("for images[1]");
    await expect(model.embed(Tensor.zeros([1, 3, 8, 8]))).rejects.toThrow("H and W from 32");
    await expect(model.embed(Tensor.zeros([1, 3, 32, 32], "float64") as never)).rejects.toThrow(
      "float32",
    );
    // The embeddings of this number of images could not be allocated, but the dtype is refused first.
    const bytes = Tensor.zeros([2 ** 24, 3, 1, 1], "uint8");
    await expect(model.embed(bytes as never, { layer: "features.0" })).rejects.toThrow(TypeError);
    const signal = AbortSignal.abort();
    await expect(model.embed(paths, { signal })).rejects.toMatchObject({ name: "AbortError" });
    expect((await model.embed(paths[0]!)).shape).toEqual([1, width]);
  });

  it("takes batches of a network with other channels, but no images", async () => {
    await using other = await Vgg.create("vgg11", { ...small, inChannels: 5 });
    expect((await other.embed(Tensor.randn([2, 5, 32, 32]))).shape).toEqual([2, width]);
    await expect(other.embed(paths)).rejects.toThrow("Expected a model of 1 or 3 channels");
  });

  it("stops at its signal, and at the model's disposal", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const consume = async () => {
      for await (const _ of model.embedEach(
        (function* () {
          for (;;) yield paths[0]!;
        })(),
        { signal: controller.signal, batchSize: 2 },
      ))
        controller.abort(reason);
    };
    await expect(consume()).rejects.toBe(reason);
    const other = await Vgg.create("vgg11", { ...small, device: testDevice });
    const each = other.embedEach([...paths, ...paths], { batchSize: 1 });
    await each.next();
    await other.dispose();
    await expect(
      (async () => {
        for await (const _ of each);
      })(),
    ).rejects.toMatchObject({ code: "DISPOSED" });
    await expect(other.embed(paths)).rejects.toMatchObject({ code: "DISPOSED" });
  });
});
