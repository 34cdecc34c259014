// Devices and the tensors that live on them.
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Device,
  DeviceTensor,
  diagnose,
  Graph,
  GraphBuilder,
  listDevices,
  openDevice,
  Tensor,
  VggError,
} from "../../lib/index.ts";
import { devices } from "../support/devices.ts";

describe("listDevices and diagnose", () => {
  it("report the CPU and its capabilities", () => {
    const cpu = listDevices().find(({ kind }) => kind === "cpu")!;
    // float16 is offered if the hardware converts it, which the x86-64 baseline does not.
    const convertsHalf = cpu.instructionSets![0] !== "x86-64-v2";
    const precisions = convertsHalf ? ["float32", "float16"] : ["float32"];
    expect(cpu).toMatchObject({ id: "cpu", precisions });
    expect(cpu.memoryBytes).toBeGreaterThan(1e8);
    expect(cpu.threads).toBeGreaterThanOrEqual(1);
    expect(cpu.instructionSets!.length).toBeGreaterThanOrEqual(1);
    const diagnosis = diagnose();
    expect(diagnosis.cpu).toEqual(cpu);
    expect(diagnosis.addon.tried.at(-1)).toEqual({ path: diagnosis.addon.path, error: null });
    expect(diagnosis.cuda.available).toBe(listDevices().some(({ kind }) => kind === "cuda"));
    expect(JSON.parse(JSON.stringify(diagnosis))).toEqual(diagnosis);
  });
});

describe("openDevice", () => {
  it("opens the CPU with the requested threads and instruction set", async () => {
    const device = await openDevice("cpu", { threads: 1, instructionSet: "x86-64-v2" }).catch(() =>
      openDevice("cpu", { threads: 1 }),
    );
    expect(device.info.threads).toBe(1);
    expect(device.isSameAs(await openDevice("cpu", { threads: 7 }))).toBe(false);
    expect((await openDevice()).id).toMatch(/^(cpu|cuda:0)$/);
  });

  it.each([
    ["an unknown device", () => openDevice("tpu" as never), RangeError],
    ["a GPU index that is not a number", () => openDevice("cuda:x" as never), RangeError],
    ["null", () => openDevice(null as never), TypeError],
    ["no threads", () => openDevice("cpu", { threads: 0 }), RangeError],
    ["half a thread", () => openDevice("cpu", { threads: 1.5 }), RangeError],
    ["a misspelt option", () => openDevice("cpu", { thread: 1 } as never), TypeError],
    [
      "an instruction set that is a number",
      () => openDevice("cpu", { instructionSet: 3 as never }),
      TypeError,
    ],
  ])("refuses %s", async (_, open, type) => {
    await expect(open()).rejects.toThrow(type);
  });

  it("names the instruction sets of this machine if another is requested", async () => {
    const error = await openDevice("cpu", { instructionSet: "sve" as never }).catch((e) => e);
    expect(error).toMatchObject({ code: "UNSUPPORTED" });
    expect(error.message).toMatch(/^Expected one of .+ for instructionSet but received sve$/);
  });

  it.skipIf(listDevices().length > 1)("says why there is no GPU", async () => {
    const error = await openDevice("cuda").catch((e) => e);
    expect(error).toBeInstanceOf(VggError);
    expect(error.code).toMatch(/^(LIBRARY_MISSING|DEVICE_UNAVAILABLE)$/);
    expect(error.message).toContain("driver");
  });
});

