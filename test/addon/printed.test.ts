// What console.log, String and JSON.stringify show of models, tensors, devices and graphs; and the constructors that are private.
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dtypes } from "../../lib/dtype.ts";
import {
  type Device,
  DeviceTensor,
  type DType,
  Graph,
  GraphBuilder,
  openDevice,
  Tensor,
  type TensorData,
  Vgg,
} from "../../lib/index.ts";
import { valuesOf } from "../support/dtypes.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

describe("a tensor", () => {
  const float = (...values: number[]) => new Tensor([values.length], Float32Array.from(values));

  it.each<[Tensor<DType>, string]>([
    [Tensor.zeros([]), "Tensor () float32 [ 0 ]"],
    [Tensor.zeros([0, 4]), "Tensor (0, 4) float32 []"],
    [float(0.1, -0, Number.NaN), "Tensor (3) float32 [ 0.1, -0, NaN ]"],
    [float(1, 2, 3, 4, 5, 6, 7, 8), "Tensor (8) float32 [ 1, 2, 3, 4, 5, 6, 7, 8 ]"],
    [float(1, 2, 3, 4, 5, 6, 7, 8, 9), "Tensor (9) float32 [ 1, 2, 3, 4, …, 6, 7, 8, 9 ]"],
    [new Tensor([1], BigInt64Array.of(-7n)), "Tensor (1) int64 [ -7 ]"],
    [new Tensor([2], Uint8Array.of(0, 1), "bool"), "Tensor (2) bool [ false, true ]"],
    [
      new Tensor([3], Uint16Array.of(0x3c00, 0xfc00, 1), "float16"),
      "Tensor (3) float16 [ 1, -Infinity, 5.96046e-8 ]",
    ],
    [
      new Tensor([2], Uint8Array.of(0x38, 0x7f), "float8_e4m3fn"),
      "Tensor (2) float8_e4m3fn [ 1, NaN ]",
    ],
  ])("is shown by shape, dtype and some values: %s", (tensor, expected) => {
    expect(inspect(tensor)).toBe(expected);
  });

  it("is shown in colour, and in short inside other objects", () => {
    expect(inspect(float(5), { colors: true })).toBe(
      "Tensor (1) float32 [ \u001b[33m5\u001b[39m ]",
    );
    expect(inspect({ a: { b: { c: float(5) } } })).toBe(
      "{ a: { b: { c: [Tensor (1) float32] } } }",
    );
  });

  it("is shown when its ArrayBuffer was transferred", () => {
    const tensor = float(1, 2);
    structuredClone(tensor.data, { transfer: [tensor.data.buffer as ArrayBuffer] });
    expect(inspect(tensor)).toBe("Tensor (2) float32 whose ArrayBuffer was transferred or resized");
  });

  it("shows the values of floating-point numbers that are stored as bits", () => {
    for (const dtype of ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"] as const) {
      const bits = dtype.endsWith("float16") ? Uint16Array : Uint8Array;
      for (let first = 0; first < (bits === Uint16Array ? 65_536 : 256); first += 257) {
        const data = bits.of(first % (bits === Uint16Array ? 65_536 : 256));
        const tensor = new Tensor([1], data as Uint16Array, dtype as "float16");
        const [value] = valuesOf(tensor);
        const shown = inspect(tensor).match(/\[ (.*) \]/)![1]!;
        expect(Number(shown), `${dtype} ${first}`).toBe(Number(value!.toPrecision(6)));
      }
    }
  });

  it("is written by JSON.stringify so that it can be made again", () => {
    for (const dtype of dtypes) {
      const tensor = Tensor.zeros([2, 2], dtype);
      tensor.data[3] = typeof tensor.data[3] === "bigint" ? 2n ** 53n + 1n : (1 as never);
      const { shape, data, ...rest } = JSON.parse(JSON.stringify(tensor));
      expect([shape, rest]).toEqual([[2, 2], { dtype }]);
      const type = tensor.data.constructor as unknown as { from(items: unknown): TensorData };
      const items = dtype.endsWith("nt64") ? data.map(BigInt) : data.map(Number);
      expect(new Tensor(shape, type.from(items), dtype).data).toEqual(tensor.data);
    }
    const { data } = float(Number.NaN, Number.NEGATIVE_INFINITY, 1).toJSON();
    expect(data).toEqual(["NaN", "-Infinity", 1]);
    expect(() => JSON.stringify(Tensor.zeros([2 ** 24 + 1], "int8"))).toThrow(
      "Expected at most 16777216 elements for JSON but this tensor has 16777217",
    );
  });
});

