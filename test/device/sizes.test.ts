// Images of any size from 32 pixels: PyTorch's answers, the graphs that a model keeps, and the names of layers.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Architecture, DeviceTensor, type LayerName, Tensor, Vgg } from "../../lib/index.ts";
import { maxGraphs, maxPixels } from "../../lib/vgg/graphs.ts";
import { relativeError } from "../support/compare.ts";
import { devices, isSlow, roundingError, testDevice } from "../support/devices.ts";
import {
  expectProbe,
  goldenImages,
  type Probe,
  readGolden,
  setGoldenParameters,
} from "../support/golden.ts";

interface SizesGolden {
  readonly arch: Architecture;
  readonly numClasses: number;
  readonly seed: number;
  readonly cases: readonly {
    readonly input: readonly [number, number, number, number];
    readonly features: Probe;
    readonly avgpool: Probe;
    readonly logits: readonly (readonly number[])[];
  }[];
}

/** All devices compute in float32 what PyTorch does; half precision on the CPU rounds weights only. */
const toleranceOf = (precision: keyof typeof roundingError) =>
  Math.max(1e-5, 2 * roundingError[precision]!);

/** Minutes for each network on a slow device, on which the operations' own tests have batch normalisation. */
const files = ["sizes-vgg11.json", ...(isSlow ? [] : ["sizes-vgg13_bn.json"])];

describe.each(files)("%s", (file) => {
  const { arch, numClasses, seed, cases } = readGolden<SizesGolden>(`uses/${file}`);
  const small = isSlow ? cases.filter(({ input }) => input[2] * input[3] < 20_000) : cases;

  // The small network runs on all devices, the large one on the best instruction set and each GPU.
  const isBest = (name: string, index: number) => index === 0 || name.startsWith("cuda");
  const covered =
    isSlow || arch !== "vgg11" ? devices.filter(({ name }, i) => isBest(name, i)) : devices;

  it.each(isSlow ? covered.slice(0, 1) : covered)(
    "agrees with PyTorch at every size on $name",
    async ({ open, precision }) => {
      const device = await open();
      const model = await Vgg.create(arch, { device, precision, numClasses });
      await setGoldenParameters(model, seed);
      const tolerance = toleranceOf(precision);
      for (const { input, features, avgpool, logits } of small) {
        const images = goldenImages(seed, input);
        const computed = await model.forward(images);
        expect(computed.shape).toEqual([input[0], numClasses]);
        const error = relativeError(computed.data as Float32Array, logits.flat());
        console.log(`${file} ${input} on ${device} in ${precision}: ${error.toExponential(2)}`);
        expect(error, String(input)).toBeLessThanOrEqual(tolerance);
        const layers = await model.forward(images, {
          outputs: ["features", "avgpool", "classifier"],
        });
        expect(layers.features.shape).toEqual(features.shape);
        expect(layers.avgpool.shape).toEqual(avgpool.shape);
        expectProbe(layers.features, features, tolerance, `features of ${input}`);
        expectProbe(layers.avgpool, avgpool, tolerance, `avgpool of ${input}`);
        expect(
          relativeError(layers.classifier.data as Float32Array, logits.flat()),
        ).toBeLessThanOrEqual(tolerance);
      }
      await model.dispose();
      device.dispose();
    },
    600_000,
  );
});

