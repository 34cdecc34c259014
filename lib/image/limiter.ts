// Limits the work on images in the whole process with its worker threads: open files, requests, decoders, decoded bytes.
import { once } from "../check.js";
import { callNative, translated } from "../errors.js";
import type { NativePlaces } from "../native/addon.js";
import { native } from "../native/load.js";

/** The owner of a wait, and the conditions that end it. */
export interface Claim {
  /** The call that waits. Calls take turns, so that a large batch does not make others wait for all of it. */
  readonly call: object;
  readonly signal: AbortSignal;
  /** The wait ends with the error of `stalled` if no waiter was served for this time. */
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

  /** @param capacity applies only if no thread has used this name before; a function is called on first use */
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

  /** Units that are free. */
  get free(): number {
    return this.#places.free();
  }

  /**
   * Waits for `amount` units, or for all of them if `amount` exceeds the capacity.
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

  /** Waits for the process's units, for one waiter of this thread at a time. */
  async #serve(): Promise<void> {
    if (this.#isServing) return;
    this.#isServing = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      try {
        const given = await this.#places.wait(next.amount);
        // The waiter may have left before the units arrived. The next one may need fewer or more.
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

/** Images whose files are open, and images that were read from files and wait for a decoder. */
export const openFiles = new Limiter("open files", 8);

/** Images that are being requested, and images that were downloaded and wait for a decoder. */
export const downloads = new Limiter("downloads", 32);

/** Decoders at work. They leave libuv's pool one thread, since it also reads files and resolves names. */
export const decoders = new Limiter("decoders", () => Math.max(1, native().poolThreads() - 1));

/** Bytes of decoded pixels and of decoders' memory. An image that needs more is decoded alone. */
export const decodedBytes = new Limiter("decoded bytes", 256 * 2 ** 20);