describe.each(devices)("on $name", ({ open }) => {
  let device: Device;
  beforeAll(async () => {
    device = await open();
  });

  it("keeps written tensors bit for bit", async () => {
    for (const dtype of ["float32", "uint8", "int64", "bfloat16"] as const) {
      const tensor = DeviceTensor.allocate(device, [2, 3], dtype);
      const source = Tensor.zeros([2, 3], dtype);
      new Uint8Array(source.data.buffer).forEach((_, i, bytes) => {
        bytes[i] = i * 37;
      });
      await tensor.write(source);
      const back = await tensor.read();
      expect(back.dtype).toBe(dtype);
      expect(new Uint8Array(back.data.buffer)).toEqual(new Uint8Array(source.data.buffer));
      tensor.dispose();
    }
  });

  it("accepts tensors as a graph's inputs and outputs, in the order of calls", async () => {
    const builder = new GraphBuilder();
    const y = builder.relu(builder.input("x", [5]));
    const graph = Graph.compile(device, builder.finish({ y }));
    const x = DeviceTensor.allocate(device, [2, 5]);
    const target = DeviceTensor.allocate(device, [2, 5]);
    const values = Float32Array.of(-1, 2, -3, 4, -5, 6, -7, 8, -9, 10);
    const written = x.write(new Tensor([2, 5], values)); // not awaited
    const result = await graph.run({ x }, { into: { y: target } });
    await written;
    expect(result.y).toBe(target);
    expect([...((await target.read()).data as Float32Array)]).toEqual([
      0, 2, 0, 4, 0, 6, 0, 8, 0, 10,
    ]);
    // The call copies the array, so later changes do not count.
    const source = new Tensor([2, 5], values);
    const writing = x.write(source);
    values.fill(1);
    await writing;
    expect(((await x.read()).data as Float32Array)[9]).toBe(10);

    await expect(
      graph.run({ x }, { into: { y: DeviceTensor.allocate(device, [1, 5]) } }),
    ).rejects.toThrow(RangeError);
    await expect(graph.run({ x }, { into: { z: target } })).rejects.toThrow(TypeError);
    await expect(graph.run({ x, z: x })).rejects.toThrow(
      'Expected only x for inputs but received "z"',
    );
    await expect(
      graph.run({ x: DeviceTensor.allocate(device, [2, 5], "float64") }),
    ).rejects.toThrow(TypeError);
    x.dispose();
    await expect(graph.run({ x })).rejects.toMatchObject({ code: "DISPOSED" });
    await graph.dispose();
    target.dispose();
  });

  it("refuses a tensor of another device", async () => {
    const elsewhere = await openDevice("cpu", { threads: 3 });
    const builder = new GraphBuilder();
    const graph = Graph.compile(
      device,
      builder.finish({ y: builder.relu(builder.input("x", [1])) }),
    );
    await expect(graph.run({ x: DeviceTensor.allocate(elsewhere, [1, 1]) })).rejects.toThrow(
      "Expected a DeviceTensor on",
    );
    await graph.dispose();
  });

  it("refuses bad tensors and use after disposal", async () => {
    const tensor = DeviceTensor.allocate(device, [2]);
    await expect(tensor.write(Tensor.zeros([3]))).rejects.toThrow(
      "Expected shape (2) for tensor but received [3]",
    );
    await expect(tensor.write(Tensor.zeros([2], "float64") as never)).rejects.toThrow(TypeError);
    await expect(tensor.write(null as never)).rejects.toThrow(TypeError);
    expect(() => DeviceTensor.allocate({} as never, [1])).toThrow(TypeError);
    expect(() => DeviceTensor.allocate(device, [-1])).toThrow(RangeError);
    expect(() => DeviceTensor.allocate(device, [2 ** 30, 2 ** 14])).toThrow(VggError);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.isDisposed).toBe(true);
    await expect(tensor.read()).rejects.toMatchObject({ code: "DISPOSED" });
    await expect(tensor.write(Tensor.zeros([2]))).rejects.toMatchObject({ code: "DISPOSED" });
  });

  it("still serves its tensors and graphs after its disposal, and makes nothing new", async () => {
    const handle = await open();
    const tensor = DeviceTensor.allocate(handle, [1]);
    handle.dispose();
    handle.dispose();
    await tensor.write(Tensor.randn([1], 1));
    expect((await tensor.read()).data).toEqual(Tensor.randn([1], 1).data);
    expect(() => DeviceTensor.allocate(handle, [1])).toThrow(
      expect.objectContaining({ code: "DISPOSED" }),
    );
    expect(() => handle.memoryStats()).toThrow(expect.objectContaining({ code: "DISPOSED" }));
    tensor.dispose();
  });
});
