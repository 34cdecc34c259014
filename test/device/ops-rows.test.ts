// Operations on rows of features, and the flatten before them, on every device against their definitions in reference.ts.
import { describe, expect, it } from "vitest";
import { Graph, GraphBuilder, Tensor } from "../../lib/index.ts";
import * as reference from "../reference.ts";
import { compute, describeOnEach, device, expectClose, randn, wide } from "../support/ops.ts";

describeOnEach(() => {
  describe("gemm", () => {
    it.each([
      [1, 1, 1],
      [1, 7, 5],
      [2, 64, 32],
      [3, 1000, 33],
      [5, 513, 70],
      [17, 100, 10],
      [40, 1100, 65],
      [1, 2100, 1100], // Parts of the inputs, strips of the outputs.
      [6, 70, 2100],
      [7, 2100, 70],
      [7, 70, 1030],
    ] as const)("batch %i, %i inputs, %i outputs", async (n, inputs, outputs) => {
      const input = randn(n, inputs);
      const weight = randn(outputs, inputs);
      const bias = randn(outputs);
      for (const relu of [false, true]) {
        const { y, z } = await compute({ x: input }, { weight, bias }, (g, { x }, p) => ({
          y: g.gemm(x!, p.weight!, { bias: p.bias!, relu }),
          z: g.gemm(x!, p.weight!),
        }));
        expectClose(y!, reference.gemm(wide(input), wide(weight), { bias: wide(bias), relu }));
        expectClose(z!, reference.gemm(wide(input), wide(weight)));
      }
    });

    it.each([1, 4, 7])("batch %i with some or all inputs zero", async (n) => {
      const weight = randn(70, 1100);
      const bias = randn(70);
      for (const share of [0, 0.3, 0.9, 1]) {
        const input = randn(n, 1100);
        const data = input.data as Float32Array;
        // Most of the first image's zeros are zero in the others too. Some zeros are negative.
        for (let i = 0; i < data.length; i++) {
          const place = (i * 7919) % 1100;
          if (place < share * 1100 && (i < 1100 || place % 5 !== 0 || share === 1))
            data[i] = i % 2 === 0 ? 0 : -0;
        }
        const { y } = await compute({ x: input }, { weight, bias }, (g, { x }, p) => ({
          y: g.gemm(x!, p.weight!, { bias: p.bias! }),
        }));
        expectClose(y!, reference.gemm(wide(input), wide(weight), { bias: wide(bias) }));
      }
    });

    it.each([1, 7])("batch %i gives NaN for zero times an infinite or NaN weight", async (n) => {
      const input = new Tensor(
        [n, 3],
        new Float32Array(3 * n).map((_, i) => i % 3),
      ); // 0, 1, 2
      const { POSITIVE_INFINITY, NaN: nan } = Number;
      const weight = new Tensor(
        [4, 3],
        Float32Array.of(POSITIVE_INFINITY, 1, 1, nan, 1, 1, 1, POSITIVE_INFINITY, 1, 1, 1, 1),
      );
      const { y } = await compute({ x: input }, { weight }, (g, { x }, p) => ({
        y: g.gemm(x!, p.weight!),
      }));
      const row = [nan, nan, POSITIVE_INFINITY, 3];
      expect([...(y!.data as Float32Array)]).toEqual(new Array(n).fill(row).flat());
    });

    it("keeps infinity and NaN in their own row", async () => {
      const input = new Tensor(
        [3, 2],
        Float32Array.of(1, 2, Number.NaN, 0, Number.POSITIVE_INFINITY, 0),
      );
      const weight = new Tensor([1, 2], Float32Array.of(1, 1));
      const { y } = await compute({ x: input }, { weight }, (g, { x }, p) => ({
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
        // The result is an output, feeds a linear layer, or both, and then a padded convolution reads the value too.
        const alone = await compute({ x: input }, {}, (g, { x }) => ({ y: g.flatten(x!) }));
        expectClose(alone.y!, flat, 0);
        const linear = await compute({ x: input }, { weight }, (g, { x }, p) => ({
          y: g.gemm(g.flatten(x!), p.weight!),
        }));
        expectClose(linear.y!, reference.gemm(flat, wide(weight)));
        const both = await compute({ x: input }, { weight, filter }, (g, { x }, p) => {
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
        const bordered = await compute({ x: input }, { weight, filter }, (g, { x }, p) => ({
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
      const { y, z } = await compute({ image, row }, { weight }, (g, v, p) => ({
        y: g.gemm(g.flatten(v.image!), p.weight!),
        z: g.gemm(v.row!, p.weight!),
      }));
      expectClose(y!, reference.gemm(reference.flatten(wide(image)), wide(weight)));
      expectClose(z!, reference.gemm(wide(row), wide(weight)));
    });
  });

  describe("relu", () => {
    it("keeps NaN and zeroes negative values, on images and rows", async () => {
      const image = randn(2, 19, 3, 3);
      (image.data as Float32Array)[4] = Number.NaN;
      const row = randn(2, 21);
      const { y, z } = await compute({ image, row }, {}, (g, v) => ({
        y: g.relu(v.image!),
        z: g.relu(v.row!),
      }));
      expectClose(y!, reference.relu(wide(image)), 0);
      expectClose(z!, reference.relu(wide(row)), 0);
    });
  });

  describe("softmax", () => {
    it.each([
      [1, 1],
      [2, 10],
      [5, 1000],
    ] as const)("batch %i of %i", async (n, features) => {
      const input = randn(n, features);
      const { y } = await compute({ x: input }, {}, (g, { x }) => ({ y: g.softmax(x!) }));
      expectClose(y!, reference.softmax(wide(input)));
    });

    it("does not overflow, and propagates NaN", async () => {
      const input = new Tensor([3, 2], Float32Array.of(1e30, 0, -1e30, -1e30, Number.NaN, 0));
      const { y } = await compute({ x: input }, {}, (g, { x }) => ({ y: g.softmax(x!) }));
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
      const { values, indices } = await compute({ x: input }, {}, (g, { x }) => ({
        ...g.topK(x!, k),
      }));
      const truth = reference.topK(wide(input), k);
      expectClose(values!, truth.values, 0);
      expect(indices!.dtype).toBe("int32");
      expect([...(indices!.data as Int32Array)]).toEqual([...truth.indices.data]);
    });

    it("puts NaN first, and the lower index first among equals", async () => {
      const input = new Tensor(
        [1, 6],
        Float32Array.of(1, 3, Number.NaN, 3, Number.POSITIVE_INFINITY, 1),
      );
      const { indices } = await compute({ x: input }, {}, (g, { x }) => ({
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
