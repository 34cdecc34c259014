// LPIPS against the reference in float64, and what `perceptualDistance` accepts.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { perceptualDistance, Tensor, Vgg } from "../../lib/index.ts";
import { comparePairs } from "../../lib/perceptual/compare.ts";
import { relativeError } from "../support/compare.ts";
import { devices, isSlow, testDevice } from "../support/devices.ts";
import { goldenImages, goldenParameter } from "../support/golden.ts";

interface Case {
  readonly input: readonly number[];
  readonly pair: "independent" | "near" | "same";
  readonly total: readonly number[];
  readonly layers: readonly (readonly number[])[];
  readonly map: {
    readonly shape: readonly number[];
    readonly mean: number;
    readonly l2: number;
    readonly max: number;
    readonly at: readonly number[];
    readonly values: readonly number[];
  };
}

const golden: { seed: number; numClasses: number; cases: Case[] } = JSON.parse(
  readFileSync(new URL("../golden/uses/lpips-vgg16.json", import.meta.url), "utf8"),
);

/** Fills the trunk. LPIPS reads no other parameter. */
async function goldenTrunk(options: object): Promise<Vgg> {
  const model = await Vgg.create("vgg16", {
    numClasses: golden.numClasses,
    hiddenFeatures: 64,
    ...options,
  });
  for (const [index, parameter] of [...model.parameters()].entries()) {
    if (parameter.name.startsWith("features."))
      await model.setParameter(parameter.name, goldenParameter(golden.seed, index, parameter));
  }
  return model;
}

/** The images of a case. */
function imagesOf({ input, pair }: Case): [Tensor, Tensor] {
  const a = goldenImages(golden.seed, input);
  const b = goldenImages(golden.seed, input, 10_001);
  if (pair === "same") return [a, a];
  if (pair === "independent") return [a, b];
  const near = Float32Array.from(a.data as Float32Array, (x, i) => x + 0.05 * Number(b.data[i]));
  return [a, new Tensor(input, near)];
}

/** Of the totals and shares, and of the maps, on a CPU in every precision. */
const ofCpu = [1e-5, 1e-5] as const;
/** The same on a GPU, which rounds each layer. */
const tolerances: Record<string, readonly [number, number]> = {
  float32: [1e-5, 5e-5],
  tf32: [2e-2, 0.1],
  float16: [2e-2, 0.1],
  bfloat16: [2e-1, 1],
};
const covered = isSlow ? devices.filter(({ precision }) => precision === "float32") : devices;
/** A slow device computes the small images only. */
const cases = golden.cases.filter(({ input }) => !isSlow || input[3]! <= 64);

describe("perceptualDistance", () => {
  it.each(covered)("agrees with the reference on $name", async ({ open, precision }) => {
    const device = await open();
    const model = await goldenTrunk({ device, precision });
    let worst = 0;
    let worstOfMaps = 0;
    for (const one of cases) {
      const [a, b] = imagesOf(one);
      const { total, layers, map } = await perceptualDistance(a, b, { model, map: true });
      expect(map!.shape).toEqual(one.map.shape);
      const data = map!.data as Float32Array;
      if (one.pair === "same") {
        // A GPU may sum the two images of a batch in two orders.
        const most = device.info.kind === "cuda" ? 1e-8 : 0;
        for (const value of [...total, ...layers.flat()])
          expect(Math.abs(value)).toBeLessThanOrEqual(most);
        expect(data.every((value) => Math.abs(value) <= most)).toBe(true);
        continue;
      }
      const known = (values: readonly number[]) => Math.max(...values.map(Math.abs));
      const ofTotal = one.total.map((truth, pair) => total[pair]! / truth - 1);
      // The share of a layer counts as a part of the total. relu5_3 of a small image has few values that differ.
      const ofLayers = one.layers.flatMap((truths, layer) =>
        truths.map((truth, pair) => (layers[layer]![pair]! - truth) / one.total[pair]!),
      );
      worst = Math.max(worst, known(ofTotal), known(ofLayers));
      const { at, values, l2, mean } = one.map;
      const sampled = at.map((index) => data[index]!);
      const norm = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
      const sum = data.reduce((all, x) => all + x, 0);
      worst = Math.max(worst, known([norm / l2 - 1, sum / data.length / mean - 1]));
      worstOfMaps = Math.max(worstOfMaps, relativeError(sampled, values));
    }
    const errors = [worst, worstOfMaps].map((error) => error.toExponential(1));
    console.log(`LPIPS on ${device} in ${precision}: relative errors ${errors.join(", of maps ")}`);
    const [ofTotals, ofMaps] = device.info.kind === "cpu" ? ofCpu : tolerances[precision]!;
    expect(worst).toBeLessThanOrEqual(ofTotals);
    expect(worstOfMaps).toBeLessThanOrEqual(ofMaps);
    await model.dispose();
    device.dispose();
  });
});

