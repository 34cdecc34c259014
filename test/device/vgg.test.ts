// The model: its parameters, their initialisation, and what it computes from them.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Tensor, Vgg, VggError } from "../../lib/index.ts";
import { relativeError } from "../support/compare.ts";
import { testDevice } from "../support/devices.ts";
import { normalNumber } from "../support/philox.ts";

describe("Vgg", () => {
  let model: Vgg;
  const shape = [1, 3, 32, 32];
  beforeAll(async () => {
    model = await Vgg.create("vgg11_bn", {
      device: testDevice,
      imageSize: 32,
      numClasses: 10,
      hiddenFeatures: 64,
      seed: 5,
    });
  });
  afterAll(() => model.dispose());

  it("describes itself", () => {
    expect(model.arch).toBe("vgg11_bn");
    expect(model.device.kind).toBe(testDevice.kind);
    expect(model.precision).toBe("float32");
    expect(model.numClasses).toBe(10);
    expect(model.isDisposed).toBe(false);
    const parameters = [...model.parameters()];
    expect(parameters[0]).toEqual({
      name: "features.0.weight",
      shape: [64, 3, 3, 3],
      dtype: "float32",
      isTrainable: true,
    });
    const trained = parameters.filter(({ isTrainable }) => isTrainable);
    expect(trained.reduce((sum, { shape: s }) => sum + s.reduce((a, b) => a * b, 1), 0)).toBe(
      model.parameterCount,
    );
  });

  it("initialises as torchvision does, the same on every machine", async () => {
    const entries = [...model.parameters()].map(({ name }) => name);
    const deviations: Record<string, number> = {
      "features.0.weight": Math.sqrt(2 / (64 * 9)),
      "features.25.weight": Math.sqrt(2 / (512 * 9)),
      "classifier.3.weight": 0.01,
    };
    for (const [name, deviation] of Object.entries(deviations)) {
      const data = (await model.getParameter(name)).data as Float32Array;
      for (const i of [0, 1, 2, 3, 1001, data.length - 1]) {
        const expected = normalNumber(i, 5, entries.indexOf(name)) * deviation;
        expect(Math.abs(data[i]! - expected)).toBeLessThan(2e-6 * deviation);
      }
      const actual = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length);
      expect(Math.abs(actual / deviation - 1)).toBeLessThan(0.05);
    }
    for (const [suffix, value] of Object.entries({
      weight: 1,
      bias: 0,
      running_mean: 0,
      running_var: 1,
    })) {
      expect(
        new Set((await model.getParameter(`features.1.${suffix}`)).data as Float32Array),
      ).toEqual(new Set([value]));
    }
    expect((await model.getParameter("features.1.num_batches_tracked")).data).toEqual(
      BigInt64Array.of(0n),
    );
    // The hash is fixed, so a change of any bit on any machine shows.
    const bytes = (await model.getParameter("classifier.3.weight")).data;
    const hash = createHash("sha256").update(new Uint8Array(bytes.buffer)).digest("hex");
    expect(hash).toBe("4b543699fe89f559d398ab013c27a03b91194d86b51cbb7f0e8816f09e343990");
  });

  it("keeps every bit of a parameter, however the device stores it", async () => {
    for (const { name, shape: s, dtype } of [...model.parameters()].filter(
      ({ name }) => !name.startsWith("classifier.3"),
    )) {
      const before = await model.getParameter(name);
      const tensor = dtype === "int64" ? new Tensor([], BigInt64Array.of(7n)) : Tensor.randn(s, 9);
      await model.setParameter(name, tensor);
      const after = await model.getParameter(name);
      expect(after.shape).toEqual(s);
      expect(
        Buffer.compare(Buffer.from(after.data.buffer), Buffer.from(tensor.data.buffer)),
        name,
      ).toBe(0);
      await model.setParameter(name, before);
    }
  });

  it("uses a new parameter in the next forward, even in folded batch normalisation", async () => {
    const input = Tensor.randn(shape, 2);
    const before = await model.forward(input);
    for (const name of [
      "classifier.6.bias",
      "features.1.running_mean",
      "features.0.weight",
      "classifier.0.weight",
    ]) {
      const old = await model.getParameter(name);
      const changed = new Tensor(
        old.shape,
        (old.data as Float32Array).map((x) => x * 1.5 + 1e-3),
      );
      await model.setParameter(name, changed);
      expect((await model.forward(input)).data, name).not.toEqual(before.data);
      await model.setParameter(name, old);
      expect((await model.forward(input)).data, name).toEqual(before.data);
    }
  });

  it("loads a state dict, and returns the same one", async () => {
    const state = await model.stateDict();
    expect([...state.keys()]).toEqual([...model.parameters()].map(({ name }) => name));
    const input = Tensor.randn(shape, 4);
    const logits = await model.forward(input);
    const other = await Vgg.create("vgg11_bn", {
      device: testDevice,
      imageSize: 32,
      numClasses: 10,
      hiddenFeatures: 64,
      seed: 6,
    });
    expect((await other.forward(input)).data).not.toEqual(logits.data);
    expect(await other.loadStateDict(state)).toEqual({ missing: [], unexpected: [] });
    expect((await other.forward(input)).data).toEqual(logits.data);
    expect((await other.stateDict()).get("classifier.0.bias")).toEqual(
      state.get("classifier.0.bias"),
    );
    // Older files lack num_batches_tracked. An object is accepted like a Map.
    const old = Object.fromEntries(
      [...state].filter(([name]) => !name.endsWith("num_batches_tracked")),
    );
    expect(await other.loadStateDict(old)).toEqual({ missing: [], unexpected: [] });
    await other.dispose();
  });

  it("names every differing key in one error, and changes nothing", async () => {
    const input = Tensor.randn(shape, 4);
    const before = await model.forward(input);
    const tensors = new Map([
      ["features.0.weight", Tensor.zeros([64, 3, 3, 3])],
      ["features.0.bias", Tensor.zeros([63])],
      ["extra.one", Tensor.zeros([1])],
      ["extra.two", Tensor.zeros([1])],
    ]);
    const error = await model.loadStateDict(tensors).catch((e) => e);
    expect(error).toBeInstanceOf(VggError);
    expect(error.code).toBe("STATE_DICT_MISMATCH");
    expect(error.message).toContain("Missing keys: features.1.weight, features.1.bias,");
    expect(error.message).toContain("classifier.6.bias");
    expect(error.message).toContain("Unexpected keys: extra.one, extra.two");
    expect(error.message).toContain("Other shapes: features.0.bias (expected (64), received (63))");
    await expect(model.loadStateDict(tensors, { strict: false })).rejects.toThrow(
      "features.0.bias",
    );
    expect((await model.forward(input)).data).toEqual(before.data);

    const partial = new Map([
      ["classifier.6.bias", Tensor.zeros([10])],
      ["extra", Tensor.zeros([1])],
    ]);
    const difference = await model.loadStateDict(partial, { strict: false });
    expect(difference.unexpected).toEqual(["extra"]);
    expect(difference.missing).toContain("features.0.weight");
  });

  it("returns layers by name, before the ReLU that follows", async () => {
    const input = Tensor.randn(shape, 1);
    const layers = await model.forward(input, {
      outputs: ["features.0", "features.2", "classifier.5", "classifier.6"],
    });
    expect(Object.keys(layers).sort()).toEqual([
      "classifier.5",
      "classifier.6",
      "features.0",
      "features.2",
    ]);
    expect(layers["features.0"].shape).toEqual([1, 64, 32, 32]);
    expect(Math.min(...(layers["features.0"].data as Float32Array))).toBeLessThan(0);
    expect(Math.min(...(layers["features.2"].data as Float32Array))).toBe(0);
    const logits = (await model.forward(input)).data as Float32Array;
    expect(relativeError(layers["classifier.6"].data as Float32Array, logits)).toBeLessThan(1e-5);
  });

  it("warms up for batch sizes", async () => {
    await model.warmup([1, 3]);
    await model.warmup();
    expect((await model.forward(Tensor.zeros([3, 3, 32, 32]))).shape).toEqual([3, 10]);
    await expect(model.warmup([0])).rejects.toThrow(
      "Expected an integer from 1 to 2147483647 for batchSizes but received 0",
    );
    await expect(model.warmup(3 as never)).rejects.toThrow(TypeError);
  });
});
