// Calls take effect in order, whatever waits: each sees the results of the calls before it, and no more wait than the queue may hold.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AnyTensor,
  type Device,
  DeviceTensor,
  Graph,
  GraphBuilder,
  openDevice,
  ParameterStore,
  readCheckpoint,
  Tensor,
  type TensorData,
  Vgg,
} from "../../lib/index.ts";
import { isSlow, testDevice, testKind } from "../support/devices.ts";
import { command, runSequence } from "../support/sequences.ts";

/** `npm run test:order` runs 20,000. */
const sequences = Number(process.env.VGG_SEQUENCES ?? (isSlow ? 20 : 300));

const scratch = mkdtempSync(join(tmpdir(), "vgg-order-"));
afterAll(() => rmSync(scratch, { recursive: true }));

describe("calls", () => {
  it(
    `see the results of the calls before them, in ${sequences} random sequences with 100 and more under way`,
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(command, { minLength: 1, maxLength: 160, size: "max" }),
          (commands) => runSequence(testDevice, commands),
        ),
        { numRuns: sequences },
      );
    },
    30 * 60_000,
  );
});

const bytesOf = ({ buffer, byteOffset, byteLength }: TensorData) =>
  Buffer.from(buffer, byteOffset, byteLength);

/** Compares bytes, because toEqual takes minutes for a hundred million numbers. */
function expectSame(
  actual: ReadonlyMap<string, AnyTensor>,
  expected: ReadonlyMap<string, AnyTensor>,
): void {
  expect(new Set(actual.keys())).toEqual(new Set(expected.keys()));
  for (const [name, { data }] of expected)
    expect(bytesOf(data).equals(bytesOf(actual.get(name)!.data)), name).toBe(true);
}

describe("a model", () => {
  const options = { device: testDevice, imageSize: 32, numClasses: 4, hiddenFeatures: 64 };
  const images = Tensor.randn([1, 3, 32, 32], 1);
  let a: Vgg;
  let b: Vgg;
  let logitsOfA: Tensor;
  let logitsOfB: Tensor;

  beforeAll(async () => {
    a = await Vgg.create("vgg11_bn", { ...options, seed: 1 });
    b = await Vgg.create("vgg11_bn", { ...options, seed: 2 });
    logitsOfA = await a.forward(images);
    logitsOfB = await b.forward(images);
  });
  afterAll(async () => {
    await a.dispose();
    await b.dispose();
  });

  it("has the new parameters for calls after loadStateDict at once, and the old ones for calls before it", async () => {
    const ofA = await a.stateDict();
    const ofB = await b.stateDict();
    const counter = "features.1.num_batches_tracked";
    ofB.set(counter, new Tensor([], BigInt64Array.of(7n)));
    const before = [a.forward(images), a.stateDict()] as const;
    const loading = a.loadStateDict(ofB);
    for (const { data } of ofB.values()) bytesOf(data).fill(0);
    const after = [a.forward(images), a.getParameter("classifier.6.bias"), a.stateDict()] as const;
    await loading;
    expect((await before[0]).data).toEqual(logitsOfA.data);
    expectSame(await before[1], ofA);
    expect((await after[0]).data).toEqual(logitsOfB.data);
    expect((await after[1]).data).toEqual((await b.getParameter("classifier.6.bias")).data);
    expect((await after[2]).get(counter)!.data).toEqual(BigInt64Array.of(7n));
    await a.loadStateDict(ofA);
  });

  it("saves the parameters of the moment of the call, while forwards and loads go on", async () => {
    const path = join(scratch, "a.safetensors");
    const ofA = await a.stateDict();
    const saving = a.save(path);
    const loading = a.loadStateDict(await b.stateDict());
    const forwards = Array.from({ length: isSlow ? 4 : 20 }, () => a.forward(images));
    for (const forward of forwards) expect((await forward).data).toEqual(logitsOfB.data);
    await Promise.all([saving, loading]);
    expectSame(await readCheckpoint(path), ofA);
    await a.loadStateDict(ofA);
  });

  it("finishes a save that began before its disposal, and then holds no memory", async () => {
    const path = join(scratch, "b.safetensors");
    const model = await Vgg.create("vgg11", { ...options, device: testKind });
    const expected = await model.stateDict();
    const bytes = model.device.memoryStats().parameterBytes;
    const saving = model.save(path);
    await model.dispose();
    expect(bytes - model.device.memoryStats().parameterBytes).toBeGreaterThan(40e6);
    await saving;
    expectSame(await readCheckpoint(path), expected);
  });

  it("keeps its counters if a state dict cannot be loaded", async () => {
    const device = await openDevice(testKind, { maxQueuedBytes: 1000 });
    const model = await Vgg.create("vgg11_bn", { ...options, device });
    const dict = await b.stateDict();
    dict.set("features.1.num_batches_tracked", new Tensor([], BigInt64Array.of(7n)));
    const first = model.forward(images);
    await expect(model.loadStateDict(dict)).rejects.toMatchObject({ code: "QUEUE_FULL" });
    expect((await model.getParameter("features.1.num_batches_tracked")).data).toEqual(
      BigInt64Array.of(0n),
    );
    await first;
    await model.loadStateDict(dict);
    expect((await model.getParameter("features.1.num_batches_tracked")).data).toEqual(
      BigInt64Array.of(7n),
    );
    await model.dispose();
  });
});