describe("perceptualDistance of Tensors", () => {
  let model: Vgg;
  beforeAll(async () => {
    model = await Vgg.create("vgg16", {
      device: testDevice,
      numClasses: 10,
      hiddenFeatures: 64,
      seed: 7,
    });
  });
  afterAll(() => model.dispose());
  const [a, b] = [Tensor.randn([3, 3, 40, 33], 1), Tensor.randn([3, 3, 40, 33], 2)];

  it("gives each pair the same distance in any batch, and shares that add up", async () => {
    const all = await perceptualDistance(a, b, { model });
    expect(all.total).toHaveLength(3);
    expect(all.layers.map(({ length }) => length)).toEqual([3, 3, 3, 3, 3]);
    expect(all.map).toBeUndefined();
    const one = await perceptualDistance(a, b, { model, batchSize: 1 });
    for (const [pair, total] of all.total.entries()) {
      expect(total).toBeGreaterThan(0);
      expect(Math.abs(one.total[pair]! / total - 1)).toBeLessThan(1e-5);
      const sum = all.layers.reduce((shares, layer) => shares + layer[pair]!, 0);
      expect(sum).toBeCloseTo(total, 12);
    }
    const swapped = await perceptualDistance(b, a, { model });
    expect(Math.abs(swapped.total[0]! / all.total[0]! - 1)).toBeLessThan(1e-5);
  });

  it("reads them before it returns", async () => {
    const copy = new Tensor(a.shape, a.data.slice() as Float32Array);
    const pending = perceptualDistance(copy, b, { model });
    copy.data.fill(0 as never);
    expect(await pending).toEqual(await perceptualDistance(a, b, { model }));
  });

  it.skipIf(isSlow)("computes a large image in windows with the same result", async () => {
    const shape = [3, 402, 425];
    const [first, second] = [3, 4].map((seed) => Tensor.randn([1, ...shape], seed));
    const pair = {
      height: shape[1]!,
      width: shape[2]!,
      samples: "float32" as const,
      a: first!.data as Float32Array,
      b: second!.data as Float32Array,
    };
    const compare = (maxPixels: number) =>
      comparePairs((...of) => model.graphs.perceptual(...of), [pair], {
        wantsMap: true,
        signal: undefined,
        maxPixels,
      });
    const [whole] = await compare(2 ** 20);
    const [cut] = await compare(2 ** 18);
    expect(Math.abs(cut!.total / whole!.total - 1)).toBeLessThan(1e-5);
    expect(relativeError(cut!.map!, whole!.map!)).toBeLessThan(1e-5);
  });

  it("refuses other models", async () => {
    await using small = await Vgg.create("vgg11", {
      device: testDevice,
      numClasses: 2,
      hiddenFeatures: 64,
    });
    await using grey = await Vgg.create("vgg16", {
      device: testDevice,
      numClasses: 2,
      hiddenFeatures: 64,
      inChannels: 1,
    });
    const message = (given: unknown) =>
      perceptualDistance(a, b, { model: given as Vgg }).then(
        () => "",
        (error: Error) => `${error.name}: ${error.message}`,
      );
    expect(await message(undefined)).toBe(
      "TypeError: Expected a Vgg for options.model but received undefined",
    );
    expect(await message(small)).toBe(
      'RangeError: Expected a vgg16 for options.model but received "vgg11"',
    );
    expect(await message(grey)).toBe(
      "RangeError: Expected a model of 3 channels for options.model but received one of 1",
    );
    await small.dispose();
    const disposed = await Vgg.create("vgg16", {
      device: testDevice,
      numClasses: 2,
      hiddenFeatures: 64,
    });
    await disposed.dispose();
    await expect(perceptualDistance(a, b, { model: disposed })).rejects.toMatchObject({
      code: "DISPOSED",
    });
  });

  const of = (...shape: number[]) => Tensor.zeros(shape);
  const shapes = "shape (N, 3, H, W) with N ≥ 1 and H, W ≥ 16";
  it.each<[string, unknown, unknown, object, string]>([
    ["one Tensor", a, "b.png", {}, 'Expected a Tensor, as a is, for b but received "b.png"'],
    ["rank 3", of(3, 32, 32), of(3, 32, 32), {}, `${shapes} for a but received (3, 32, 32)`],
    ["15 rows", of(1, 3, 15, 32), of(1, 3, 15, 32), {}, `for a but received (1, 3, 15, 32)`],
    ["one channel", of(1, 1, 32, 32), a, {}, `${shapes} for a but received (1, 1, 32, 32)`],
    ["no image", of(0, 3, 32, 32), a, {}, `${shapes} for a but received (0, 3, 32, 32)`],
    [
      "two sizes",
      of(1, 3, 32, 32),
      of(1, 3, 32, 33),
      {},
      "Expected shape (1, 3, 32, 32), as a has, for b but received [1, 3, 32, 33]",
    ],
    ["two numbers", a, of(2, 3, 40, 33), {}, "as a has, for b but received [2, 3, 40, 33]"],
    ["bytes", Tensor.zeros([1, 3, 32, 32], "uint8"), a, {}, "Expected dtype float32 for a"],
    ["too many pixels", a, b, { maxPixels: 1000 }, "images of at most 1000 pixels for a"],
    ["map", a, b, { map: 1 }, "Expected a boolean for options.map but received 1"],
    ["batchSize", a, b, { batchSize: 0 }, "for options.batchSize but received 0"],
    ["another option", a, b, { spatial: true }, 'but received "spatial"'],
    ["signal", a, b, { signal: {} }, "Expected an AbortSignal for options.signal"],
  ])("refuses %s", async (_, first, second, options, message) => {
    const call = perceptualDistance(first as Tensor, second as Tensor, { model, ...options });
    const error = (await call.then(
      () => undefined,
      (reason) => reason,
    )) as Error;
    expect(["RangeError", "TypeError"]).toContain(error?.name);
    expect(error.message).toContain(message);
  });

  it("stops at a signal", async () => {
    const stopped = AbortSignal.abort(new Error("enough"));
    await expect(perceptualDistance(a, b, { model, signal: stopped })).rejects.toThrow("enough");
    const late = new AbortController();
    const call = perceptualDistance(a, b, { model, signal: late.signal, batchSize: 1 });
    late.abort(new Error("late"));
    await expect(call).rejects.toThrow("late");
  });
});
