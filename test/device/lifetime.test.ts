// Lifetimes: disposal in any order, garbage collection, buffers that change, workers and the end of the process.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, DeviceTensor, Tensor, Vgg } from "../../lib/index.ts";
import { isSlow, openTestDevice, testDevice } from "../support/devices.ts";

const options = { device: testDevice, imageSize: 32, numClasses: 10, hiddenFeatures: 64 } as const;
const shape = [1, 3, 32, 32];
const collect = globalThis.gc!;

/** Waits until the condition holds. V8 decides when it collects garbage and runs finalizers. */
async function eventually(condition: () => boolean): Promise<boolean> {
  for (let i = 0; i < 100 && !condition(); i++) {
    collect();
    await sleep(20);
  }
  return condition();
}

describe("a model", () => {
  it("finishes the calls before its disposal, and refuses those after it", async () => {
    const model = await Vgg.create("vgg11", options);
    const expected = await model.forward(Tensor.randn(shape, 1));
    const pending = [1, 1, 1].map((seed) => model.forward(Tensor.randn(shape, seed)));
    const disposal = model.dispose();
    expect(model.isDisposed).toBe(true);
    await expect(model.forward(Tensor.randn(shape))).rejects.toMatchObject({
      name: "VggError",
      code: "DISPOSED",
    });
    for (const logits of await Promise.all(pending)) expect(logits.data).toEqual(expected.data);
    await disposal;
    await model.dispose();
    await expect(model.getParameter("classifier.6.bias")).rejects.toMatchObject({
      code: "DISPOSED",
    });
    await expect(model.setParameter("classifier.6.bias", Tensor.zeros([10]))).rejects.toMatchObject(
      { code: "DISPOSED" },
    );
    await expect(model.stateDict()).rejects.toMatchObject({ code: "DISPOSED" });
    await expect(model.warmup()).rejects.toMatchObject({ code: "DISPOSED" });
    expect(model.parameterCount).toBe(10_830_986);
    expect(model.device.memoryStats()).toMatchObject({
      queuedBytes: 0,
      parameterBytes: 0,
      activationBytes: 0,
      tensorBytes: 0,
    });
  });

  it("outlives its device's handle, and its tensors outlive it", async () => {
    const device = await openTestDevice();
    const model = await Vgg.create("vgg11", { ...options, device });
    const input = DeviceTensor.allocate(device, shape);
    const logits = DeviceTensor.allocate(device, [1, 10]);
    device.dispose();
    await input.write(Tensor.randn(shape, 1));
    expect(await model.forward(input, { into: logits })).toBe(logits);
    const truth = await model.forward(Tensor.randn(shape, 1));
    await model.dispose();
    expect((await logits.read()).data).toEqual(truth.data);
    input.dispose();
    logits.dispose();
  });

  it("allows disposal of a DeviceTensor while a forward reads it", async () => {
    const model = await Vgg.create("vgg11", options);
    const input = DeviceTensor.allocate(model.device, shape);
    await input.write(Tensor.randn(shape, 1));
    const pending = model.forward(input);
    input.dispose();
    expect((await pending).data).toEqual((await model.forward(Tensor.randn(shape, 1))).data);
    await model.dispose();
  });

  it("is disposed by `await using`", async () => {
    let seen: Vgg;
    {
      await using model = await Vgg.create("vgg11", options);
      seen = model;
      expect(model.isDisposed).toBe(false);
    }
    expect(seen.isDisposed).toBe(true);
  });

  it("is freed by garbage collection", async () => {
    const device = await openTestDevice();
    await (async () => {
      const model = await Vgg.create("vgg11", options);
      DeviceTensor.allocate(device, [1000, 1000]);
      await model.forward(Tensor.randn(shape));
      expect(device.memoryStats().parameterBytes).toBeGreaterThan(40e6);
    })();
    const isFree = () => {
      const { parameterBytes, tensorBytes, activationBytes } = device.memoryStats();
      return parameterBytes + tensorBytes + activationBytes === 0;
    };
    expect(await eventually(isFree)).toBe(true);
  });

  it("tells V8 of its memory, so that garbage collection starts before memory is short", async () => {
    const device = await openTestDevice();
    let peak = 0;
    for (let i = 0; i < 1000; i++) {
      DeviceTensor.allocate(device, [1 << 22]); // 16 MiB, 16 GB in all
      peak = Math.max(peak, device.memoryStats().tensorBytes);
      if (i % 10 === 0) await sleep(1);
    }
    expect(peak).toBeLessThan(4e9);
    expect(await eventually(() => device.memoryStats().tensorBytes === 0)).toBe(true);
  });

  it("survives garbage collection while a forward runs", async () => {
    const pending = await (async () => {
      const model = await Vgg.create("vgg11", options);
      return [model.forward(Tensor.randn(shape, 1)), model.forward(Tensor.randn(shape, 1))];
    })();
    collect();
    const [a, b] = await Promise.all(pending);
    expect(a!.data).toEqual(b!.data);
  });
});

