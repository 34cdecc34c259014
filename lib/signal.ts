// Waits on AbortSignals, with one listener on each signal however many calls wait for it.
import { once } from "./check.js";

/** The callbacks of each signal. They share one listener because Node warns of a leak from the eleventh on. */
const watched = new WeakMap<AbortSignal, { readonly calls: Set<() => void>; release(): void }>();

function watch(signal: AbortSignal) {
  const calls = new Set<() => void>();
  const abort = () => {
    watched.delete(signal);
    // A callback that an earlier one releases is not called any more.
    for (const call of calls) call();
  };
  signal.addEventListener("abort", abort, once);
  const watch = { calls, release: () => signal.removeEventListener("abort", abort) };
  watched.set(signal, watch);
  return watch;
}

/**
 * Calls back once when the signal aborts. If it has aborted already, that is before this returns.
 * @param callback must not throw
 * @returns a function that ends the wait; the signal then keeps no reference to the callback
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    callback();
    return () => {};
  }
  const { calls, release } = watched.get(signal) ?? watch(signal);
  const call = () => callback(); // one function may wait twice
  calls.add(call);
  return () => {
    if (!calls.delete(call) || calls.size > 0) return;
    // An abort that is running has removed the signal already.
    if (watched.get(signal)?.calls === calls) watched.delete(signal);
    release();
  };
}

/** Awaits the promise unless the signal aborts first; its result is then ignored. @throws the signal's reason */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return promise;
  let release = () => {};
  const aborted = new Promise<never>((_, reject) => {
    release = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    release();
  }
}

/** Makes a controller that aborts when `signal` does. `unfollow` removes the listener from the signal. */
export function follow(signal: AbortSignal | undefined): {
  stop: AbortController;
  unfollow: () => void;
} {
  const stop = new AbortController();
  const unfollow = onAbort(signal, () => stop.abort(signal?.reason));
  return { stop, unfollow };
}
