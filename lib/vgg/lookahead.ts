// Images of an iterator in batches, decoded ahead of whoever takes them.
import { typeError } from "../check.js";
import { follow, unlessAborted } from "../signal.js";

/** An image with its pixels, or with the reason why it has none. */
export interface Decoded<Source> {
  readonly source: Source;
  readonly pixels: PromiseSettledResult<Uint8Array>;
}

interface Asked<Source> {
  readonly source: Source;
  readonly decoded: Promise<Decoded<Source>>;
}

/** An iterator of either kind. */
export interface Sources<Source> {
  next(): IteratorResult<Source> | PromiseLike<IteratorResult<Source>>;
  return?(): unknown;
}

/** What JavaScript calls an object: functions too. */
function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** @throws {TypeError} nothing that is iterable, or what it gives is no iterator */
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

/** Asks for the next images while there is room for them in a batch. */
export class Lookahead<Source> {
  readonly #sources: Sources<Source>;
  readonly #next: Sources<Source>["next"];
  readonly #batchSize: number;
  readonly #decode: (source: Source, signal: AbortSignal) => Promise<Uint8Array>;
  readonly #stop: AbortController;
  readonly #unfollow: () => void;
  #asked: Asked<Source>[] = [];
  /** The iterator's last answer, with what it threw. */
  #end: { readonly failure?: { readonly error: unknown } } | null = null;
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
    // Once, as for…of does.
    const { next } = sources;
    this.#next = () => next.call(sources);
    this.#batchSize = batchSize;
    this.#decode = decode;
    ({ stop: this.#stop, unfollow: this.#unfollow } = follow(signal));
    this.#expectChange();
    void this.#ask();
  }

  /**
   * The next images in order: a whole batch, or fewer if the iterator gives no more for now. None at its end.
   * @throws what the iterator threw, after the images before it; the reason of `signal`
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

  /** Stops decoding and tells the iterator, as for…of does; what it still owes is not waited for. */
  async close(): Promise<void> {
    const { signal } = this.#stop;
    const wasAborted = signal.aborted;
    this.#stop.abort();
    this.#unfollow();
    if (this.#end !== null) return;
    // A generator returns after the answer that was asked for, which may never come.
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
        if (result.done) this.#end = {};
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

  /** Async, so that what is thrown and what is rejected are one. */
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

  /** Ends the wait for a change, and begins the next. */
  #expectChange(): void {
    this.#change();
    this.#changed = new Promise((resolve) => {
      this.#change = resolve;
    });
  }
}
