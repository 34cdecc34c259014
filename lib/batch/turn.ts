// One call on its way through the queue: it enters before its images are decoded, waits, and gets its part of a run.
import { onAbort } from "../signal.js";
import { type Batcher, type Entry, timedOut } from "./batcher.js";
import type { CallSettings } from "./options.js";
import { type ImageData, join, type Kind, type Outputs } from "./run.js";

/** A call that has entered. */
export interface Turn<Results extends Outputs> {
  /** Aborts when the call's signal does, and when its time has passed. */
  readonly signal: AbortSignal | undefined;
  /**
   * Runs images, which stay together. They must not change until then.
   * @param decodeMs how long the call waited for them
   * @returns the outputs of these images
   * @throws {VggError} TIMED_OUT, DISPOSED, the errors of a run; the reason of the signal
   */
  run(images: readonly ImageData[], decodeMs?: number): Promise<Results>;
  /** Ends the call: what still waits is dropped. A second call has no effect. */
  end(): void;
}

/** What a call will bring. */
export interface Visit {
  /** All of its images. */
  readonly images: number;
  /** The most of them that are decoded or wait at one time. */
  readonly window: number;
  /** The bytes of one decoded image. */
  readonly imageBytes: number;
  /** The bytes of the encoded images that it holds. */
  readonly heldBytes: number;
}

/**
 * Lets a call in.
 * @param batcher null without batching: runs then start at once
 * @throws {VggError} QUEUE_FULL, TIMED_OUT, DISPOSED; the reason of the call's signal
 */
export function enter<Results extends Outputs>(
  batcher: Batcher | null,
  kind: Kind<Results>,
  visit: Visit,
  call: CallSettings,
): Turn<Results> {
  call.signal?.throwIfAborted();
  return batcher === null ? direct(kind, call) : new QueuedTurn(batcher, kind, visit, call);
}

/** A call whose runs start at once. */
export function direct<Results extends Outputs>(
  kind: Kind<Results>,
  { signal, onTiming }: CallSettings,
): Turn<Results> {
  return {
    signal,
    async run(images, decodeMs = 0) {
      const start = performance.now();
      const results = await kind.run(images.length, join(images), signal);
      const runMs = performance.now() - start;
      onTiming?.({ decodeMs, queueMs: 0, runMs, batchSize: images.length, images: images.length });
      return results;
    },
    end() {},
  };
}

class QueuedTurn<Results extends Outputs> implements Turn<Results> {
  readonly #batcher: Batcher;
  readonly #kind: Kind<Results>;
  readonly #visit: Visit;
  readonly #call: CallSettings;
  readonly #stop = new AbortController();
  readonly #unfollow: () => void;
  readonly #deadline: number;
  readonly #timer: NodeJS.Timeout | undefined;
  /** The images whose runs have not started. */
  #left: number;
  /** The calls of `run` that have not ended. */
  #pending = 0;

  constructor(batcher: Batcher, kind: Kind<Results>, visit: Visit, call: CallSettings) {
    this.#batcher = batcher;
    this.#kind = kind;
    this.#visit = visit;
    this.#call = call;
    this.#left = visit.images;
    const { signal, timeoutMs } = call;
    batcher.admit(this.#demand, call, visit.images);
    this.#deadline = performance.now() + (timeoutMs ?? Number.POSITIVE_INFINITY);
    this.#unfollow = onAbort(signal, () => this.#stop.abort(signal?.reason));
    if (timeoutMs !== undefined)
      this.#timer = setTimeout(() => this.#stop.abort(timedOut(timeoutMs)), timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  async run(images: readonly ImageData[], decodeMs = 0): Promise<Results> {
    const { signal } = this;
    signal.throwIfAborted();
    const since = performance.now();
    let start = since;
    let batchSize = images.length;
    this.#pending++;
    const computed = new Promise<Results>((resolve, reject) => {
      let abandon = () => this.#batcher.remove(entry);
      let release = () => {};
      const entry: Entry = {
        kind: this.#kind.key,
        images: images.length,
        priority: this.#call.priority,
        client: this.#call.client,
        work: this.#kind,
        data: images,
        deadline: this.#deadline,
        start: (size, leave) => {
          start = performance.now();
          batchSize = size;
          abandon = leave;
          this.#start(images.length);
        },
        succeed: (outputs) => {
          release();
          resolve(outputs as Results);
        },
        fail: (error) => {
          release();
          reject(error);
        },
      };
      this.#batcher.add(entry);
      release = onAbort(signal, () => {
        abandon();
        reject(signal.reason);
      });
    });
    const results = await computed.finally(() => {
      this.#pending--;
    });
    const runMs = performance.now() - start;
    this.#call.onTiming?.({
      ...{ decodeMs, queueMs: start - since, runMs },
      ...{ batchSize, images: images.length },
    });
    return results;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#unfollow();
    this.#start(this.#left);
    if (this.#pending > 0) this.#stop.abort();
  }

  /** What it holds now. */
  get #demand() {
    const { window, imageBytes, heldBytes } = this.#visit;
    const images = Math.min(this.#left, window);
    const bytes = images * imageBytes + (images > 0 ? heldBytes : 0);
    return { kind: this.#kind.key, images, bytes };
  }

  /** Gives back what images held whose run starts. */
  #start(images: number): void {
    const before = this.#demand;
    this.#left -= images;
    const after = this.#demand;
    // A call whose last run has started cannot be late any more.
    if (this.#left === 0) clearTimeout(this.#timer);
    const freed = {
      kind: before.kind,
      images: before.images - after.images,
      bytes: before.bytes - after.bytes,
    };
    if (freed.images > 0) this.#batcher.release(freed, this.#call);
  }
}