describe("an input", () => {
  let model: Vgg;
  let truth: Tensor;
  beforeAll(async () => {
    model = await Vgg.create("vgg11", options);
    truth = await model.forward(Tensor.randn(shape, 1));
  });
  afterAll(() => model.dispose());

  const bytes = 3 * 32 * 32 * 4;
  const filled = (buffer: ArrayBufferLike) => {
    const data = new Float32Array(buffer);
    data.set(Tensor.randn(shape, 1).data as Float32Array);
    return new Tensor(shape, data);
  };

  it("may be overwritten, transferred or resized as soon as forward has returned its promise", async () => {
    const changes: [ArrayBuffer, (buffer: ArrayBuffer) => void][] = [
      [new ArrayBuffer(bytes), (buffer) => new Float32Array(buffer).fill(Number.NaN)],
      [new ArrayBuffer(bytes), (buffer) => void structuredClone(buffer, { transfer: [buffer] })],
      [new ArrayBuffer(bytes, { maxByteLength: 2 * bytes }), (buffer) => buffer.resize(0)],
      [new ArrayBuffer(bytes, { maxByteLength: 2 * bytes }), (buffer) => buffer.resize(2 * bytes)],
    ];
    for (const [buffer, change] of changes) {
      const pending = model.forward(filled(buffer));
      change(buffer);
      collect();
      expect((await pending).data).toEqual(truth.data);
    }
  });

  it("is refused if it was transferred or resized before", async () => {
    const transferred = filled(new ArrayBuffer(bytes));
    structuredClone(transferred.data.buffer, {
      transfer: [transferred.data.buffer as ArrayBuffer],
    });
    await expect(model.forward(transferred)).rejects.toThrow(
      "Expected 3072 elements, as shape (1, 3, 32, 32) has, for input.data but received 0 (was its ArrayBuffer transferred?)",
    );
    const resized = filled(new ArrayBuffer(bytes, { maxByteLength: 2 * bytes }));
    (resized.data.buffer as ArrayBuffer).resize(bytes / 2);
    await expect(model.forward(resized)).rejects.toThrow(RangeError);
    expect((await model.forward(Tensor.randn(shape, 1))).data).toEqual(truth.data);
  });

  it("may lie in shared memory or at an offset", async () => {
    expect((await model.forward(filled(new SharedArrayBuffer(bytes)))).data).toEqual(truth.data);
    const data = new Float32Array(new ArrayBuffer(bytes + 64), 16, bytes / 4);
    data.set(Tensor.randn(shape, 1).data as Float32Array);
    expect((await model.forward(new Tensor(shape, data))).data).toEqual(truth.data);
  });
});

