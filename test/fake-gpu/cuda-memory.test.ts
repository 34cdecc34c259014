// A model on a fake GPU (test/fake-cuda) of 500 MB: what is said if that is not enough.
import { describe, expect, it } from "vitest";
import { DeviceTensor, Tensor, Vgg } from "../../lib/index.ts";
import { isBuilt } from "./fake-gpu.ts";
import { useFakeGpu } from "./in-process.ts";
import { caught, shape } from "./network.mjs";

useFakeGpu({ FAKE_CUDA_MEMORY: "500000000" });

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it("says what memory was asked for and what was free, and goes on with less", async () => {
    const small = { device: "cuda", imageSize: 32, numClasses: 10 } as const;
    const error = await caught(Vgg.create("vgg11", small));
    expect(error!.code).toBe("OUT_OF_MEMORY");
    expect(error!.message).toMatch(
      /Fake GPU has \d+ of 500000000 bytes free, and \d+ were asked for/,
    );
    await using model = await Vgg.create("vgg11", { ...small, precision: "float16" });
    const filling = DeviceTensor.allocate(model.device, [50_800_000]);
    expect((await caught(model.warmup([2])))!.code).toBe("OUT_OF_MEMORY");
    filling.dispose();
    expect((await model.forward(Tensor.randn(shape))).shape).toEqual([1, 10]);
  });
});
