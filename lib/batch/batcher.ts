// Concurrent calls of a model share runs: whatever waits when the device is free runs together, in the size of the best rate.
//
// No timer delays a run. An idle device starts after one turn of the event loop, so that calls of one turn join.
import { queueFull, VggError } from "../errors.js";
import { Backlog } from "./backlog.js";
import { countOfRun, lateEntry } from "./choose.js";
import type { BatchingSettings, CallSettings } from "./options.js";
import { Queue, type Waiting } from "./queue.js";
import { Rates } from "./rates.js";
import { cut, type ImageData, type Kind, type Outputs, runImages } from "./run.js";

/** What a model's batches have done, and what waits. */
export interface BatchingReport {
  /** The images of calls whose runs have not started: they are decoded or wait. */
  readonly waitingImages: number;
  /** The number of runs that have started. */
  readonly runs: number;
  /** The number of images of these runs. */
  readonly images: number;
  /** The greatest rate of the kind of call that ran last, or of warm-up. 0 before a run was timed. */
  readonly imagesPerSecond: number;
  /** Its time in ms by number of images: moving averages over the last runs. */
  readonly timesMs: ReadonlyMap<number, number>;
}

/** Images of one call that stay together. */
export interface Entry extends Waiting {
  readonly work: Kind;
  readonly data: readonly ImageData[];
  /** By `performance.now()`. */
  readonly deadline: number;
  /** Its run starts. @param abandon is called if nobody wants its result any more */
  start(batchSize: number, abandon: () => void): void;
  succeed(outputs: Outputs): void;
  fail(error: unknown): void;
}

/** What a call will bring. */
export interface Demand {
  readonly kind: string;
  /** The most images of it that are decoded or wait at one time. */
  readonly images: number;
  /** The bytes of these images. */
  readonly bytes: number;
}

/** What is known about the calls of one key. */
interface KindState {
  readonly rates: Rates;
  /** The images that are decoded or wait. */
  held: number;
}

/** Kinds whose times are remembered although nothing of them waits. */
const maxIdleKinds = 64;
/** The least default queue. A client alone may have 103 of it, so that 64 callers of one client are never refused. */
const minQueueSize = 128;
/** The most images of a named client in the queue, as a multiple of the room that is left. */
const maxShare = 4;
/** The default queue is what the device computes in this time. */
const usualQueueMs = 2000;
/** After this time without a run, one call runs although it would be late by measured times: a slow run may have spoilt them. */
const staleMs = 1000;
/** What `retryAfterMs` is before a run was timed, and at least. */
const minRetryMs = 1000;

/** The error of a call whose time has passed. */
export function timedOut(timeoutMs: number): VggError {
  return new VggError(
    "TIMED_OUT",
    `Expected a result within ${timeoutMs} ms but the call still waits`,
  );
}

/** The queue and the runs of one model. */
export class Batcher {
  /** The images of the largest run. */
  readonly maxBatchSize: number;
  /** Times from warm-up. They count for a kind of call until runs of it were timed. */
  readonly warm: Rates;
  readonly #settings: BatchingSettings;
  readonly #maxRunning: number;
  readonly #pad: (size: number) => number;
  readonly #queue = new Queue<Entry>();
  readonly #backlog = new Backlog();
  /** By key, the one that ran last at the end. */
  readonly #kinds = new Map<string, KindState>();
  #running = 0;
  #isScheduled = false;
  #isClosed = false;
  /** Rises with each flush: an older run is not repeated, because it would see later parameters. */
  #epoch = 0;
  /** When the last run has ended or should end. */
  #busyUntil = 0;
  #lastEnd = performance.now();
  #last: Rates;
  #runs = 0;
  #images = 0;

