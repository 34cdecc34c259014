// Models on two fake GPUs (test/fake-cuda) at once.
import { describe, expect, it } from "vitest";
import { openDevice, Tensor } from "../../lib/index.ts";
import { isBuilt } from "./fake-gpu.ts";
import { network, useFakeGpu } from "./in-process.ts";
import { caught, shape } from "./network.mjs";

useFakeGpu({ FAKE_CUDA_DEVICES: "2" });

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it("works beside another on a second GPU", async () => {
    const models = await Promise.all(
      (["cuda:0", "cuda:1"] as const).map(async (id) => network(await openDevice(id), { seed: 2 })),
    );
    expect(models.map(({ device }) => device.id)).toEqual(["cuda:0", "cuda:1"]);
    const answers = await Promise.all(models.map((model) => model.forward(Tensor.randn(shape))));
    const [first, second] = answers.map(({ data }) => data as Float32Array);
    expect(second!.length).toBe(10);
    for (const [i, score] of first!.entries())
      expect(Math.abs(score - second![i]!)).toBeLessThan(1e-3);
    expect(await caught(openDevice("cuda:2"))).toMatchObject({
      code: "DEVICE_UNAVAILABLE",
      message: "Expected a GPU below cuda:2 but received cuda:2",
    });
    for (const model of models) await model.dispose();
  });
});
