// Operations on images on every device against their definitions in reference.ts, over many shapes.
import { describe, expect, it } from "vitest";
import { Tensor } from "../../lib/index.ts";
import * as reference from "../reference.ts";
import {
  compute,
  convolutionError,
  describeOnEach,
  device,
  expectClose,
  preciseError,
  randn,
  wide,
} from "../support/ops.ts";

describeOnEach(() => {
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
      // Winograd's algorithm on the CPU: blocks of one thread and shared blocks, edges, no padding and large padding.
      [1, 64, 40, 40, 16, 3, 1, 1],
      [2, 32, 15, 13, 64, 3, 1, 1],
      [2, 256, 6, 7, 32, 3, 1, 1],
      [2, 32, 18, 17, 32, 3, 0, 1],
      [1, 32, 9, 10, 32, 3, 2, 1],
      [1, 144, 9, 10, 208, 3, 1, 1],
      // Of these four images, a CPU with 24 threads computes two at once.
      [4, 32, 9, 10, 32, 3, 1, 1],
    ] as const;
    it.each(cases)(
      "batch %i, %i channels, %i × %i, %i filters of side %i, padding %i, stride %i",
      async (...c) => {
        const [n, channels, height, width, filters, side, padding, stride] = c;
        const input = randn(n, channels, height, width);
        const weight = randn(filters, channels, side, side);
        const bias = randn(filters);
        for (const relu of [false, true]) {
          const { y } = await compute({ x: input }, { weight, bias }, (g, { x }, p) => ({
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
      [1, 64, 40, 40, 32],
      [3, 32, 30, 18, 64],
      [1, 32, 18, 30, 32],
    ] as const)(
      "rounds less if it is precise: batch %i, %i channels, %i × %i, %i filters",
      async (n, channels, height, width, filters) => {
        const input = randn(n, channels, height, width);
        const weight = randn(filters, channels, 3, 3);
        const { y } = await compute({ x: input }, { weight }, (g, { x }, p) => ({
          y: g.conv2d(x!, p.weight!, { padding: 1, precise: true }),
        }));
        const truth = reference.conv2d(wide(input), wide(weight), { padding: 1 });
        expectClose(y!, truth, device.info.kind === "cuda" ? convolutionError : preciseError);
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
      "with the pool after it: batch %i, %i channels, %i × %i, %i filters of side %i, padding %i, stride %i",
      async (n, channels, height, width, filters, side, padding, stride) => {
        const input = randn(n, channels, height, width);
        const weight = randn(filters, channels, side, side);
        const bias = randn(filters);
        for (const relu of [false, true]) {
          const { y, z } = await compute({ x: input }, { weight, bias }, (g, { x }, p) => {
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

    it("works without a bias", async () => {
      const input = randn(1, 3, 6, 6);
      const weight = randn(4, 3, 3, 3);
      const { y } = await compute({ x: input }, { weight }, (g, { x }, p) => ({
        y: g.conv2d(x!, p.weight!),
      }));
      expectClose(y!, reference.conv2d(wide(input), wide(weight)));
    });

    it("reads one value with different paddings", async () => {
      const input = randn(2, 3, 6, 6);
      const a = randn(4, 3, 3, 3);
      const b = randn(4, 3, 5, 5);
      const { y, z } = await compute({ x: input }, { a, b }, (g, { x }, p) => ({
        y: g.conv2d(x!, p.a!, { padding: 0 }),
        z: g.conv2d(x!, p.b!, { padding: 4 }),
      }));
      expectClose(y!, reference.conv2d(wide(input), wide(a)));
      expectClose(z!, reference.conv2d(wide(input), wide(b), { padding: 4 }));
    });

    it("propagates NaN, infinity and denormals", async () => {
      const input = Tensor.zeros([1, 1, 5, 5]);
      const data = input.data as Float32Array;
      data[0] = Number.NaN;
      data[24] = Number.POSITIVE_INFINITY;
      data[12] = 1e-40;
      const weight = new Tensor([1, 1, 1, 1], Float32Array.of(0.5));
      for (const relu of [false, true]) {
        const { y } = await compute({ x: input }, { weight }, (g, { x }, p) => ({
          y: g.conv2d(x!, p.weight!, { relu }),
        }));
        const result = y!.data as Float32Array;
        expect(result[0]).toBeNaN();
        expect(result[24]).toBe(Number.POSITIVE_INFINITY);
        // A GPU's libraries may flush denormals to zero.
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
        const { y } = await compute({ x: input }, {}, (g, { x }) => ({
          y: g.maxPool2d(x!, { size, stride, padding }),
        }));
        expectClose(y!, reference.maxPool2d(wide(input), { size, stride, padding }), 0);
      },
    );

    it("propagates NaN from any position in the window", async () => {
      for (let place = 0; place < 4; place++) {
        const data = new Float32Array(4 * 20).fill(-1);
        for (let channel = 0; channel < 20; channel++) data[channel * 4 + place] = Number.NaN;
        const input = new Tensor([1, 20, 2, 2], data);
        const { y } = await compute({ x: input }, {}, (g, { x }) => ({
          y: g.maxPool2d(x!),
        }));
        expect([...(y!.data as Float32Array)]).toEqual(new Array(20).fill(Number.NaN));
      }
    });

    it("gives minus infinity if the whole window is minus infinity", async () => {
      const input = new Tensor([1, 1, 2, 2], new Float32Array(4).fill(Number.NEGATIVE_INFINITY));
      const { y } = await compute({ x: input }, {}, (g, { x }) => ({ y: g.maxPool2d(x!) }));
      expect([...(y!.data as Float32Array)]).toEqual([Number.NEGATIVE_INFINITY]);
    });
  });

  describe("adaptiveAvgPool2d", () => {
    it.each([
      [1, 3, 7, 7, 7, 7],
      [2, 5, 1, 1, 7, 7],
      [1, 4, 3, 3, 7, 7],
      [3, 2, 14, 10, 7, 7],
      [2, 17, 2, 5, 7, 7],
      [1, 16, 9, 6, 7, 7],
      [2, 5, 1, 16, 7, 7],
      [1, 33, 12, 13, 7, 7],
      [2, 8, 3, 7, 1, 1],
      [1, 9, 5, 9, 3, 2],
      [1, 1, 4, 4, 1, 1],
    ] as const)(
      "batch %i, %i channels, %i × %i → %i × %i",
      async (n, channels, height, width, rows, columns) => {
        const input = randn(n, channels, height, width);
        const { y } = await compute({ x: input }, {}, (g, { x }) => ({
          y: g.adaptiveAvgPool2d(x!, [rows, columns]),
        }));
        expectClose(y!, reference.adaptiveAvgPool2d(wide(input), [rows, columns]));
      },
    );
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
        const { y } = await compute({ x: input }, p, (g, { x }, q) => ({
          y: g.batchNorm(x!, { ...(q as object), relu } as never),
        }));
        expectClose(y!, reference.batchNorm(wide(input), { ...wideAll(p), relu }));
      }
    });

    it("folds into the convolution before it, unless the value between them is an output", async () => {
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
        const { y, b } = await compute({ x: input }, { filter, offset, ...p }, (g, { x }, q) => {
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
        });
        expectClose(y!, truth);
        if (isWanted) expectClose(b!, between);
      }
    });
  });

  describe("normalize", () => {
    const usualMean = [0.485, 0.456, 0.406];
    const usualStd = [0.229, 0.224, 0.225];
    it.each([
      [1, 1, 1, 3],
      [2, 5, 7, 3],
      [5, 16, 16, 3],
      [3, 5, 7, 1],
    ] as const)("batch %i of %i × %i pixels of %i, uint8 and float32", async (n, h, w, c) => {
      const [mean, std] = [usualMean.slice(0, c), usualStd.slice(0, c)];
      const bytes = new Tensor(
        [n, h, w, c],
        Uint8Array.from({ length: n * h * w * c }, (_, i) => (i * 97) % 256),
      );
      const wideBytes = { shape: bytes.shape, data: Float64Array.from(bytes.data as Uint8Array) };
      const { y } = await compute({ x: bytes }, {}, (g, { x }) => ({
        y: g.normalize(x!, { mean, std }),
      }));
      expectClose(y!, reference.normalize(wideBytes, { mean, std, isUint8: true }));
      const floats = randn(n, c, h, w);
      const { z } = await compute({ x: floats }, {}, (g, { x }) => ({
        z: g.normalize(x!, { mean, std }),
      }));
      expectClose(z!, reference.normalize(wide(floats), { mean, std, isUint8: false }));
    });

    it("can feed a padded convolution", async () => {
      const bytes = new Tensor(
        [2, 6, 5, 3],
        Uint8Array.from({ length: 180 }, (_, i) => (i * 31) % 256),
      );
      const weight = randn(8, 3, 3, 3);
      const { y } = await compute({ x: bytes }, { weight }, (g, { x }, p) => ({
        y: g.conv2d(g.normalize(x!, { mean: usualMean, std: usualStd }), p.weight!, { padding: 1 }),
      }));
      const wideBytes = { shape: bytes.shape, data: Float64Array.from(bytes.data as Uint8Array) };
      const normalized = reference.normalize(wideBytes, {
        mean: usualMean,
        std: usualStd,
        isUint8: true,
      });
      expectClose(y!, reference.conv2d(normalized, wide(weight), { padding: 1 }));
    });
  });
});