describe("a model for images of any size", () => {
  let model: Vgg;
  const create = (imageSize = 32) =>
    Vgg.create("vgg11", {
      device: testDevice,
      imageSize,
      numClasses: 10,
      hiddenFeatures: 64,
      seed: 3,
    });
  beforeAll(async () => {
    model = await create();
  });
  afterAll(() => model.dispose());
  const data = (tensor: Tensor) => tensor.data as Float32Array;

  it("has the same answer as a model with that image size", async () => {
    const images = Tensor.randn([2, 3, 64, 64], 1);
    const other = await create(64);
    expect(data(await model.forward(images))).toEqual(data(await other.forward(images)));
    await other.dispose();
  });

  it("alternates between sizes, also under way together", async () => {
    const shapes = [32, 48, 33, 64, 32, 48].map((side, i) => [1 + (i % 2), 3, side, 96 - side]);
    const inputs = shapes.map((shape, seed) => Tensor.randn(shape, seed));
    const alone: Float32Array[] = [];
    for (const input of inputs) alone.push(data(await model.forward(input)));
    const together = await Promise.all(inputs.map((input) => model.forward(input)));
    expect(together.map(data)).toEqual(alone);
  });

  it("takes a Tensor's copy of any size that postMessage made", async () => {
    const images = Tensor.randn([1, 3, 40, 56], 2);
    const copy = structuredClone(images) as Tensor;
    expect(data(await model.forward(copy))).toEqual(data(await model.forward(images)));
    const outputs = ["features"] as const;
    const { features } = await model.forward(copy, { outputs });
    expect(features.shape).toEqual([1, 512, 1, 1]);
  });

  it("takes DeviceTensors of any size", async () => {
    const images = Tensor.randn([1, 3, 40, 56], 2);
    const input = DeviceTensor.allocate(model.device, images.shape);
    const into = DeviceTensor.allocate(model.device, [1, 512, 1, 1]);
    await input.write(images);
    const { features } = await model.forward(images, { outputs: ["features"] });
    await model.forward(input, { outputs: ["features"], into: { features: into } });
    expect((await into.read()).data).toEqual(features.data);
    input.dispose();
    into.dispose();
  });

  it("times the layers of another size", async () => {
    const layers = await model.profile(Tensor.randn([1, 3, 64, 96]), { iterations: 1 });
    const pool = layers.find(({ name }) => name.includes("features.20"))!;
    expect(pool.outputShape).toEqual([1, 512, 2, 3]);
  });

  it.each([
    [[1, 3, 31, 64], "but received (1, 3, 31, 64)"],
    [[1, 3, 64, 31], "but received (1, 3, 64, 31)"],
    [[1, 1, 64, 64], "but received (1, 1, 64, 64)"],
    [[3, 64, 64], "but received (3, 64, 64)"],
    [[1, 3, 64, 64, 1], "but received (1, 3, 64, 64, 1)"],
  ])("refuses %j", async (shape, received) => {
    const refused = model.forward(Tensor.zeros(shape));
    await expect(refused).rejects.toThrow(RangeError);
    await expect(refused).rejects.toThrow(
      `Expected shape (N, 3, H, W), H and W from 32, for input ${received}`,
    );
  });

  it("refuses an empty batch of enormous images before it records a graph", async () => {
    const empty = Tensor.zeros([0, 3, 2 ** 31 - 1, 2 ** 31 - 1]);
    await expect(model.forward(empty)).rejects.toThrow("Expected a batch of at least 1 image");
  });

  // The kept graphs of a slow device's small images need more than its large one.
  it.skipIf(isSlow)(
    "keeps a bounded number of graphs, and frees the memory of large ones",
    async () => {
      const bytes = () => testDevice.memoryStats().activationBytes;
      const fresh = await create();
      await fresh.forward(Tensor.randn([1, 3, 32, 32]));
      const before = bytes();
      await fresh.forward(Tensor.randn([1, 3, 512, 512]));
      const large = bytes();
      expect(large).toBeGreaterThan(before);
      const sizes = Array.from({ length: maxGraphs }, (_, i) => [
        1,
        3,
        32 + (i % 4),
        33 + (i >> 2),
      ]);
      for (const size of sizes) await fresh.forward(Tensor.randn(size));
      await fresh.getParameter("classifier.6.bias"); // evicted graphs are gone when later calls end
      expect(bytes()).toBeLessThan(large);
      await fresh.dispose();
    },
  );

  it.skipIf(isSlow)("keeps graphs of large images up to a number of pixels", async () => {
    const fresh = await create();
    const side = Math.ceil(Math.sqrt(maxPixels));
    const outputs = ["features.2"] as const;
    await fresh.forward(Tensor.zeros([1, 3, side, side]), { outputs });
    const large = testDevice.memoryStats().activationBytes;
    await fresh.forward(Tensor.zeros([1, 3, 96, 96]), { outputs });
    await fresh.getParameter("classifier.6.bias");
    expect(testDevice.memoryStats().activationBytes).toBeLessThan(large / 2);
    await fresh.dispose();
  });

  it("finishes a classification whose graph was evicted between two batches", async () => {
    const fresh = await create();
    const pixels = await import("node:fs/promises").then(({ readFile }) =>
      readFile(new URL("../golden/images/portrait.jpg", import.meta.url)),
    );
    let count = 0;
    for await (const result of fresh.classifyEach([pixels, pixels, pixels], { batchSize: 1 })) {
      expect(result).not.toHaveProperty("error");
      count++;
      for (let i = 0; i <= maxGraphs; i++)
        await fresh.forward(Tensor.zeros([1, 3, 32, 64 + i]), { outputs: ["features.0"] });
    }
    expect(count).toBe(3);
    await fresh.dispose();
  });

  it("ends a profile whose graph others would evict", async () => {
    const fresh = await create();
    const profile = fresh.profile(Tensor.zeros([1, 3, 48, 48]), {
      iterations: isSlow ? 4 : 20,
    });
    for (let i = 0; i <= maxGraphs; i++)
      await fresh.forward(Tensor.zeros([1, 3, 32, 64 + i]), { outputs: ["features.0"] });
    expect((await profile).length).toBeGreaterThan(8);
    await fresh.dispose();
  });

  it("is disposed while graphs of many sizes run", async () => {
    const fresh = await create();
    const outputs = [isSlow ? "features.0" : "classifier.6"] as const;
    const under = Array.from({ length: maxGraphs + (isSlow ? 4 : 32) }, (_, i) =>
      fresh.forward(Tensor.zeros([1, 3, 32, 32 + i]), { outputs }),
    );
    const disposal = fresh.dispose();
    for (const layers of await Promise.all(under))
      expect(layers[outputs[0]].shape.slice(0, 2)).toEqual(isSlow ? [1, 64] : [1, 10]);
    await disposal;
  });
});