  /** @param isGpu a GPU pads runs to powers of two, and takes a second run while it computes one */
  constructor(settings: BatchingSettings, isGpu: boolean) {
    this.#settings = settings;
    this.#maxRunning = isGpu ? 2 : 1;
    this.maxBatchSize = settings.maxBatchSize ?? (isGpu ? 64 : 16);
    this.#pad = isGpu ? (size) => 2 ** Math.ceil(Math.log2(size)) : (size) => size;
    this.warm = new Rates(this.#pad);
    this.#last = this.warm;
  }

  get report(): BatchingReport {
    return Object.freeze({
      waitingImages: this.#backlog.images,
      runs: this.#runs,
      images: this.#images,
      imagesPerSecond: 1000 * (this.#last.best ?? 0),
      timesMs: this.#last.times,
    });
  }

  /**
   * Makes room for a call before its images are decoded.
   * @param images all images of the call
   * @throws {VggError} QUEUE_FULL, TIMED_OUT, DISPOSED
   */
  admit(demand: Demand, call: CallSettings, images = demand.images): void {
    this.#checkOpen();
    this.#checkRoom(demand, call);
    if (this.#backlog.images > 0 || !this.#wasIdle) this.#checkTime({ ...demand, images }, call);
    this.#kindOf(demand.kind).held += demand.images;
    this.#backlog.change(call.priority, call.client, demand.images, demand.bytes);
  }

  /** Gives room back. */
  release({ kind, images, bytes }: Demand, { priority, client }: CallSettings): void {
    this.#kindOf(kind).held -= images;
    this.#backlog.change(priority, client, -images, -bytes);
  }

  /** Puts images in the queue. @throws {VggError} DISPOSED */
  add(entry: Entry): void {
    this.#checkOpen();
    this.#queue.add(entry);
    this.#schedule();
  }

  /** Removes images from the queue, if they wait. */
  remove(entry: Entry): void {
    this.#queue.remove(entry);
  }

  /** Submits all that waits, so that it runs before whatever is submitted next, such as new parameters. */
  flush(): void {
    while (this.#startNext());
    this.#epoch++;
  }

  /** Submits all that waits, and refuses later calls. */
  close(): void {
    this.flush();
    this.#isClosed = true;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new VggError("DISPOSED", "Expected a live model but it was disposed");
  }

  #kindOf(key: string): KindState {
    let state = this.#kinds.get(key);
    if (state !== undefined) return state;
    for (const [other, { held }] of this.#kinds) {
      if (this.#kinds.size < maxIdleKinds) break;
      if (held === 0 && this.#queue.imagesOf(other) === 0) this.#kinds.delete(other);
    }
    state = { rates: new Rates(this.#pad, this.warm), held: 0 };
    this.#kinds.set(key, state);
    return state;
  }

  /** Whether nothing ran for a while. Measured times may be wrong then. */
  get #wasIdle(): boolean {
    return this.#running === 0 && performance.now() - this.#lastEnd >= staleMs;
  }

  /** The expected time in ms until the images that are held now have run. Undefined before a run was timed. */
  get #backlogMs(): number | undefined {
    let ms = 0;
    for (const { rates, held } of this.#kinds.values()) {
      const rate = rates.best ?? this.#last.best;
      if (held > 0 && rate === undefined) return undefined;
      if (held > 0) ms += held / rate!;
    }
    return ms;
  }

  /** Refuses a call beyond the bounds of the queue, or of a client that leaves too little room to others. */
  #checkRoom({ images, bytes }: Demand, { client }: CallSettings): void {
    const { maxQueueSize, maxQueueBytes } = this.#settings;
    const held = this.#backlog;
    if (held.images === 0 || images === 0) return;
    const rate = this.#last.best ?? 0;
    const most = maxQueueSize ?? Math.max(minQueueSize, Math.floor(usualQueueMs * rate));
    const left = most - held.images - images;
    const own = client === "" ? 0 : held.imagesOf(client);
    let problem: string | undefined;
    if (left < 0)
      problem = `at most ${most} images (maxQueueSize) but ${held.images} wait and ${images} came`;
    else if (held.bytes + bytes > maxQueueBytes)
      problem = `at most ${maxQueueBytes} bytes (maxQueueBytes) but ${held.bytes} wait and ${bytes} came`;
    // The 1 lets a client have all of a small queue.
    else if (own > 0 && own + images > maxShare * (left + 1))
      problem = `a client to leave room to others in a queue of ${most} images (maxQueueSize) but ${own} of its images wait and ${images} came`;
    if (problem === undefined) return;
    const retryAfterMs = Math.max(minRetryMs, Math.ceil(this.#backlogMs ?? 0));
    throw queueFull(
      `Expected ${problem}; try again in ${Math.ceil(retryAfterMs / 1000)} s`,
      retryAfterMs,
    );
  }

  /** Refuses a call that would be late. Before a run was timed, none is. */
  #checkTime({ kind, images }: Demand, { priority, client, timeoutMs }: CallSettings): void {
    if (timeoutMs === undefined) return;
    const { rates } = this.#kindOf(kind);
    const { images: held } = this.#backlog;
    const msPerImage = held === 0 ? 0 : (this.#backlogMs ?? 0) / held;
    const ahead = this.#backlog.ahead(priority, client, images);
    const running = Math.max(0, this.#busyUntil - performance.now());
    const rest = images % this.maxBatchSize;
    const own =
      Math.floor(images / this.maxBatchSize) * (rates.timeOf(this.maxBatchSize) ?? 0) +
      (rest > 0 ? (rates.timeOf(rest) ?? 0) : 0);
    const expected = running + ahead * msPerImage + own;
    if (expected <= timeoutMs) return;
    throw new VggError(
      "TIMED_OUT",
      `Expected a result within ${timeoutMs} ms but the images before it and its own take ${Math.ceil(expected)} ms`,
    );
  }

  #schedule(): void {
    if (this.#isScheduled || this.#running >= this.#maxRunning || this.#queue.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      while (this.#running < this.#maxRunning && this.#startNext());
    });
  }

  /** Starts a run of what is first. @returns false if nothing waits */
  #startNext(): boolean {
    for (let head = this.#queue.first(); head !== undefined; head = this.#queue.first()) {
      const { work } = head;
      const batch = this.#choose(work.key);
      if (batch.length === 0) continue; // they were late
      void this.#run(work, batch);
      return true;
    }
    return false;
  }

  /** Takes the entries of the next run out of the queue. Those that would be late fail, so there may be none. */
  #choose(key: string): Entry[] {
    const { rates } = this.#kindOf(key);
    const most = Math.min(this.maxBatchSize, rates.limit);
    const now = performance.now();
    for (let first = this.#first(key, most); first.length > 0; first = this.#first(key, most)) {
      const late = lateEntry(first, rates, now);
      const isTried =
        late !== undefined && late.deadline > now && this.#queue.size === 1 && this.#wasIdle;
      if (late === undefined || isTried) {
        const count = countOfRun(first, rates, now, this.#queue.imagesOf(key));
        return this.#queue.take(key, count);
      }
      this.#queue.remove(late);
      late.fail(new VggError("TIMED_OUT", "Expected a result in time but its run would end late"));
    }
    return [];
  }

  /** Returns the first entries of a kind that fit into one run. */
  #first(key: string, most: number): Entry[] {
    const first: Entry[] = [];
    let images = 0;
    for (const entry of this.#queue.of(key)) {
      images += entry.images;
      if (first.length > 0 && images > most) break;
      first.push(entry);
    }
    return first;
  }

  /** Submits a run before it returns. Never rejects. */
  async #run(work: Kind, batch: readonly Entry[]): Promise<void> {
    const state = this.#kindOf(work.key);
    const { rates } = state;
    this.#kinds.delete(work.key);
    this.#kinds.set(work.key, state);
    const images = batch.flatMap(({ data }) => data);
    const stop = new AbortController();
    let wanted = batch.length;
    const abandon = () => {
      if (--wanted === 0) stop.abort();
    };
    for (const entry of batch) entry.start(images.length, abandon);
    const start = performance.now();
    this.#running++;
    this.#runs++;
    this.#images += images.length;
    this.#busyUntil = Math.max(start, this.#busyUntil) + (rates.timeOf(images.length) ?? 0);
    const epoch = this.#epoch;
    let isWhole = true;
    const mayDivide = (size: number) => {
      isWhole = false;
      rates.refuse(size);
      return epoch === this.#epoch && !stop.signal.aborted;
    };
    try {
      const outputs = await runImages(work, images, stop.signal, mayDivide);
      const end = performance.now();
      // The device works first in, first out, so this run began when the one before it had ended.
      if (isWhole) rates.record(images.length, end - Math.max(start, this.#lastEnd));
      this.#lastEnd = end;
      this.#last = rates;
      let first = 0;
      for (const entry of batch) {
        entry.succeed(cut(outputs, first, entry.images));
        first += entry.images;
      }
    } catch (error) {
      this.#lastEnd = performance.now();
      for (const entry of batch) entry.fail(error);
    }
    if (--this.#running === 0) this.#busyUntil = 0;
    this.#schedule();
  }
}
