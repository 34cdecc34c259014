// Values that `instanceof` does not recognise: from another realm (node:vm, Jest), another package, or another copy of this one.
import { createContext, runInContext } from "node:vm";
import { describe, expect, it, vi } from "vitest";
import { translated } from "../../lib/errors.ts";
import { reasonOf } from "../../lib/image/errors.ts";
import { openSource } from "../../lib/image/source.ts";
import {
  DeviceTensor,
  GraphBuilder,
  openDevice,
  ParameterStore,
  Tensor,
  Vgg,
  VggError,
} from "../../lib/index.ts";
import { nativeData, tensorEntries } from "../../lib/tensor.ts";

const context = createContext({});
const foreign = (code: string) => runInContext(`(${code})`, context);
const tiny = { device: "cpu", imageSize: 32, numClasses: 2, hiddenFeatures: 64 } as const;

describe("values of another realm", () => {
  it("are accepted as errors, with their codes", () => {
    const error = foreign('Object.assign(new Error("no room"), { code: "OUT_OF_MEMORY" })');
    expect(error).not.toBeInstanceOf(Error);
    expect(translated(error)).toBeInstanceOf(VggError);
    expect(translated(error)).toMatchObject({ code: "OUT_OF_MEMORY", message: "no room" });
    const other = foreign('Object.assign(new Error("other"), { code: "ENOENT" })');
    expect(translated(other)).toBe(other);
    expect(reasonOf(foreign('new Error("outer", { cause: new Error("inner") })'))).toBe("inner");
  });

  it("are accepted as typed arrays with their dtypes, and copied if their memory is shared", () => {
    for (const [type, dtype] of [
      ["Float32Array", "float32"],
      ["Uint8Array", "uint8"],
      ["BigInt64Array", "int64"],
    ]) {
      const data = foreign(`new ${type}(6)`);
      const tensor = new Tensor([2, 3], data);
      expect(tensor.dtype).toBe(dtype);
      expect(tensor.data).toBe(data);
    }
    expect(new Tensor([2], foreign("new Uint16Array(2)"), "float16").dtype).toBe("float16");
    expect(() => new Tensor([2], foreign("new Uint8Array(2)"), "float32")).toThrow(
      "Expected Float32Array (dtype float32) for data but received an instance of Uint8Array",
    );
    const shared = new Tensor([2], foreign("new Float32Array(new SharedArrayBuffer(8))"));
    expect(nativeData(shared, "x").buffer).not.toBe(shared.data.buffer);
  });

  it("are not accepted as typed arrays if they are a subclass, a DataView or an imitation", () => {
    const wrong = [
      Buffer.alloc(2),
      foreign("new (class extends Float32Array {})(2)"),
      new DataView(new ArrayBuffer(2)),
      { [Symbol.toStringTag]: "Float32Array", length: 2 },
    ];
    for (const data of wrong)
      expect(() => new Tensor([2], data as Float32Array)).toThrow(/^Expected one of Float32Array/);
  });

  it("are accepted by a model as options, inputs and state dicts", async () => {
    const model = await Vgg.create(
      "vgg11",
      foreign('{ device: "cpu", imageSize: 32, numClasses: 2, hiddenFeatures: 64 }'),
    );
    const input = new Tensor(foreign("[1, 3, 32, 32]"), foreign("new Float32Array(3072).fill(1)"));
    const { data } = await model.forward(input);
    expect(data).toHaveLength(2);
    await model.dispose();
    const dict = new (foreign("Map"))([["input", input]]);
    expect(dict).not.toBeInstanceOf(Map);
    expect([...tensorEntries(dict, "tensors")]).toEqual([["input", input]]);
  });

  it("are accepted as URLs and web streams", async () => {
    // As another realm makes them: the same members but another class.
    const url = { href: "https://example.org/a.jpg", [Symbol.toStringTag]: "URL" };
    expect(openSource(url, "source").name).toBe("https://example.org/a.jpg");
    const wrong = { href: 7, [Symbol.toStringTag]: "URL" };
    expect(() => openSource(wrong, "source")).toThrow(/^Expected a path, a URL/);
    const { readable } = new TransformStream();
    const stream = {
      locked: false,
      cancel: async () => {},
      pipeTo() {},
      getReader: () => readable.getReader(),
    };
    expect(openSource(stream, "source").name).toBe("a stream");
    expect(() => openSource({ ...stream, locked: true }, "source")).toThrow(RangeError);
    expect(() => openSource({ getReader() {} }, "source")).toThrow(TypeError);
  });

  it("are accepted as signals if they have a signal's members", async () => {
    const { signal } = new AbortController();
    const other = {
      aborted: false,
      throwIfAborted: () => signal.throwIfAborted(),
      addEventListener: signal.addEventListener.bind(signal),
      removeEventListener: signal.removeEventListener.bind(signal),
    };
    const model = await Vgg.create("vgg11", tiny);
    const input = Tensor.zeros([1, 3, 32, 32]);
    await model.forward(input, { signal: other as AbortSignal });
    for (const wrong of [null, 1, {}, { ...other, aborted: 0 }, { ...other, throwIfAborted: 1 }]) {
      await expect(model.forward(input, { signal: wrong as AbortSignal })).rejects.toThrow(
        /^Expected an AbortSignal for options.signal/,
      );
    }
    await model.dispose();
  });
});

describe("another copy of the package", () => {
  it("is named if its tensors, devices and values are refused", async () => {
    vi.resetModules();
    const other = await import("../../lib/index.ts");
    expect(other.Tensor).not.toBe(Tensor);
    const device = await openDevice("cpu");
    const otherDevice = await other.openDevice("cpu");
    const model = await Vgg.create("vgg11", { ...tiny, device });
    const builder = new GraphBuilder();
    const origin = "of another copy of vgg-cudnn";
    const tensor = other.Tensor.zeros([1, 3, 32, 32]) as Tensor;
    await expect(model.forward(tensor)).rejects.toThrow(
      `Expected a Tensor or DeviceTensor for input but received an instance of Tensor ${origin}`,
    );
    const into = other.DeviceTensor.allocate(otherDevice, [1, 2]) as unknown as DeviceTensor;
    await expect(model.forward(Tensor.zeros([1, 3, 32, 32]), { into })).rejects.toThrow(
      `an instance of DeviceTensor ${origin}`,
    );
    const foreignDevice = otherDevice as unknown as typeof device;
    const record = builder.finish({ y: builder.relu(builder.input("x", [1])) });
    for (const refused of [
      () => DeviceTensor.allocate(foreignDevice, [1]),
      () => new ParameterStore(foreignDevice, record.parameters),
    ])
      expect(refused).toThrow(`an instance of Device ${origin}`);
    await expect(Vgg.create("vgg11", { ...tiny, device: foreignDevice })).rejects.toThrow(
      `an instance of Device ${origin}`,
    );
    const value = new other.GraphBuilder().input("x", [1]) as unknown as ReturnType<
      GraphBuilder["input"]
    >;
    expect(() => builder.relu(value)).toThrow(`an instance of Value ${origin}`);
    // A class of the same name from another library.
    class Foreign {}
    Object.defineProperty(Foreign, "name", { value: "Tensor" });
    await expect(model.forward(new Foreign() as Tensor)).rejects.toThrow(/an instance of Tensor$/);
    into.dispose();
    await model.dispose();
  });
});
