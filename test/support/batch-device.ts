// A device of a fake clock for tests of batches: its runs take a known time, and give each image's number plus 0.5.
import { afterEach, beforeEach, expect, vi } from "vitest";
import { Batcher } from "../../lib/batch/batcher.ts";
import { type CallSettings, readBatching } from "../../lib/batch/options.ts";
import type { ImageData, Kind } from "../../lib/batch/run.ts";
import { enter, type Turn } from "../../lib/batch/turn.ts";
import { Tensor, VggError } from "../../lib/index.ts";

/** Gives each test of a file a fake clock. */
export function useFakeClock(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

type Results = { readonly y: Tensor };

/** A kind of call whose run gives each image's number plus 0.5, after `timeOf(count)` ms of a device that takes runs in turn. */
export class Device {
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

/** The settings of a call without options. */
export const usual: CallSettings = {
  ...{ priority: 5, timeoutMs: undefined, client: "", onTiming: undefined, signal: undefined },
};
export const cpuTime = (count: number) => 7.6 + 18.8 * count;
export const numbered = (first: number, count = 1) =>
  Array.from({ length: count }, (_, index) => Float32Array.of(first + index));

/** One call of images with these numbers. */
export async function call(
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

export const outcome = (result: Promise<number[]>) =>
  result.catch((error: unknown) => (error instanceof VggError ? error.code : error));
export const make = (options = {}, isGpu = false) => new Batcher(readBatching(options)!, isGpu);

/** A batcher that knows the times of a CPU. */
export function warmed(options = {}): { batcher: Batcher; device: Device; kind: Kind<Results> } {
  const batcher = make(options);
  for (const size of [1, 4, 16]) batcher.warm.learn(size, cpuTime(size));
  const device = new Device(cpuTime);
  return { batcher, device, kind: device.kind() };
}
