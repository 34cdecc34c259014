// A model on a fake GPU (test/fake-cuda) of compute capability 7.5, which has no TF32 and no bfloat16.
import { describe, expect, it } from "vitest";
import { Tensor, Vgg } from "../../lib/index.ts";
import { isBuilt } from "./fake-gpu.ts";
import { useFakeGpu } from "./in-process.ts";
import { caught, shape } from "./network.mjs";

useFakeGpu({ FAKE_CUDA_CAPABILITY: "7.5" });

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it("computes in what its generation has, and names that", async () => {
    const small = { imageSize: 32, numClasses: 10, hiddenFeatures: 64 } as const;
    for (const precision of ["tf32", "bfloat16"] as const) {
      const options = { device: "cuda", precision: precision as "tf32", ...small } as const;
      expect(await caught(Vgg.create("vgg11", options))).toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringContaining("which has float32, float16"),
      });
    }
    const seeded = { seed: 4, ...small } as const;
    await using onGpu = await Vgg.create("vgg11", {
      device: "cuda",
      precision: "float16",
      ...seeded,
    });
    await using onCpu = await Vgg.create("vgg11", { device: "cpu", ...seeded });
    const received = (await onGpu.forward(Tensor.randn(shape))).data as Float32Array;
    const expected = (await onCpu.forward(Tensor.randn(shape))).data as Float32Array;
    const largest = Math.max(...expected.map(Math.abs));
    for (const [i, x] of received.entries())
      expect(Math.abs(x - expected[i]!) / largest).toBeLessThan(5e-3);
  });
});
