// Limits the work on images in the whole process, its worker threads too: open files, requests, decoders and decoded bytes.
import { once } from "../check.js";
import { callNative, translated } from "../errors.js";
import type { NativePlaces } from "../native/addon.js";
import { native } from "../native/load.js";

/** Whom a wait for a place belongs to, and what ends it. */
export interface Claim {
  /** The call that asks. Calls take turns, so that a large batch does not make others wait for all of it. */
  readonly call: object;
  readonly signal: AbortSignal;
  /** The wait ends with the error of `stalled` if nobody was given a place for this time. */
  readonly patienceMs: number;
  readonly stalled: () => Error;
}

interface Waiter {
  readonly amount: number;
  readonly start: () => void;
  readonly fail: (reason: unknown) => void;
}

/** A semaphore that all threads of the process share. */
export class Limiter {
  readonly name: string;
  readonly #wanted: number | (() => number);
  #shared: NativePlaces | undefined;
  #waiting = new Map<object, Waiter[]>();
  #isServing = false;

  /** @param capacity is used only if no thread has asked for this name before; a function is called on first use */
  constructor(name: string, capacity: number | (() => number)) {
    this.name = name;
    this.#wanted = capacity;
  }

  get #places(): NativePlaces {
    this.#shared ??= callNative(() => {
      const capacity = typeof this.#wanted === "number" ? this.#wanted : this.#wanted();
      return new (native().Places)(this.name, capacity);
    });
    return this.#shared;
  }

  get capacity(): number {
    return this.#places.capacity();
  }

  /** Units that nobody holds. */
  get free(): number {
    return this.#places.free();
  }

  /**
   * Waits for `amount` units. If that is more than there are, it waits for all of them.
   * @returns a function that gives the units back; a second call does nothing
   * @throws the reason of `signal`, or the error of `stalled`
   * @throws {VggError} ADDON_MISSING, OUT_OF_MEMORY
   */
  async acquire(amount: number, claim: Claim): Promise<() => void> {
    const places = this.#places;
    const taken = Math.min(amount, places.capacity());
    claim.signal.throwIfAborted();
    if (this.#waiting.size > 0 || !places.take(taken)) await this.#wait(taken, claim);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      places.give(taken);
    };
  }

  #wait(amount: number, { call, signal, patienceMs, stalled }: Claim): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = performance.now();
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
      };
      const waiter: Waiter = {
        amount,
        start: () => {
          end();
          resolve();
        },
        fail: (reason) => {
          end();
          reject(reason);
        },
      };
      const leave = (reason: unknown) => {
        this.#remove(call, waiter);
        waiter.fail(reason);
      };
      const abort = () => leave(signal.reason);
      const watch = () => {
        const idleMs = Math.min(performance.now() - begin, this.#places.idleMs());
        if (idleMs < patienceMs) timer = setTimeout(watch, Math.ceil(patienceMs - idleMs));
        else leave(stalled());
      };
      let timer = setTimeout(watch, patienceMs);
      signal.addEventListener("abort", abort, once);
      const own = this.#waiting.get(call);
      if (own === undefined) this.#waiting.set(call, [waiter]);
      else own.push(waiter);
      void this.#serve();
    });
  }

  /** Returns the oldest waiter of the call whose turn it is. */
  #next(): Waiter | undefined {
    for (const [first] of this.#waiting.values()) return first;
    return undefined;
  }

  #remove(call: object, waiter: Waiter): void {
    const own = this.#waiting.get(call)!;
    own.splice(own.indexOf(waiter), 1);
    if (own.length === 0) this.#waiting.delete(call);
    // The waiter may have been the next one.
    this.#places.change(this.#next()?.amount ?? 0);
  }

  #takeNext(): Waiter {
    const [call, own] = this.#waiting.entries().next().value!;
    const waiter = own.shift()!;
    // The call goes behind the others.
    this.#waiting.delete(call);
    if (own.length > 0) this.#waiting.set(call, own);
    return waiter;
  }

  /** Waits for the process's places, for one waiter of this thread at a time. */
  async #serve(): Promise<void> {
    if (this.#isServing) return;
    this.#isServing = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      try {
        const given = await this.#places.wait(next.amount);
        // The waiter that asked may have left before this answer came. The next one may want less, or more.
        const amount = this.#next()?.amount ?? Number.POSITIVE_INFINITY;
        if (amount > given) this.#places.give(given);
        else {
          this.#takeNext().start();
          this.#places.give(given - amount);
        }
      } catch (error) {
        if (this.#next() !== undefined) this.#takeNext().fail(translated(error));
      }
    }
    this.#isServing = false;
  }
}

/** Images whose files are open, or whose bytes were read from one and wait for a decoder. */
export const openFiles = new Limiter("open files", 8);

/** Requests for images under way, or answered and waiting for a decoder. */
export const downloads = new Limiter("downloads", 32);

/** libuv's pool reads files and resolves names too: decoders leave it one thread. */
export const decoders = new Limiter("decoders", () => Math.max(1, native().poolThreads() - 1));

/** Bytes of decoded pixels and of what their decoders hold. An image that needs more is decoded alone. */
export const decodedBytes = new Limiter("decoded bytes", 256 * 2 ** 20);
