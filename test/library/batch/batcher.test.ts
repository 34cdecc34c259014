// The batcher on a device of a fake clock: sizes, order, failures and bounds.
import { describe, expect, it, vi } from "vitest";
import type { Batcher } from "../../../lib/batch/batcher.ts";
import { VggError } from "../../../lib/index.ts";
import {
  call,
  cpuTime,
  Device,
  make,
  numbered,
  outcome,
  useFakeClock,
  warmed,
} from "../../support/batch-device.ts";

useFakeClock();

describe("Batcher", () => {
  it("joins the calls of one turn of the event loop, and runs one image alone at once", async () => {
    const { batcher, device, kind } = warmed();
    const calls = [0, 1, 2].map((number) => call(batcher, kind, numbered(number)));
    await vi.runAllTimersAsync();
    expect(await Promise.all(calls)).toEqual([[0.5], [1.5], [2.5]]);
    const start = performance.now();
    const alone = call(batcher, kind, numbered(9));
    await vi.runAllTimersAsync();
    await alone;
    expect(device.runs).toEqual([[0, 1, 2], [9]]);
    expect(performance.now() - start).toBeCloseTo(cpuTime(1), 0);
    expect(batcher.report).toMatchObject({ waitingImages: 0, runs: 2, images: 4 });
  });

  it("keeps one run under way on a CPU and two on a GPU", async () => {
    for (const [isGpu, expected] of [
      [false, 1],
      [true, 2],
    ] as const) {
      const batcher = make({ maxBatchSize: 1 }, isGpu);
      const device = new Device(() => 10);
      const calls = [0, 1, 2, 3].map((n) => call(batcher, device.kind(), numbered(n)));
      await vi.advanceTimersByTimeAsync(1);
      expect(device.runs).toHaveLength(expected);
      await vi.runAllTimersAsync();
      await Promise.all(calls);
    }
  });

  it("lets no named client fill the queue", async () => {
    const { batcher, kind } = warmed({ maxQueueSize: 60 });
    const count = async (client: string, wanted: number) => {
      const calls = Array.from({ length: wanted }, () =>
        call(batcher, kind, numbered(0), { client }),
      );
      for (const one of calls) all.push(outcome(one));
      await Promise.resolve();
      return batcher.report.waitingImages;
    };
    const all: Promise<unknown>[] = [];
    // 48 and 12 of 60: the room that is left counts one more.
    expect(await count("first", 100)).toBe(48);
    expect(await count("second", 1)).toBe(49);
    expect(await count("first", 1)).toBe(49);
    expect(await count("", 100)).toBe(60);
    await vi.runAllTimersAsync();
    const refused = (await Promise.all(all)).filter((result) => result === "QUEUE_FULL");
    expect(refused).toHaveLength(202 - 60);
    const full = call(batcher, kind, numbered(0, 59), { client: "first" });
    const greedy = call(batcher, kind, numbered(0), { client: "first" });
    await expect(greedy).rejects.toThrow(
      "Expected a client to leave room to others in a queue of 60 images (maxQueueSize) but 59 of its images wait and 1 came; try again in 2 s",
    );
    await vi.runAllTimersAsync();
    expect(await full).toHaveLength(59);
  });

  it("does not mix kinds, and serves that of the first call first", async () => {
    const { batcher, device, kind } = warmed();
    const other = device.kind("b");
    const calls = [
      call(batcher, kind, numbered(0)),
      call(batcher, other, numbered(10)),
      call(batcher, kind, numbered(1)),
      call(batcher, other, numbered(11)),
    ];
    await vi.runAllTimersAsync();
    await Promise.all(calls);
    expect(device.runs).toEqual([
      [0, 1],
      [10, 11],
    ]);
  });

  it("serves high priorities first", async () => {
    const batcher = make({ maxBatchSize: 1 });
    const device = new Device(() => 10);
    const priorities = [9, 5, 1, 5];
    const calls = priorities.map((priority, n) =>
      call(batcher, device.kind(), numbered(n), { priority }),
    );
    await vi.runAllTimersAsync();
    await Promise.all(calls);
    expect(device.runs.flat()).toEqual([2, 1, 3, 0]);
  });

  it("forms runs of whole calls", async () => {
    const batcher = make({ maxBatchSize: 8 });
    const device = new Device(() => 10);
    const sizes = [3, 3, 3, 8, 1];
    const calls = sizes.map((size, n) => call(batcher, device.kind(), numbered(10 * n, size)));
    await vi.runAllTimersAsync();
    await Promise.all(calls);
    expect(device.runs.map(({ length }) => length)).toEqual([6, 3, 8, 1]);
  });

  it("submits all that waits with flush, before it returns", async () => {
    const batcher = make({ maxBatchSize: 2 });
    const device = new Device(() => 10);
    const calls = [0, 1, 2, 3, 4].map((n) => call(batcher, device.kind(), numbered(n)));
    batcher.flush();
    expect(device.runs).toEqual([[0, 1], [2, 3], [4]]);
    await vi.runAllTimersAsync();
    await Promise.all(calls);
  });
});

