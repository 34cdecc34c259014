// How much work on images is under way in the whole process (a worker thread counts its own): open files, decoders, decoded bytes.
import { once } from "../check.js";

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
}

/** A semaphore of `capacity` units. */
export class Limiter {
  readonly capacity: number;
  #free: number;
  #waiting = new Map<object, Waiter[]>();
  #lastStart = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#free = capacity;
  }

  /** Units that nobody holds. */
  get free(): number {
    return this.#free;
  }

  /**
   * Waits for `amount` units, and for all of them where that is more than there are.
   * @returns gives them back; twice is nothing
   * @throws the reason of `signal`, or the error of `stalled`
   */
  async acquire(amount: number, claim: Claim): Promise<() => void> {
    const taken = Math.min(amount, this.capacity);
    claim.signal.throwIfAborted();
    if (this.#waiting.size > 0 || this.#free < taken) await this.#wait(taken, claim);
    else this.#take(taken);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#free += taken;
      this.#startNext();
    };
  }

  #take(amount: number): void {
    this.#free -= amount;
    this.#lastStart = performance.now();
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
      };
      const leave = (reason: unknown) => {
        end();
        this.#remove(call, waiter);
        reject(reason);
      };
      const abort = () => leave(signal.reason);
      const watch = () => {
        const left = Math.max(begin, this.#lastStart) + patienceMs - performance.now();
        if (left > 0) timer = setTimeout(watch, Math.ceil(left));
        else leave(stalled());
      };
      let timer = setTimeout(watch, patienceMs);
      signal.addEventListener("abort", abort, once);
      const own = this.#waiting.get(call);
      if (own === undefined) this.#waiting.set(call, [waiter]);
      else own.push(waiter);
    });
  }

  #remove(call: object, waiter: Waiter): void {
    const own = this.#waiting.get(call)!;
    own.splice(own.indexOf(waiter), 1);
    if (own.length === 0) this.#waiting.delete(call);
    this.#startNext();
  }

  /** The oldest of the call whose turn it is; a large one is not overtaken, or it would wait for ever. */
  #startNext(): void {
    for (const [call, own] of this.#waiting) {
      const next = own[0]!;
      if (next.amount > this.#free) return;
      own.shift();
      // Behind the other calls.
      this.#waiting.delete(call);
      if (own.length > 0) this.#waiting.set(call, own);
      this.#take(next.amount);
      next.start();
    }
  }
}

/** Images whose files are open, or whose bytes were read from one and wait for a decoder. */
export const openFiles = new Limiter(8);

/** Requests for images under way, or answered and waiting for a decoder. */
export const downloads = new Limiter(32);

/** libuv's pool reads files and resolves names too: decoders leave it one thread. */
const poolThreads = Number(process.env.UV_THREADPOOL_SIZE) || 4;
export const decoders = new Limiter(Math.max(1, Math.min(poolThreads, 1024) - 1));

/** Of decoded pixels and what their decoders hold. One image may have more: it is then alone. */
export const decodedBytes = new Limiter(256 * 2 ** 20);
