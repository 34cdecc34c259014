// Models on a fake GPU (test/fake-cuda) whose streams are late: each run still gets its own answer.
import { describe, expect, it } from "vitest";
import { openDevice, Tensor } from "../../lib/index.ts";
import { isBuilt } from "./fake-gpu.ts";
import { control, counts, network, useFakeGpu } from "./in-process.ts";
import { shape } from "./network.mjs";

useFakeGpu();

// The late streams first: engines are timed on them, and what was chosen is kept.
describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it.each([300, 0])(
    "answers each of many forwards rightly on streams that are %i µs late",
    async (delay) => {
      control("delayMicroseconds", delay);
      const model = await network(await openDevice("cuda"));
      const images = Array.from({ length: 24 }, (_, i) =>
        Tensor.randn([1 + (i % 3), ...shape.slice(1)], i),
      );
      const alone = [];
      for (const image of images) alone.push((await model.forward(image)).data as Float32Array);
      const together = await Promise.all(images.map((image) => model.forward(image)));
      for (const [i, { data }] of together.entries()) {
        for (const [j, value] of (data as Float32Array).entries()) {
          const expected = alone[i]![j]!;
          expect(Math.abs(value - expected)).toBeLessThanOrEqual(1e-3 * Math.abs(expected) + 1e-5);
        }
      }
      await model.dispose();
      expect(control("misuseCount")).toBe(0);
    },
  );

  it.each([300, 0])("is profiled step by step on streams that are %i µs late", async (delay) => {
    control("delayMicroseconds", delay);
    const model = await network(await openDevice("cuda"));
    const image = Tensor.randn([3, 3, 32, 32], 1);
    const expected = await model.forward(image);
    const before = counts();
    // Beside runs that are under way.
    const running = [1, 2, 3].map((seed) => model.forward(Tensor.randn([3, 3, 32, 32], seed)));
    const { outputs, steps } = await model.profile(image, { iterations: 2 });
    const [beside] = await Promise.all(running);
    expect(counts()).toEqual(before);
    expect(steps.map(({ kind }) => kind)).toEqual([
      "conv2d+maxPool2d",
      "conv2d",
      "adaptiveAvgPool2d",
      "flatten+gemm",
      "output",
    ]);
    for (const { medianMs } of steps) expect(medianMs).toBeGreaterThanOrEqual(0);
    for (const same of [outputs.y!, beside!]) expect(same.data).toEqual(expected.data);
    await model.dispose();
    expect(control("misuseCount")).toBe(0);
  });
});
