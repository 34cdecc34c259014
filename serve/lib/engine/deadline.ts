// The end of a request that comes from outside: the client leaves, or the deadline passes.
import { ServeError } from "../errors.js";

/** Triton's words, which its clients know. */
export const expired = "Request timeout expired";

/**
 * A signal that fires with a ServeError when the client leaves or the deadline passes, whatever comes first.
 * @example
 * using deadline = new Deadline(request.signal, 200);
 * await model.classify(images, { signal: deadline.signal });
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #client: AbortSignal;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #end: number;

  /** @param timeoutMs undefined: no deadline */
  constructor(client: AbortSignal, timeoutMs: number | undefined) {
    this.#client = client;
    this.#end = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    if (client.aborted) this.#leave();
    else client.addEventListener("abort", this.#leave, { once: true });
    if (timeoutMs === undefined) return;
    const expire = () => this.#controller.abort(new ServeError("TIMED_OUT", expired));
    // A longer timer than Node's would fire at once.
    this.#timer = setTimeout(expire, Math.min(timeoutMs, 2 ** 31 - 1));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What is left, at least 1 ms; undefined without a deadline. @throws {ServeError} TIMED_OUT if nothing is left */
  get leftMs(): number | undefined {
    if (this.#end === Number.POSITIVE_INFINITY) return undefined;
    const left = this.#end - performance.now();
    if (left <= 0) throw new ServeError("TIMED_OUT", expired);
    return Math.min(2 ** 31 - 1, Math.max(1, left));
  }

  /** The request has ended: neither the client nor the time matters any more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#client.removeEventListener("abort", this.#leave);
  }

  readonly #leave = () => {
    const { reason } = this.#client;
    const error =
      reason instanceof ServeError
        ? reason
        : new ServeError("CANCELED", "The client has left", { cause: reason });
    this.#controller.abort(error);
  };
}
