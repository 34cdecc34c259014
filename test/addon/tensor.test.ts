// Tensor: what it takes and refuses, what it copies, and the random numbers of randn.
import { describe, expect, it } from "vitest";
import { DeviceTensor, Tensor, Vgg } from "../../lib/index.ts";
import { checkTensor } from "../../lib/tensor.ts";
import { normalNumber } from "../support/philox.ts";

describe("Tensor", () => {
  it("keeps shape, dtype and the caller's own array", () => {
    const data = new Float32Array(6);
    const tensor = new Tensor([1, 2, 3], data);
    expect(tensor.shape).toEqual([1, 2, 3]);
    expect(tensor.dtype).toBe("float32");
    expect(tensor.data).toBe(data);
    expect(tensor.size).toBe(6);
    expect(String(tensor)).toBe("Tensor (1, 2, 3) float32");
  });

  it("is not changed by a later change of the shape array", () => {
    const shape = [2, 3];
    const tensor = new Tensor(shape, new Float32Array(6));
    shape[0] = 7;
    expect(tensor.shape).toEqual([2, 3]);
    expect(() => (tensor.shape as number[]).push(1)).toThrow(TypeError);
  });

  it("takes the dtype of its array, and half-precision numbers as bits", () => {
    expect(new Tensor([1], new Float64Array(1)).dtype).toBe("float64");
    expect(new Tensor([], new BigInt64Array(1)).dtype).toBe("int64");
    expect(new Tensor([1], new Uint16Array(1)).dtype).toBe("uint16");
    expect(new Tensor([1], new Uint16Array(1), "bfloat16").dtype).toBe("bfloat16");
    expect(new Tensor([0, 3], new Uint8Array(0)).size).toBe(0);
  });

  it.each([
    [
      "a shape that is not an array",
      () => new Tensor("1,2" as never, new Float32Array(2)),
      TypeError,
    ],
    ["a negative dimension", () => new Tensor([-1], new Float32Array(1)), RangeError],
    ["NaN in the shape", () => new Tensor([Number.NaN], new Float32Array(1)), RangeError],
    ["2.5 in the shape", () => new Tensor([2.5], new Float32Array(1)), RangeError],
    ["a string in the shape", () => new Tensor(["1" as never], new Float32Array(1)), TypeError],
    [
      "a shape that overflows",
      () => new Tensor([2 ** 30, 2 ** 30], new Float32Array(1)),
      RangeError,
    ],
    ["too few elements", () => new Tensor([2, 3], new Float32Array(5)), RangeError],
    ["an ordinary array", () => new Tensor([1], [1] as never), TypeError],
    ["no data", () => new Tensor([1], undefined as never), TypeError],
    ["a DataView", () => new Tensor([1], new DataView(new ArrayBuffer(4)) as never), TypeError],
    [
      "a dtype that does not match the array",
      () => new Tensor([1], new Float32Array(1), "int8" as never),
      TypeError,
    ],
    [
      "an unknown dtype",
      () => new Tensor([1], new Float32Array(1), "float31" as never),
      RangeError,
    ],
    ["zeros too large for one array", () => Tensor.zeros([2 ** 20, 2 ** 20]), RangeError],
    ["a negative seed", () => Tensor.randn([1], -1), RangeError],
    ["a seed that is NaN", () => Tensor.randn([1], Number.NaN), RangeError],
  ])("refuses %s", (_, make, type) => {
    expect(make).toThrow(type);
    expect(make).toThrow(/Expected|Invalid typed array length/);
  });

  it("describes a value that contains itself", () => {
    const loop: unknown[] = [1];
    loop.push(loop);
    expect(() => new Tensor([1], loop as never)).toThrow(
      "for data but received [1, an array of 2]",
    );
  });

  it("says what was expected and what was received", () => {
    expect(() => new Tensor([2, 3], new Float32Array(5))).toThrow(
      "Expected 6 elements, as shape (2, 3) has, for data but received 5",
    );
  });
});

describe("Tensor.randn", () => {
  it("follows the definition: Box–Muller over Philox 4x32-10", () => {
    for (const seed of [0, 7, 2 ** 40 + 3]) {
      const { data } = Tensor.randn([10_000], seed);
      for (const i of [0, 1, 2, 3, 4, 1023, 1024, 4095, 9999]) {
        expect(Math.abs((data as Float32Array)[i]! - normalNumber(i, seed, 0))).toBeLessThan(2e-6);
      }
    }
  });

  it("is normally distributed, and differs for another seed", () => {
    const data = Tensor.randn([1_000_000], 3).data as Float32Array;
    const mean = data.reduce((a, b) => a + b, 0) / data.length;
    const moment = (k: number) => data.reduce((a, b) => a + (b - mean) ** k, 0) / data.length;
    expect(Math.abs(mean)).toBeLessThan(0.005);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.01);
    expect(Math.abs(moment(3))).toBeLessThan(0.02);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.05);
    expect(Tensor.randn([8], 1).data).not.toEqual(Tensor.randn([8], 2).data);
  });
});

describe("a tensor that structuredClone or postMessage copied", () => {
  it("is taken as a tensor", async () => {
    // Other realms have other symbols for `await using`.
    const model = await Vgg.create("vgg11", {
      device: "cpu",
      imageSize: 32,
      numClasses: 2,
      hiddenFeatures: 64,
    });
    const x = Tensor.randn([1, 3, 32, 32], 1);
    const { data } = await model.forward(x);
    expect((await model.forward(structuredClone(x))).data).toEqual(data);
    const bias = new Tensor([2], Float32Array.of(1, 2));
    await model.setParameter("classifier.6.bias", structuredClone(bias));
    expect((await model.getParameter("classifier.6.bias")).data).toEqual(bias.data);
    await model.loadStateDict(structuredClone(await model.stateDict()));
    const input = DeviceTensor.allocate(model.device, x.shape);
    await input.write(structuredClone(x));
    expect((await input.read()).data).toEqual(x.data);
    input.dispose();
    await model.dispose();
  });

  it.each([
    [
      "too few elements",
      { shape: [2], dtype: "int8", data: new Int8Array(1) },
      RangeError,
      "for t.data",
    ],
    [
      "an unknown dtype",
      { shape: [1], dtype: "i1", data: new Int8Array(1) },
      RangeError,
      "for t.dtype",
    ],
    [
      "another array",
      { shape: [1], dtype: "int8", data: new Uint8Array(1) },
      TypeError,
      "for t.data",
    ],
    [
      "a shape of text",
      { shape: "1", dtype: "int8", data: new Int8Array(1) },
      TypeError,
      "for t.shape",
    ],
    ["no dtype", { shape: [1], data: new Int8Array(1) }, TypeError, "Expected a Tensor for t"],
    [
      "more properties",
      { shape: [1], dtype: "int8", data: 1, x: 1 },
      TypeError,
      "Expected a Tensor for t",
    ],
  ])("is refused with %s", (_, value, kind, message) => {
    expect(() => checkTensor(value, "t")).toThrow(kind);
    expect(() => checkTensor(value, "t")).toThrow(message);
  });
});
