// Every operation on every device against its definition in reference.ts, over many shapes.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type Device,
  Graph,
  GraphBuilder,
  ParameterStore,
  type Precision,
  Tensor,
  type Value,
} from "../lib/index.ts";
import { expectClose as expectCloseTo } from "./compare.ts";
import { devices, roundingError } from "./devices.ts";
import * as reference from "./reference.ts";

type Arrays = Record<string, Tensor>;

/** Each test draws the same numbers, whatever ran before it: a seed of which no sum nearly vanishes. */
let seed: number;
beforeEach(() => {
  seed = 100;
});

function randn(...shape: number[]): Tensor {
  return Tensor.randn(shape, seed++);
}

function wide({ shape, data }: Tensor): reference.Numbers {
  return { shape, data: Float64Array.from(data as Float32Array) };
}

/** How the device under test computes. */
let precision: Precision;

function expectClose(actual: Tensor, truth: reference.Numbers, tolerance = 1e-6): void {
  expectCloseTo(actual, truth, Math.max(tolerance, roundingError[precision]!));
}

/** Winograd's transforms round more often than a direct convolution does. */
const convolutionError = 6e-6;

/** Records a graph of the inputs and parameters given, runs it and returns its outputs. */
async function compute(
  device: Device,
  inputs: Arrays,
  parameters: Arrays,
  record: (
    builder: GraphBuilder,
    v: Record<string, Value>,
    p: Record<string, never>,
  ) => Record<string, Value>,
): Promise<Record<string, Tensor>> {
  const builder = new GraphBuilder();
  const values = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, dtype }]) => [
      name,
      builder.input(name, shape.slice(1), dtype as "float32"),
    ]),
  );
  const recorded = Object.fromEntries(
    Object.entries(parameters).map(([name, { shape }]) => [name, builder.parameter(name, shape)]),
  ) as Record<string, never>;
  const finished = builder.finish(record(builder, values, recorded));
  const store = new ParameterStore(device, finished.parameters, precision);
  const graph = Graph.compile(device, finished, store);
  try {
    for (const [name, tensor] of Object.entries(parameters))
      await graph.parameters.set(name, tensor);
    return (await graph.run(inputs)) as Record<string, Tensor>;
  } finally {
    await graph.dispose();
    await store.dispose();
  }
}