describe("a run without memory", () => {
  const noMemory = new VggError("OUT_OF_MEMORY", "no memory");

  it("is repeated in halves, and later runs are smaller", async () => {
    const batcher = make();
    const device = new Device(() => 10);
    device.fail = (count) => (count > 3 ? noMemory : undefined);
    const calls = Array.from({ length: 10 }, (_, n) => call(batcher, device.kind(), numbered(n)));
    await vi.runAllTimersAsync();
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 10 }, (_, n) => [n + 0.5]));
    expect(device.runs.map(({ length }) => length)).toEqual([3, 2, 3, 2]);
    const more = Array.from({ length: 6 }, (_, n) => call(batcher, device.kind(), numbered(n)));
    await vi.runAllTimersAsync();
    await Promise.all(more);
    expect(Math.max(...device.runs.slice(4).map(({ length }) => length))).toBeLessThanOrEqual(3);
  });

  it("divides one call's images too, and fails with one image", async () => {
    const batcher = make();
    const device = new Device(() => 10);
    device.fail = (count) => (count > 1 ? noMemory : undefined);
    const whole = call(batcher, device.kind(), numbered(0, 5));
    await vi.runAllTimersAsync();
    expect(await whole).toEqual([0.5, 1.5, 2.5, 3.5, 4.5]);
    device.fail = () => noMemory;
    const calls = [0, 1].map((n) => outcome(call(batcher, device.kind(), numbered(n))));
    await vi.runAllTimersAsync();
    expect(await Promise.all(calls)).toEqual(["OUT_OF_MEMORY", "OUT_OF_MEMORY"]);
  });

  it("is not repeated after a flush, because it would see later parameters", async () => {
    const batcher = make();
    const device = new Device(() => 10);
    device.fail = () => noMemory;
    const calls = [0, 1].map((n) => outcome(call(batcher, device.kind(), numbered(n))));
    batcher.flush();
    device.fail = () => undefined;
    await vi.runAllTimersAsync();
    expect(await Promise.all(calls)).toEqual(["OUT_OF_MEMORY", "OUT_OF_MEMORY"]);
    expect(device.runs).toEqual([]);
  });
});

it("fails the calls of a failed run, and goes on", async () => {
  const batcher = make();
  const device = new Device(() => 10);
  device.fail = () => new VggError("DEVICE_LOST", "lost");
  const calls = [0, 1].map((n) => outcome(call(batcher, device.kind(), numbered(n))));
  await vi.runAllTimersAsync();
  expect(await Promise.all(calls)).toEqual(["DEVICE_LOST", "DEVICE_LOST"]);
  device.fail = () => undefined;
  const next = call(batcher, device.kind(), numbered(7));
  await vi.runAllTimersAsync();
  expect(await next).toEqual([7.5]);
});

it("stops a run when nobody wants it any more", async () => {
  const batcher = make();
  const device = new Device(() => 10);
  const controllers = [new AbortController(), new AbortController()];
  const calls = controllers.map(({ signal }, n) =>
    outcome(call(batcher, device.kind(), numbered(n), { signal })),
  );
  await vi.advanceTimersByTimeAsync(1);
  const reasons = [new Error("first"), new Error("second")];
  controllers[0]!.abort(reasons[0]);
  expect(await calls[0]).toBe(reasons[0]);
  expect(device.aborted).toBe(0);
  controllers[1]!.abort(reasons[1]);
  expect(await calls[1]).toBe(reasons[1]);
  expect(device.aborted).toBe(1);
  await vi.runAllTimersAsync();
  expect(batcher.report.waitingImages).toBe(0);
});

it("has a limit of 128 images before a run was timed, then what 2 s compute if that is more", async () => {
  const fill = async (batcher: Batcher, device: Device, client = "", count = 400) => {
    const kind = device.kind();
    const calls = Array.from({ length: count }, (_, n) =>
      outcome(call(batcher, kind, numbered(n), { client })),
    );
    await vi.runAllTimersAsync();
    return (await Promise.all(calls)).filter((result) => result !== "QUEUE_FULL").length;
  };
  expect(await fill(make(), new Device(() => 1))).toBe(128);
  // One client of a slow device leaves room to others, but 64 calls of its own always have room.
  const { batcher: slow, device } = warmed();
  expect(await fill(slow, device, "a")).toBe(103);
  expect(await fill(slow, device, "a", 64)).toBe(64);
  const fast = make();
  const time = (images: number) => 2 + 8 * images;
  for (const size of [1, 4, 16]) fast.warm.learn(size, time(size));
  const accepted = await fill(fast, new Device(time));
  expect(accepted).toBeGreaterThan(230);
  expect(accepted).toBeLessThan(260);
});