describe("an AbortSignal", () => {
  let model: Vgg;
  beforeAll(async () => {
    model = await Vgg.create("vgg11", { ...options, imageSize: 224 });
  });
  afterAll(() => model.dispose());
  const image = Tensor.randn([1, 3, 224, 224], 1);

  it("drops work that has not started, with the signal's reason, and no other work", async () => {
    const controller = new AbortController();
    const reason = new Error("changed my mind");
    const settled: string[] = [];
    const first = model.forward(image).then(() => settled.push("first"));
    const dropped = model.forward(image, { signal: controller.signal }).catch((error) => {
      settled.push("dropped");
      return error;
    });
    const third = model.forward(image);
    controller.abort(reason);
    expect(await dropped).toBe(reason);
    await first;
    expect(settled).toEqual(["dropped", "first"]);
    expect((await third).shape).toEqual([1, 10]);
  });

  it("stops work between two layers", async () => {
    const batch = Tensor.randn([8, 3, 224, 224], 1);
    await model.warmup([8]);
    const signal = AbortSignal.timeout(20);
    await expect(model.forward(batch, { signal })).rejects.toMatchObject({ name: "TimeoutError" });
    expect((await model.forward(image)).shape).toEqual([1, 10]);
  });

  it("that was aborted before refuses at once", async () => {
    await expect(model.forward(image, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});

describe("memory", () => {
  it("stays flat over many forwards", async () => {
    const model = await Vgg.create("vgg11", options);
    const input = Tensor.randn([4, 3, 32, 32], 1);
    await model.warmup([4]);
    const measure = async () => {
      collect();
      await sleep(20);
      collect();
      return process.memoryUsage().rss;
    };
    for (let i = 0; i < (isSlow ? 5 : 20); i++) await model.forward(input);
    const before = await measure();
    const stats = model.device.memoryStats();
    for (let i = 0; i < (isSlow ? 20 : 200); i++) await model.forward(input);
    expect((await measure()) - before).toBeLessThan(10e6);
    expect(model.device.memoryStats()).toEqual(stats);
    await model.dispose();
  });

  it("is freed with each of many models", async () => {
    let device: Device | undefined;
    const resident: number[] = [];
    for (let i = 0; i < (isSlow ? 4 : 8); i++) {
      const model = await Vgg.create("vgg11", options);
      await model.forward(Tensor.randn(shape));
      await model.dispose();
      device = model.device;
      collect();
      resident.push(process.memoryUsage().rss);
    }
    // The allocator may keep some dozen megabytes now and then. A leak shows in each model's step.
    const half = resident.length / 2;
    const step = Math.min(...resident.slice(half)) - Math.max(...resident.slice(0, half));
    expect(step).toBeLessThan(25e6);
    expect(device!.memoryStats().parameterBytes).toBe(0);
  });
});

describe("the process", () => {
  interface Ending {
    code: number | null;
    signal: string | null;
    stdout: string;
    stderr: string;
  }
  function run(mode: string): Promise<Ending> {
    const script = new URL("../children/lifetime.mjs", import.meta.url).pathname;
    const child = spawn(process.execPath, [script, mode], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    return new Promise((resolve) =>
      child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr })),
    );
  }

  it.each([
    ["ends by itself even if a model was not disposed", "idle", 0],
    ["stays until a forward that nothing else waits for has ended", "pending", 0],
    ["exits in mid-forward with the requested code", "exit", 7],
    ["exits with many forwards queued", "exit-queued", 7],
    ["dies of an uncaught error in mid-forward as usual in Node", "throw", 1],
    ["terminates a worker in mid-forward and continues", "terminate", 0],
    ["runs a model in each of several workers, all with correct results", "workers", 0],
    ["starts and ends workers repeatedly", "cycles", 0],
    ["terminates workers at any moment", "anytime", 0],
    ["exits while workers compute", "exit-workers", 7],
  ])("%s", async (_, mode, expected) => {
    const { code, signal, stdout, stderr } = await run(mode);
    expect(signal, stderr).toBeNull();
    expect(code, stderr).toBe(expected);
    if (mode !== "throw") expect(stderr).toBe("");
    expect(stdout).toContain(mode);
  });
});
