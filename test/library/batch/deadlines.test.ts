// Deadlines of calls that share runs, on a device of a fake clock, and every sequence of calls.
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { enter } from "../../../lib/batch/turn.ts";
import { VggError } from "../../../lib/index.ts";
import {
  call,
  cpuTime,
  Device,
  make,
  numbered,
  outcome,
  useFakeClock,
  usual,
  warmed,
} from "../../support/batch-device.ts";

useFakeClock();

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

  it("is tried again each second on an idle device, because a slow run may have spoilt the times", async () => {
    let ms = 20;
    const device = new Device(() => ms);
    const kind = device.kind();
    const batcher = make();
    const one = async (n: number) => {
      const result = outcome(call(batcher, kind, numbered(n), { timeoutMs: 300 }));
      await vi.advanceTimersByTimeAsync(400);
      return result;
    };
    for (let n = 0; n < 3; n++) expect(await one(n)).toEqual([n + 0.5]);
    ms = 5000;
    const slow = call(batcher, kind, numbered(0));
    await vi.runAllTimersAsync();
    await slow;
    ms = 20;
    const results = [];
    for (let n = 0; n < 50; n++) results.push(await one(n));
    expect(results[0]).toBe("TIMED_OUT");
    expect(results.filter((result) => result !== "TIMED_OUT").length).toBeGreaterThan(30);
    expect(results.at(-1)).toEqual([49.5]);
  });

  it("that has passed ends a call on an idle device too", async () => {
    vi.useRealTimers();
    const device = new Device(() => 1);
    const kind = device.kind();
    const batcher = make();
    for (let n = 0; n < 3; n++) await call(batcher, kind, numbered(n));
    await delay(1100);
    const late = outcome(call(batcher, kind, numbered(3), { timeoutMs: 1e-3 }));
    expect(await late).toBe("TIMED_OUT");
    expect(device.runs).toHaveLength(3);
  });

  it("counts all runs of a call of more images than one run has", async () => {
    const { batcher, kind } = warmed();
    const visit = { images: 64, window: 16, imageBytes: 4, heldBytes: 0 };
    const enterWith = (timeoutMs: number) =>
      enter(batcher, kind, visit, { ...usual, timeoutMs }).end();
    expect(() => enterWith(cpuTime(16) * 4 - 1)).toThrow(/its own take/);
    expect(() => enterWith(cpuTime(16) * 4 + 1)).not.toThrow();
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