describe("the names of layers", () => {
  let model: Vgg;
  beforeAll(async () => {
    model = await Vgg.create("vgg11", {
      device: testDevice,
      imageSize: 32,
      numClasses: 10,
      hiddenFeatures: 64,
    });
  });
  afterAll(() => model.dispose());
  const ask = (...outputs: LayerName[]) => model.forward(Tensor.zeros([1, 3, 32, 32]), { outputs });

  it("include torchvision's groups, beside the modules that end them", async () => {
    const layers = await model.forward(Tensor.randn([1, 3, 64, 64], 1), {
      outputs: ["features", "features.20", "classifier", "classifier.6", "avgpool"],
    });
    expect(layers.features.shape).toEqual([1, 512, 2, 2]);
    expect(layers.features.data).toEqual(layers["features.20"].data);
    expect(layers.classifier.data).toEqual(layers["classifier.6"].data);
    expect(layers.avgpool.shape).toEqual([1, 512, 7, 7]);
  });

  it.each([
    [
      "features.21",
      ": features.0 … features.20, avgpool, classifier.0 … classifier.6, features, classifier",
    ],
    ["feature", "; did you mean features?"],
    ["feature.8", "; did you mean features.8?"],
    ["featuers", "; did you mean features?"],
    ["features_0", "; did you mean features.0?"],
    ["Avgpool", "; did you mean avgpool?"],
    [
      "conv1",
      ": features.0 … features.20, avgpool, classifier.0 … classifier.6, features, classifier",
    ],
  ])("have advice for %s", async (name, advice) => {
    const refused = ask(name);
    await expect(refused).rejects.toThrow(RangeError);
    await expect(refused).rejects.toThrow(
      `Expected a layer of vgg11 for options.outputs but received ${JSON.stringify(name)}${advice}`,
    );
  });

  it("are strings", async () => {
    await expect(ask(3 as never)).rejects.toThrow(TypeError);
    await expect(ask()).rejects.toThrow(TypeError);
  });

  it("are typed as literals, and accept any string", async () => {
    const literal = await model.forward(Tensor.zeros([1, 3, 32, 32]), { outputs: ["features.0"] });
    // @ts-expect-error another layer than was requested
    void literal["features.1"];
    const dynamic: string = "features.1";
    const layers = await model.forward(Tensor.zeros([1, 3, 32, 32]), { outputs: [dynamic] });
    expect(layers[dynamic]!.shape).toEqual([1, 64, 32, 32]);
  });
});