it("a tensor on a device is shown with its device", () => {
  const tensor = DeviceTensor.allocate(device, [2, 3], "int8");
  expect(inspect(tensor)).toBe("DeviceTensor (2, 3) int8 on cpu");
  expect(JSON.parse(JSON.stringify(tensor))).toEqual({
    shape: [2, 3],
    dtype: "int8",
    device: "cpu",
  });
  tensor.dispose();
  expect(inspect(tensor)).toBe("DeviceTensor (2, 3) int8 on cpu, disposed");
});

it("a device and a graph are shown in one line", async () => {
  const own = await openDevice("cpu", { threads: 1 });
  expect(inspect(own)).toBe(`Device ${own}`);
  const builder = new GraphBuilder();
  const x = builder.input("x", [3, 8, 8]);
  const graph = Graph.compile(own, builder.finish(builder.topK(builder.flatten(x), 2)));
  const text =
    "Graph on cpu (2 operations): x (N, 3, 8, 8) float32 → values (N, 2) float32, indices (N, 2) int32";
  expect([inspect(graph), String(graph)]).toEqual([text, text]);
  expect(JSON.parse(JSON.stringify(graph)).outputs).toEqual([
    { name: "values", shape: [2], dtype: "float32" },
    { name: "indices", shape: [2], dtype: "int32" },
  ]);
  await graph.dispose();
  own.dispose();
  expect([inspect(graph), inspect(own)]).toEqual([`${text}, disposed`, `Device ${own}, disposed`]);
});

it("a model is shown in one line, without its labels", async () => {
  const options = {
    device,
    imageSize: 32,
    numClasses: 2,
    hiddenFeatures: 64,
    labels: ["ants", "bees"],
  };
  const model = await Vgg.create("vgg11", options);
  const text = "Vgg vgg11 (2 classes, 3 × 32 × 32) float32 on cpu, 10,830,466 parameters";
  expect([inspect(model), String(model)]).toEqual([text, text]);
  const known = {
    arch: "vgg11",
    numClasses: 2,
    hiddenFeatures: 64,
    inChannels: 3,
    imageSize: 32,
    device: "cpu",
  };
  const json = { ...known, precision: "float32", parameterCount: 10_830_466 };
  expect(JSON.parse(JSON.stringify(model))).toEqual({ ...json, isDisposed: false });
  expect(inspect(model.summary())).toBe(String(model.summary()));
  await model.dispose();
  expect(inspect(model)).toBe(`${text}, disposed`);
});

it.each<[string, new (...given: never[]) => unknown, string]>([
  ["Vgg", Vgg as never, 'Expected Vgg.create("vgg11") or Vgg.load("model.pth")'],
  ["Graph", Graph as never, "Expected Graph.compile(device, record)"],
  ["DeviceTensor", DeviceTensor as never, "Expected DeviceTensor.allocate(device, shape)"],
])("new %s says what to call", (_, Made, expected) => {
  for (const given of [[], [3], ["vgg11", { numClasses: 2 }]])
    expect(() => new Made(...(given as never[]))).toThrow(
      new TypeError(`${expected}: the constructor is private`),
    );
  const Device = device.constructor as unknown as new () => unknown;
  expect(() => new Device()).toThrow('Expected openDevice("auto"): the constructor is private');
});