describe.each(devices)("on $name", ({ open, precision: its }) => {
  let device: Device;
  beforeAll(async () => {
    device = await open();
    precision = its;
  });
  afterAll(() => {
    // What a graph allocates goes with it.
    expect(device.memoryStats()).toEqual({ parameterBytes: 0, activationBytes: 0, tensorBytes: 0 });
    device.dispose();
  });

  describe("conv2d", () => {
    const cases = [
      // batch, channels, height, width, filters, filter, padding, stride
      [1, 3, 8, 8, 64, 3, 1, 1],
      [2, 1, 1, 1, 1, 3, 1, 1],
      [1, 1, 1, 1, 1, 1, 0, 1],
      [3, 5, 7, 9, 6, 3, 1, 1],
      [1, 16, 14, 14, 32, 3, 1, 1],
      [5, 2, 5, 31, 33, 3, 1, 1],
      [1, 64, 4, 3, 31, 3, 1, 1],
      [1, 130, 3, 3, 17, 3, 1, 1],
      [2, 3, 9, 9, 7, 3, 0, 1],
      [1, 3, 11, 10, 4, 3, 1, 2],
      [1, 4, 12, 12, 5, 5, 2, 3],
      [2, 6, 6, 6, 48, 1, 0, 1],
      [1, 2, 3, 40, 3, 2, 1, 1],
      [1, 600, 2, 2, 40, 3, 1, 1],
      // Where the CPU takes Winograd's way: blocks of one thread and of all, edges, no padding and much.
      [1, 64, 40, 40, 16, 3, 1, 1],
      [2, 32, 15, 13, 64, 3, 1, 1],
      [2, 256, 6, 7, 32, 3, 1, 1],
      [2, 32, 18, 17, 32, 3, 0, 1],
      [1, 32, 9, 10, 32, 3, 2, 1],
      [1, 144, 9, 10, 208, 3, 1, 1],
    ] as const;
    it.each(cases)(
      "batch %i, %i channels, %i × %i, %i filters of side %i, padding %i, stride %i",
      async (...c) => {
        const [n, channels, height, width, filters, side, padding, stride] = c;
        const input = randn(n, channels, height, width);
        const weight = randn(filters, channels, side, side);
        const bias = randn(filters);
        for (const relu of [false, true]) {
          const { y } = await compute(device, { x: input }, { weight, bias }, (g, { x }, p) => ({
            y: g.conv2d(x!, p.weight!, { bias: p.bias!, padding, stride, relu }),
          }));
          const truth = reference.conv2d(wide(input), wide(weight), {
            bias: wide(bias),
            padding,
            stride,
            relu,
          });
          expectClose(y!, truth, convolutionError);
        }
      },
    );

    it.each([
      [1, 3, 8, 8, 64, 3, 1, 1],
      [2, 4, 11, 9, 33, 3, 1, 1],
      [1, 3, 14, 12, 24, 5, 2, 1],
      [1, 2, 13, 13, 16, 3, 1, 2],
      [2, 64, 40, 38, 16, 3, 1, 1],
      [3, 32, 15, 13, 64, 3, 1, 1],
      [2, 256, 6, 7, 32, 3, 1, 1],
    ] as const)(
      "and the pool after it: batch %i, %i channels, %i × %i, %i filters of side %i, padding %i, stride %i",
      async (n, channels, height, width, filters, side, padding, stride) => {
        const input = randn(n, channels, height, width);
        const weight = randn(filters, channels, side, side);
        const bias = randn(filters);
        for (const relu of [false, true]) {
          const { y, z } = await compute(device, { x: input }, { weight, bias }, (g, { x }, p) => {
            const options = { bias: p.bias!, padding, stride, relu };
            return {
              y: g.maxPool2d(g.conv2d(x!, p.weight!, options)),
              z: g.maxPool2d(g.conv2d(x!, p.weight!, options), { size: 3, stride: 2, padding: 1 }),
            };
          });
          const truth = reference.conv2d(wide(input), wide(weight), {
            bias: wide(bias),
            padding,
            stride,
            relu,
          });
          expectClose(y!, reference.maxPool2d(truth), convolutionError);
          expectClose(
            z!,
            reference.maxPool2d(truth, { size: 3, stride: 2, padding: 1 }),
            convolutionError,
          );
        }
      },
    );

    it("needs no bias", async () => {
      const input = randn(1, 3, 6, 6);
      const weight = randn(4, 3, 3, 3);
      const { y } = await compute(device, { x: input }, { weight }, (g, { x }, p) => ({
        y: g.conv2d(x!, p.weight!),
      }));
      expectClose(y!, reference.conv2d(wide(input), wide(weight)));
    });

    it("reads one value with different paddings", async () => {
      const input = randn(2, 3, 6, 6);
      const a = randn(4, 3, 3, 3);
      const b = randn(4, 3, 5, 5);
      const { y, z } = await compute(device, { x: input }, { a, b }, (g, { x }, p) => ({
        y: g.conv2d(x!, p.a!, { padding: 0 }),
        z: g.conv2d(x!, p.b!, { padding: 4 }),
      }));
      expectClose(y!, reference.conv2d(wide(input), wide(a)));
      expectClose(z!, reference.conv2d(wide(input), wide(b), { padding: 4 }));
    });

    it("carries NaN, infinity and denormals through", async () => {
      const input = Tensor.zeros([1, 1, 5, 5]);
      const data = input.data as Float32Array;
      data[0] = Number.NaN;
      data[24] = Number.POSITIVE_INFINITY;
      data[12] = 1e-40;
      const weight = new Tensor([1, 1, 1, 1], Float32Array.of(0.5));
      for (const relu of [false, true]) {
        const { y } = await compute(device, { x: input }, { weight }, (g, { x }, p) => ({
          y: g.conv2d(x!, p.weight!, { relu }),
        }));
        const result = y!.data as Float32Array;
        expect(result[0]).toBeNaN();
        expect(result[24]).toBe(Number.POSITIVE_INFINITY);
        // A GPU's libraries may take them for zero.
        if (device.kind === "cpu") expect(result[12]).toBe(Math.fround(5e-41));
      }
    });
  });

  describe("maxPool2d", () => {
    const cases = [
      [1, 1, 2, 2, 2, 2, 0],
      [2, 3, 7, 9, 2, 2, 0],
      [1, 17, 8, 8, 2, 2, 0],
      [3, 64, 5, 5, 3, 2, 1],
      [1, 33, 10, 11, 3, 1, 1],
      [1, 5, 12, 12, 5, 3, 2],
      [5, 8, 2, 3, 2, 1, 1],
    ] as const;
    it.each(cases)(
      "batch %i, %i channels, %i × %i, windows of %i, stride %i, padding %i",
      async (...c) => {
        const [n, channels, height, width, size, stride, padding] = c;
        const input = randn(n, channels, height, width);
        const { y } = await compute(device, { x: input }, {}, (g, { x }) => ({
          y: g.maxPool2d(x!, { size, stride, padding }),
        }));
        expectClose(y!, reference.maxPool2d(wide(input), { size, stride, padding }), 0);
      },
    );

    it("lets NaN win, wherever it stands in the window", async () => {
      for (let place = 0; place < 4; place++) {
        const data = new Float32Array(4 * 20).fill(-1);
        for (let channel = 0; channel < 20; channel++) data[channel * 4 + place] = Number.NaN;
        const input = new Tensor([1, 20, 2, 2], data);
        const { y } = await compute(device, { x: input }, {}, (g, { x }) => ({
          y: g.maxPool2d(x!),
        }));
        expect([...(y!.data as Float32Array)]).toEqual(new Array(20).fill(Number.NaN));
      }
    });

    it("gives minus infinity where all is minus infinity", async () => {
      const input = new Tensor([1, 1, 2, 2], new Float32Array(4).fill(Number.NEGATIVE_INFINITY));
      const { y } = await compute(device, { x: input }, {}, (g, { x }) => ({ y: g.maxPool2d(x!) }));
      expect([...(y!.data as Float32Array)]).toEqual([Number.NEGATIVE_INFINITY]);
    });
  });

  describe("adaptiveAvgPool2d", () => {
    it.each([
      [1, 3, 7, 7, 7, 7],
      [2, 5, 1, 1, 7, 7],
      [1, 4, 3, 3, 7, 7],
      [3, 2, 14, 10, 7, 7],
      [1, 9, 5, 9, 3, 2],
      [1, 1, 4, 4, 1, 1],
    ] as const)(
      "batch %i, %i channels, %i × %i → %i × %i",
      async (n, channels, height, width, rows, columns) => {
        const input = randn(n, channels, height, width);
        const { y } = await compute(device, { x: input }, {}, (g, { x }) => ({
          y: g.adaptiveAvgPool2d(x!, [rows, columns]),
        }));
        expectClose(y!, reference.adaptiveAvgPool2d(wide(input), [rows, columns]));
      },
    );
  });

  describe("gemm", () => {
    it.each([
      [1, 1, 1],
      [1, 7, 5],
      [2, 64, 32],
      [3, 1000, 33],
      [5, 513, 70],
      [17, 100, 10],
      [40, 1100, 65],
      [1, 2100, 1100], // parts of the inputs, strips of the outputs
      [6, 70, 2100],
      [7, 2100, 70],
      [7, 70, 1030],
    ] as const)("batch %i, %i inputs, %i outputs", async (n, inputs, outputs) => {
      const input = randn(n, inputs);
      const weight = randn(outputs, inputs);
      const bias = randn(outputs);
      for (const relu of [false, true]) {
        const { y, z } = await compute(device, { x: input }, { weight, bias }, (g, { x }, p) => ({
          y: g.gemm(x!, p.weight!, { bias: p.bias!, relu }),
          z: g.gemm(x!, p.weight!),
        }));
        expectClose(y!, reference.gemm(wide(input), wide(weight), { bias: wide(bias), relu }));
        expectClose(z!, reference.gemm(wide(input), wide(weight)));
      }
    });

    it.each([1, 4, 7])("batch %i: inputs of which some or all are zero", async (n) => {
      const weight = randn(70, 1100);
      const bias = randn(70);
      for (const share of [0, 0.3, 0.9, 1]) {
        const input = randn(n, 1100);
        const data = input.data as Float32Array;
        // The first image's zeros are the others' too, mostly; some are negative.
        for (let i = 0; i < data.length; i++) {
          const place = (i * 7919) % 1100;
          if (place < share * 1100 && (i < 1100 || place % 5 !== 0 || share === 1))
            data[i] = i % 2 === 0 ? 0 : -0;
        }
        const { y } = await compute(device, { x: input }, { weight, bias }, (g, { x }, p) => ({
          y: g.gemm(x!, p.weight!, { bias: p.bias! }),
        }));
        expectClose(y!, reference.gemm(wide(input), wide(weight), { bias: wide(bias) }));
      }
    });

    it.each([1, 7])("batch %i: zero times an infinite weight, or NaN, is NaN", async (n) => {
      const input = new Tensor(
        [n, 3],
        new Float32Array(3 * n).map((_, i) => i % 3),
      ); // 0, 1, 2
      const { POSITIVE_INFINITY, NaN: nan } = Number;
      const weight = new Tensor(
        [4, 3],
        Float32Array.of(POSITIVE_INFINITY, 1, 1, nan, 1, 1, 1, POSITIVE_INFINITY, 1, 1, 1, 1),
      );
      const { y } = await compute(device, { x: input }, { weight }, (g, { x }, p) => ({
        y: g.gemm(x!, p.weight!),
      }));
      const row = [nan, nan, POSITIVE_INFINITY, 3];
      expect([...(y!.data as Float32Array)]).toEqual(new Array(n).fill(row).flat());
    });

    it("keeps infinity and NaN within their row", async () => {
      const input = new Tensor(
        [3, 2],
        Float32Array.of(1, 2, Number.NaN, 0, Number.POSITIVE_INFINITY, 0),
      );
      const weight = new Tensor([1, 2], Float32Array.of(1, 1));
      const { y } = await compute(device, { x: input }, { weight }, (g, { x }, p) => ({
        y: g.gemm(x!, p.weight!, { relu: true }),
      }));
      expect([...(y!.data as Float32Array)]).toEqual([3, Number.NaN, Number.POSITIVE_INFINITY]);
    });
  });

  describe("flatten", () => {
    it.each([
      [1, 3, 2, 2],
      [2, 5, 7, 7],
      [3, 1, 4, 5],
      [2, 33, 1, 1],
    ] as const)(
      "batch %i, %i channels, %i × %i keeps PyTorch's order for every reader",
      async (n, c, h, w) => {
        const input = randn(n, c, h, w);
        const weight = randn(6, c * h * w);
        const filter = randn(2, c, 3, 3);
        const flat = reference.flatten(wide(input));
        // Alone, into a linear layer, into both, and where a padded convolution reads the value too.
        const alone = await compute(device, { x: input }, {}, (g, { x }) => ({ y: g.flatten(x!) }));
        expectClose(alone.y!, flat, 0);
        const linear = await compute(device, { x: input }, { weight }, (g, { x }, p) => ({
          y: g.gemm(g.flatten(x!), p.weight!),
        }));
        expectClose(linear.y!, reference.gemm(flat, wide(weight)));
        const both = await compute(device, { x: input }, { weight, filter }, (g, { x }, p) => {
          const f = g.flatten(x!);
          return {
            f,
            y: g.gemm(f, p.weight!),
            s: g.softmax(f),
            c: g.conv2d(x!, p.filter!, { padding: 1 }),
          };
        });
        expectClose(both.f!, flat, 0);
        expectClose(both.y!, reference.gemm(flat, wide(weight)));
        expectClose(both.s!, reference.softmax(flat));
        expectClose(both.c!, reference.conv2d(wide(input), wide(filter), { padding: 1 }));
        const bordered = await compute(device, { x: input }, { weight, filter }, (g, { x }, p) => ({
          y: g.gemm(g.flatten(x!), p.weight!),
          c: g.conv2d(x!, p.filter!, { padding: 1 }),
        }));
        expectClose(bordered.y!, reference.gemm(flat, wide(weight)));
      },
    );

    it("lets one weight be read in two orders", async () => {
      const image = randn(2, 3, 2, 2);
      const row = randn(2, 12);
      const weight = randn(5, 12);
      const { y, z } = await compute(device, { image, row }, { weight }, (g, v, p) => ({
        y: g.gemm(g.flatten(v.image!), p.weight!),
        z: g.gemm(v.row!, p.weight!),
      }));
      expectClose(y!, reference.gemm(reference.flatten(wide(image)), wide(weight)));
      expectClose(z!, reference.gemm(wide(row), wide(weight)));
    });
  });

  describe("batchNorm", () => {
    const parameters = (channels: number) => ({
      weight: randn(channels),
      bias: randn(channels),
      mean: randn(channels),
      variance: new Tensor(
        [channels],
        (randn(channels).data as Float32Array).map((v) => Math.abs(v) + 0.1),
      ),
    });
    const wideAll = (p: ReturnType<typeof parameters>) => ({
      weight: wide(p.weight),
      bias: wide(p.bias),
      mean: wide(p.mean),
      variance: wide(p.variance),
    });

    it.each([
      [1, 1, 1, 1],
      [2, 5, 4, 3],
      [3, 33, 2, 2],
    ] as const)("batch %i, %i channels, %i × %i", async (n, channels, h, w) => {
      const input = randn(n, channels, h, w);
      const p = parameters(channels);
      for (const relu of [false, true]) {
        const { y } = await compute(device, { x: input }, p, (g, { x }, q) => ({
          y: g.batchNorm(x!, { ...(q as object), relu } as never),
        }));
        expectClose(y!, reference.batchNorm(wide(input), { ...wideAll(p), relu }));
      }
    });

    it("folds into the convolution before it, unless the value between them is wanted", async () => {
      const input = randn(2, 3, 5, 5);
      const filter = randn(6, 3, 3, 3);
      const offset = randn(6);
      const p = parameters(6);
      const between = reference.conv2d(wide(input), wide(filter), {
        bias: wide(offset),
        padding: 1,
      });
      const truth = reference.batchNorm(between, { ...wideAll(p), relu: true });
      for (const isWanted of [false, true]) {
        const { y, b } = await compute(
          device,
          { x: input },
          { filter, offset, ...p },
          (g, { x }, q) => {
            const conv = g.conv2d(x!, q.filter!, { bias: q.offset!, padding: 1 });
            const { weight, bias, mean, variance } = q as Record<string, never>;
            const norm = g.batchNorm(conv, {
              weight: weight!,
              bias: bias!,
              mean: mean!,
              variance: variance!,
              relu: true,
            });
            return { y: norm, ...(isWanted ? { b: conv } : {}) };
          },
        );
        expectClose(y!, truth);
        if (isWanted) expectClose(b!, between);
      }
    });
  });

  describe("relu", () => {
    it("keeps NaN and zeroes what is negative, on images and rows", async () => {
      const image = randn(2, 19, 3, 3);
      (image.data as Float32Array)[4] = Number.NaN;
      const row = randn(2, 21);
      const { y, z } = await compute(device, { image, row }, {}, (g, v) => ({
        y: g.relu(v.image!),
        z: g.relu(v.row!),
      }));
      expectClose(y!, reference.relu(wide(image)), 0);
      expectClose(z!, reference.relu(wide(row)), 0);
    });
  });

  describe("normalize", () => {
    const mean = [0.485, 0.456, 0.406];
    const std = [0.229, 0.224, 0.225];
    it.each([
      [1, 1, 1],
      [2, 5, 7],
      [5, 16, 16],
    ] as const)("batch %i of %i × %i pixels, uint8 and float32", async (n, h, w) => {
      const bytes = new Tensor(
        [n, h, w, 3],
        Uint8Array.from({ length: n * h * w * 3 }, (_, i) => (i * 97) % 256),
      );
      const wideBytes = { shape: bytes.shape, data: Float64Array.from(bytes.data as Uint8Array) };
      const { y } = await compute(device, { x: bytes }, {}, (g, { x }) => ({
        y: g.normalize(x!, { mean, std }),
      }));
      expectClose(y!, reference.normalize(wideBytes, { mean, std, isUint8: true }));
      const floats = randn(n, 3, h, w);
      const { z } = await compute(device, { x: floats }, {}, (g, { x }) => ({
        z: g.normalize(x!, { mean, std }),
      }));
      expectClose(z!, reference.normalize(wide(floats), { mean, std, isUint8: false }));
    });

    it("feeds a padded convolution", async () => {
      const bytes = new Tensor(
        [2, 6, 5, 3],
        Uint8Array.from({ length: 180 }, (_, i) => (i * 31) % 256),
      );
      const weight = randn(8, 3, 3, 3);
      const { y } = await compute(device, { x: bytes }, { weight }, (g, { x }, p) => ({
        y: g.conv2d(g.normalize(x!, { mean, std }), p.weight!, { padding: 1 }),
      }));
      const wideBytes = { shape: bytes.shape, data: Float64Array.from(bytes.data as Uint8Array) };
      const normalized = reference.normalize(wideBytes, { mean, std, isUint8: true });
      expectClose(y!, reference.conv2d(normalized, wide(weight), { padding: 1 }));
    });
  });

  describe("softmax", () => {
    it.each([
      [1, 1],
      [2, 10],
      [5, 1000],
    ] as const)("batch %i of %i", async (n, features) => {
      const input = randn(n, features);
      const { y } = await compute(device, { x: input }, {}, (g, { x }) => ({ y: g.softmax(x!) }));
      expectClose(y!, reference.softmax(wide(input)));
    });

    it("neither overflows nor hides NaN", async () => {
      const input = new Tensor([3, 2], Float32Array.of(1e30, 0, -1e30, -1e30, Number.NaN, 0));
      const { y } = await compute(device, { x: input }, {}, (g, { x }) => ({ y: g.softmax(x!) }));
      expect([...(y!.data as Float32Array)]).toEqual([1, 0, 0.5, 0.5, Number.NaN, Number.NaN]);
    });
  });

  describe("topK", () => {
    it.each([
      [1, 1, 1],
      [2, 10, 3],
      [5, 1000, 5],
      [3, 7, 7],
    ] as const)("batch %i of %i, k %i", async (n, features, k) => {
      const input = randn(n, features);
      const { values, indices } = await compute(device, { x: input }, {}, (g, { x }) => ({
        ...g.topK(x!, k),
      }));
      const truth = reference.topK(wide(input), k);
      expectClose(values!, truth.values, 0);
      expect(indices!.dtype).toBe("int32");
      expect([...(indices!.data as Int32Array)]).toEqual([...truth.indices.data]);
    });

    it("takes the lower index among equals and NaN first", async () => {
      const input = new Tensor(
        [1, 6],
        Float32Array.of(1, 3, Number.NaN, 3, Number.POSITIVE_INFINITY, 1),
      );
      const { indices } = await compute(device, { x: input }, {}, (g, { x }) => ({
        ...g.topK(x!, 5),
      }));
      expect([...(indices!.data as Int32Array)]).toEqual([2, 4, 1, 3, 0]);
    });
  });

  it("runs one graph at many batch sizes with one set of weights", async () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", [3, 8, 8]);
    const c = builder.conv2d(x, builder.parameter("w", [5, 3, 3, 3]), { padding: 1, relu: true });
    const pooled = builder.flatten(builder.maxPool2d(c));
    const y = builder.gemm(pooled, builder.parameter("v", [4, 80]));
    const graph = Graph.compile(device, builder.finish({ y }));
    const w = randn(5, 3, 3, 3);
    const v = randn(4, 80);
    await graph.parameters.set("w", w);
    await graph.parameters.set("v", v);
    let bytes = 0;
    for (const n of [1, 5, 2, 1, 16, 3]) {
      const input = randn(n, 3, 8, 8);
      const { y: actual } = await graph.run({ x: input });
      const conv = reference.conv2d(wide(input), wide(w), { padding: 1, relu: true });
      expectClose(
        actual as Tensor,
        reference.gemm(reference.flatten(reference.maxPool2d(conv)), wide(v)),
      );
      bytes ||= device.memoryStats().parameterBytes;
      expect(device.memoryStats().parameterBytes).toBe(bytes);
    }
    expectClose(await graph.parameters.get("v"), wide(v), 0);
    await graph.dispose();
  });
});
