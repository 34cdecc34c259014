// The batcher on a device whose runs take a known time of a fake clock: sizes, order, deadlines, failures, and every sequence
// of calls.
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Batcher } from "../../../lib/batch/batcher.ts";
import { type CallSettings, readBatching } from "../../../lib/batch/options.ts";
import type { ImageData, Kind } from "../../../lib/batch/run.ts";
import { enter, type Turn } from "../../../lib/batch/turn.ts";
import { Tensor, VggError } from "../../../lib/index.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

type Results = { readonly y: Tensor };

/** A kind of call whose run gives each image's number plus 0.5, after `timeOf(count)` ms of a device that takes runs in turn. */
class Device {
  readonly runs: number[][] = [];
  fail: (images: number) => Error | undefined = () => undefined;
  aborted = 0;
  #freeAt = 0;
  readonly #timeOf: (count: number) => number;

  constructor(timeOf: (count: number) => number) {
    this.#timeOf = timeOf;
  }

  kind(key = "a"): Kind<Results> {
    return {
      key,
      run: async (count, data, signal) => {
        const numbers = [...data];
        expect(numbers).toHaveLength(count);
        const failure = this.fail(count);
        if (failure !== undefined) throw failure;
        this.runs.push(numbers);
        const end = Math.max(this.#freeAt, performance.now()) + this.#timeOf(count);
        this.#freeAt = end;
        await new Promise<void>((resolve, reject) => {
          setTimeout(resolve, end - performance.now());
          signal?.addEventListener("abort", () => {
            this.aborted++;
            reject(signal.reason);
          });
        });
        return {
          y: new Tensor(
            [count, 1],
            Float32Array.from(numbers, (value) => value + 0.5),
          ),
        };
      },
    };
  }
}

const usual: CallSettings = {
  ...{ priority: 5, timeoutMs: undefined, client: "", onTiming: undefined, signal: undefined },
};
const cpuTime = (count: number) => 7.6 + 18.8 * count;
const numbered = (first: number, count = 1) =>
  Array.from({ length: count }, (_, index) => Float32Array.of(first + index));

/** One call of images with these numbers. */
async function call(
  batcher: Batcher,
  kind: Kind<Results>,
  images: readonly ImageData[],
  settings: Partial<CallSettings> = {},
): Promise<number[]> {
  const count = images.length;
  const visit = { images: count, window: count, imageBytes: 4, heldBytes: 0 };
  let turn: Turn<Results> | undefined;
  try {
    turn = enter(batcher, kind, visit, { ...usual, ...settings });
    const { y } = await turn.run(images);
    expect(y.shape).toEqual([count, 1]);
    return [...y.data];
  } finally {
    turn?.end();
  }
}

const outcome = (result: Promise<number[]>) =>
  result.catch((error: unknown) => (error instanceof VggError ? error.code : error));
const make = (options = {}, isGpu = false) => new Batcher(readBatching(options)!, isGpu);

/** A batcher that knows the times of a CPU. */
function warmed(options = {}): { batcher: Batcher; device: Device; kind: Kind<Results> } {
  const batcher = make(options);
  for (const size of [1, 4, 16]) batcher.warm.learn(size, cpuTime(size));
  const device = new Device(cpuTime);
  return { batcher, device, kind: device.kind() };
}

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

describe("a deadline", () => {
  it("counts the run's own time, and that of the run under way", async () => {
    const { batcher, kind } = warmed();
    const own = cpuTime(1);
    expect(await outcome(call(batcher, kind, numbered(0), { timeoutMs: own - 1 }))).toBe(
      "TIMED_OUT",
    );
    const first = call(batcher, kind, numbered(0), { timeoutMs: own + 1 });
    await vi.advanceTimersByTimeAsync(2);
    expect(await outcome(call(batcher, kind, numbered(1), { timeoutMs: own + 1 }))).toBe(
      "TIMED_OUT",
    );
    const second = call(batcher, kind, numbered(2), { timeoutMs: 2 * own + 1 });
    await vi.runAllTimersAsync();
    expect(await Promise.all([first, second])).toEqual([[0.5], [2.5]]);
  });

  it("makes a run smaller rather than late, if the others have later priorities", async () => {
    const { batcher, device, kind } = warmed();
    const timeoutMs = cpuTime(2) + 1;
    const urgent = call(batcher, kind, numbered(0), { timeoutMs, priority: 1 });
    const others = [1, 2, 3, 4, 5].map((n) => call(batcher, kind, numbered(n)));
    await vi.runAllTimersAsync();
    await Promise.all([urgent, ...others]);
    expect(device.runs[0]).toEqual([0, 1]);
  });

  it("ends a call that waits for a run longer than expected", async () => {
    const { batcher, device, kind } = warmed();
    const slow = new Device(() => 1000).kind("slow");
    const first = call(batcher, slow, numbered(0));
    await vi.advanceTimersByTimeAsync(1);
    const late = outcome(call(batcher, kind, numbered(1), { timeoutMs: 300 }));
    const start = performance.now();
    await vi.advanceTimersByTimeAsync(300);
    expect(await late).toBe("TIMED_OUT");
    expect(performance.now() - start).toBeLessThan(400);
    expect(batcher.report.waitingImages).toBe(0);
    await vi.runAllTimersAsync();
    expect(await first).toEqual([0.5]);
    expect(device.runs).toEqual([]);
  });

  it("does not refuse one image because another client's many wait", async () => {
    const { batcher, kind } = warmed();
    const bulk = Array.from({ length: 6 }, (_, n) =>
      call(batcher, kind, numbered(10 * n, 8), { client: "bulk" }),
    );
    const timeoutMs = 400;
    expect(await outcome(call(batcher, kind, numbered(1), { client: "bulk", timeoutMs }))).toBe(
      "TIMED_OUT",
    );
    const single = outcome(call(batcher, kind, numbered(1), { client: "single", timeoutMs }));
    await vi.runAllTimersAsync();
    expect(await single).toEqual([1.5]);
    await Promise.all(bulk);
  });

  it("of 500 ms at 1.5 times the capacity: most is served, and what is served is in time", async () => {
    const { batcher, kind } = warmed();
    const waits: number[] = [];
    let refused = 0;
    const calls: Promise<unknown>[] = [];
    const count = 1500;
    for (let n = 0; n < count; n++) {
      const start = performance.now();
      const ended = outcome(call(batcher, kind, numbered(n), { timeoutMs: 500 })).then((result) => {
        if (result === "TIMED_OUT") refused++;
        else waits.push(performance.now() - start);
      });
      calls.push(ended);
      // 75 images/s; the device computes 52.
      await vi.advanceTimersByTimeAsync(1000 / 75);
    }
    await vi.runAllTimersAsync();
    await Promise.all(calls);
    expect(waits.length + refused).toBe(count);
    expect(refused / count).toBeLessThan(0.4);
    expect(Math.max(...waits)).toBeLessThanOrEqual(505);
  });
});

it("has no limit of images before a run was timed but 64, then what 2 s compute", async () => {
  const fill = async (batcher: Batcher, kind: Kind<Results>) => {
    const calls = Array.from({ length: 400 }, (_, n) => outcome(call(batcher, kind, numbered(n))));
    await vi.runAllTimersAsync();
    return (await Promise.all(calls)).filter((result) => result !== "QUEUE_FULL").length;
  };
  expect(await fill(make(), new Device(() => 1).kind())).toBe(64);
  const { batcher, kind } = warmed();
  const accepted = await fill(batcher, kind);
  expect(accepted).toBeGreaterThan(95);
  expect(accepted).toBeLessThan(110);
});

describe("for any sequence of calls", () => {
  const one = fc.record({
    kind: fc.constantFrom("a", "b"),
    images: fc.integer({ min: 1, max: 5 }),
    priority: fc.integer({ min: 1, max: 9 }),
    client: fc.constantFrom("x", "y", "z"),
    timeoutMs: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }),
    abortAfter: fc.option(fc.integer({ min: 0, max: 400 }), { nil: undefined }),
    pause: fc.constantFrom(0, 0, 0, 1, 30, 200),
    flush: fc.constantFrom(false, false, false, true),
  });
  const failure = fc.constantFrom("none", "memory", "lost") as fc.Arbitrary<string>;