describe("a queue of 1,000 bytes", () => {
  const limit = 1000;
  let device: Device;
  let store: ParameterStore;
  let graph: Graph;
  /** Lets the pieces of a parameter end. Calls wait behind them. */
  let end: () => void;
  let loading: Promise<void>;
  const bias = Tensor.zeros([16]);
  const x = Tensor.zeros([1, 16]);
  /** Copies 64 bytes in and 64 out. */
  const run = () => graph.run({ x });
  const full = { code: "QUEUE_FULL", message: expect.stringContaining("1000 bytes") };

  beforeAll(async () => {
    device = await openDevice(testKind, { maxQueuedBytes: limit });
    const builder = new GraphBuilder();
    const weight = builder.parameter("weight", [16, 16]);
    const bias = builder.parameter("bias", [16]);
    const record = builder.finish({ y: builder.gemm(builder.input("x", [16]), weight, { bias }) });
    store = new ParameterStore(device, record.parameters);
    graph = Graph.compile(device, record, store);
    await store.fill("weight", 0);
  });
  afterAll(async () => {
    await graph.dispose();
    await store.dispose();
  });

  function block(): void {
    const gate = new Promise<void>((resolve) => {
      end = resolve;
    });
    const pieces = async function* () {
      await gate;
      yield new Uint8Array(new Float32Array(16).fill(5).buffer);
    };
    loading = store.setPieces("bias", "float32", pieces());
  }

  it("is reported by memoryStats", () => {
    expect(device.memoryStats()).toMatchObject({ queuedBytes: 0, maxQueuedBytes: limit });
  });

  it("refuses a call that would exceed it at once, changes nothing, and accepts more when there is room", async () => {
    block();
    const waiting = Array.from({ length: 7 }, run);
    expect(device.memoryStats().queuedBytes).toBe(7 * 128);
    await expect(run()).rejects.toMatchObject(full);
    await expect(store.setAll({ weight: Tensor.randn([16, 16]), bias })).rejects.toMatchObject(
      full,
    );
    waiting.push(store.set("bias", bias) as never); // 64 bytes fit
    end();
    await loading;
    for (const outputs of (await Promise.all(waiting)).slice(0, 7))
      expect((outputs.y as Tensor).data[0]).toBe(5);
    expect((await store.get("weight")).data[0]).toBe(0);
    expect((await run()).y).toMatchObject({ data: new Float32Array(16) });
    expect(device.memoryStats().queuedBytes).toBe(0);
  });

  it("never refuses reads, disposals, aborts and runs that copy nothing", async () => {
    const [from, to] = [0, 1].map(() => DeviceTensor.allocate(device, [1, 16])) as [
      DeviceTensor,
      DeviceTensor,
    ];
    await from.write(x);
    block();
    const controller = new AbortController();
    const aborted = graph.run({ x }, { signal: controller.signal });
    const waiting = Array.from({ length: 6 }, run);
    const onDevice = graph.run({ x: from }, { into: { y: to } });
    const read = to.read();
    from.dispose();
    to.dispose();
    await expect(run()).rejects.toMatchObject(full);
    await expect(
      DeviceTensor.allocate(device, [40]).write(Tensor.zeros([40])),
    ).rejects.toMatchObject(full);
    const all = store.getAll();
    controller.abort("stop");
    await expect(aborted).rejects.toBe("stop");
    expect(device.memoryStats().queuedBytes).toBe(6 * 128);
    waiting.push(run());
    end();
    await Promise.all([loading, onDevice, ...waiting]);
    expect((await read).data[0]).toBe(5);
    expect((await all).get("bias")!.data[0]).toBe(5);
    expect(device.memoryStats().queuedBytes).toBe(0);
  });

  it("accepts one call of any size when nothing waits", async () => {
    const many = graph.run({ x: Tensor.zeros([100, 16]) });
    await expect(run()).rejects.toMatchObject(full);
    await many;
    await run();
  });

  it("belongs to one handle, and handles without a bound share a queue", async () => {
    const handle = await openDevice(testKind, { maxQueuedBytes: limit });
    const shared = [await openDevice(testKind), await openDevice(testKind)] as const;
    for (const other of [handle, ...shared]) expect(other.isSameAs(device)).toBe(true);
    block();
    const waiting = Array.from({ length: 7 }, run);
    const tensors = shared.map((other) => DeviceTensor.allocate(other, [1, 16]));
    const onOthers = tensors.map((tensor) => graph.run({ x }, { into: { y: tensor } }));
    await expect(Promise.all(onOthers)).rejects.toMatchObject(full);
    // The first of the two fits, and a write of its tensor waits behind it.
    const write = tensors[0]!.write(x);
    expect(device.memoryStats().queuedBytes).toBe(7 * 128 + 64);
    expect(handle.memoryStats().queuedBytes).toBe(0);
    expect(shared[0].memoryStats().queuedBytes).toBe(64);
    expect(shared[1].memoryStats()).toEqual(shared[0].memoryStats());
    end();
    await Promise.all([loading, ...waiting, onOthers[0], write]);
    for (const tensor of tensors) tensor.dispose();
  });

  it("must have an integer size", async () => {
    await expect(openDevice(testKind, { maxQueuedBytes: 0 })).rejects.toThrow(RangeError);
    await expect(openDevice(testKind, { maxQueuedBytes: "1" as never })).rejects.toThrow(TypeError);
  });
});
