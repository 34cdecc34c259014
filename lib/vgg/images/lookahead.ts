// Takes images from an iterator in batches, and decodes them before the consumer needs them.
import { typeError } from "../../check.js";
import { follow, unlessAborted } from "../../signal.js";

/** An image with its pixels, or with the reason why it has no pixels. */
export interface Decoded<Source> {
  readonly source: Source;
  readonly pixels: PromiseSettledResult<Uint8Array>;
}

interface Asked<Source> {
  readonly source: Source;
  readonly decoded: Promise<Decoded<Source>>;
}

/** A synchronous or asynchronous iterator. */
export interface Sources<Source> {
  next(): IteratorResult<Source> | PromiseLike<IteratorResult<Source>>;
  return?(): unknown;
}

/** Whether a value is an object in JavaScript's sense, which includes functions. */
function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** Opens an iterable. @throws {TypeError} not an iterable, or its iterator is not valid */
export function iteratorOf<Source>(
  images: Iterable<Source> | AsyncIterable<Source>,
): Sources<Source> {
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = (
    typeof images === "object" && images !== null ? images : {}
  ) as {
    [Symbol.asyncIterator]?: () => Sources<Source>;
    [Symbol.iterator]?: () => Sources<Source>;
  };
  const open = asynchronous ?? synchronous;
  if (typeof open !== "function") throw typeError("an iterable of images", "images", images);
  const iterator = open.call(images);
  if (!isObject(iterator) || typeof iterator.next !== "function")
    throw typeError("an iterator with a method next", "the iterator of images", iterator);
  return iterator;
}

/** Requests the next images while the batch has room. */
export class Lookahead<Source> {
  readonly #sources: Sources<Source>;
  readonly #next: Sources<Source>["next"];
  readonly #batchSize: number;
  readonly #decode: (source: Source, signal: AbortSignal) => Promise<Uint8Array>;
  readonly #stop: AbortController;
  readonly #unfollow: () => void;
  #asked: Asked<Source>[] = [];
  /** Set when the iterator has ended, with its error if it threw. */
  #end: { readonly failure: { readonly error: unknown } | undefined } | null = null;
  #isAsking = false;
  #changed = Promise.resolve();
  #change = () => {};

  constructor(
    sources: Sources<Source>,
    batchSize: number,
    decode: (source: Source, signal: AbortSignal) => Promise<Uint8Array>,
    signal: AbortSignal | undefined,
  ) {
    this.#sources = sources;
    // Read `next` once, as for…of does.
    const { next } = sources;
    this.#next = () => next.call(sources);
    this.#batchSize = batchSize;
    this.#decode = decode;
    ({ stop: this.#stop, unfollow: this.#unfollow } = follow(signal));
    this.#expectChange();
    void this.#ask();
  }

  /**
   * Returns the next images in order: a whole batch, or fewer if the iterator has no more yet. Returns an empty array
   * at the end.
   * @throws the iterator's error, after the images before it; the reason of `signal`
   */
  async take(): Promise<readonly Decoded<Source>[]> {
    const { signal } = this.#stop;
    for (;;) {
      const asked = this.#asked;
      const count = asked.length;
      const decoded = Promise.all(asked.map((image) => image.decoded));
      if (this.#end !== null || count === this.#batchSize) {
        await unlessAborted(decoded, signal);
      } else {
        const waits = count === 0 ? [this.#changed] : [this.#changed, decoded];
        await unlessAborted(Promise.race(waits), signal);
        if (asked.length > count || this.#end !== null) continue;
      }
      if (count === 0 && this.#end?.failure !== undefined) throw this.#end.failure.error;
      this.#asked = [];
      void this.#ask();
      return decoded;
    }
  }

  /** Stops decoding and closes the iterator, as for…of does. Does not wait for an answer that is still pending. */
  async close(): Promise<void> {
    const { signal } = this.#stop;
    const wasAborted = signal.aborted;
    this.#stop.abort();
    this.#unfollow();
    if (this.#end !== null) return;
    // A generator returns only after its pending answer, which may never come.
    const isWaited = !this.#isAsking && !wasAborted;
    const returned = this.#return();
    if (isWaited) await returned;
    else returned.catch(() => {});
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    const { signal } = this.#stop;
    this.#isAsking = true;
    try {
      while (this.#end === null && this.#asked.length < this.#batchSize && !signal.aborted) {
        const result = await this.#next();
        if (signal.aborted) break;
        if (!isObject(result))
          throw typeError("an object", "an answer of the iterator's next()", result);
        if (result.done) this.#end = { failure: undefined };
        else {
          const { value } = result;
          this.#asked.push({ source: value, decoded: this.#settle(value) });
        }
        this.#expectChange();
      }
    } catch (error) {
      this.#end = { failure: { error } };
      this.#expectChange();
    }
    this.#isAsking = false;
  }

  /** Closes the iterator. Async, so that a thrown error becomes a rejection. */
  async #return(): Promise<void> {
    const { return: end } = this.#sources;
    if (end === undefined || end === null) return;
    if (typeof end !== "function") throw typeError("a function", "the iterator's return", end);
    await end.call(this.#sources);
  }

  async #settle(source: Source): Promise<Decoded<Source>> {
    const [pixels] = await Promise.allSettled([this.#decode(source, this.#stop.signal)]);
    return { source, pixels: pixels! };
  }

  /** Ends the wait for a change, and begins the next one. */
  #expectChange(): void {
    this.#change();
    this.#changed = new Promise((resolve) => {
      this.#change = resolve;
    });
  }
}