  it("each call ends once, with its own images' values or an error, in time, and nothing is left", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(one, { maxLength: 25 }),
        failure,
        fc.boolean(),
        async (calls, how, isGpu) => {
          const batcher = make({ maxBatchSize: 6, maxQueueSize: 12 }, isGpu);
          const device = new Device(cpuTime);
          let submitted = 0;
          device.fail = (count) => {
            submitted++;
            if (how === "memory" && count > 2) return new VggError("OUT_OF_MEMORY", "none");
            if (how === "lost" && submitted % 3 === 0) return new VggError("DEVICE_LOST", "lost");
            return undefined;
          };
          const ended: Promise<void>[] = [];
          for (const [n, given] of calls.entries()) {
            const images = numbered(10 * n, given.images);
            const controller = new AbortController();
            const reason = new Error("aborted");
            const { abortAfter, priority, client, timeoutMs } = given;
            if (abortAfter !== undefined) setTimeout(() => controller.abort(reason), abortAfter);
            const settings = { priority, client, timeoutMs, signal: controller.signal };
            const start = performance.now();
            const result = outcome(call(batcher, device.kind(given.kind), images, settings));
            ended.push(
              result.then((value) => {
                const waited = performance.now() - start;
                if (Array.isArray(value)) {
                  expect(value).toEqual(images.map(([number]) => number! + 0.5));
                } else if (value === reason) expect(waited).toBeGreaterThanOrEqual(abortAfter!);
                else if (value === "TIMED_OUT") expect(waited).toBeLessThanOrEqual(timeoutMs! + 1);
                else if (value === "DEVICE_LOST") expect(how).toBe("lost");
                else if (value === "OUT_OF_MEMORY") {
                  // A run is not repeated after a flush.
                  expect([how, calls.some(({ flush }) => flush)]).toEqual(["memory", true]);
                } else expect(value).toBe("QUEUE_FULL");
              }),
            );
            if (given.flush) batcher.flush();
            expect(batcher.report.waitingImages).toBeLessThanOrEqual(12);
            await vi.advanceTimersByTimeAsync(given.pause);
          }
          await vi.runAllTimersAsync();
          await Promise.all(ended);
          expect(batcher.report.waitingImages).toBe(0);
          for (const run of device.runs) expect(run.length).toBeLessThanOrEqual(6);
          const last = call(batcher, device.kind("c"), numbered(1));
          device.fail = () => undefined;
          await vi.runAllTimersAsync();
          expect(await last).toEqual([1.5]);
        },
      ),
      { numRuns: 200 },
    );
  });
});
