// Work that an AbortSignal stops: one listener on each signal, however many calls wait for it.
import { once } from "./check.js";

/** By signal: what to call when it aborts. Node warns of a leak from the eleventh listener of a signal on. */
const watched = new WeakMap<AbortSignal, { readonly calls: Set<() => void>; release(): void }>();

function watch(signal: AbortSignal) {
  const calls = new Set<() => void>();
  const abort = () => {
    watched.delete(signal);
    // A call that another one of them releases is not made any more.
    for (const call of calls) call();
  };
  signal.addEventListener("abort", abort, once);
  const watch = { calls, release: () => signal.removeEventListener("abort", abort) };
  watched.set(signal, watch);
  return watch;
}

/**
 * Calls back once when the signal aborts; before this returns if it has already.
 * @param callback must not throw
 * @returns ends the wait; afterwards the signal refers to nothing of it
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
    // An abort that is under way has forgotten the signal already.
    if (watched.get(signal)?.calls === calls) watched.delete(signal);
    release();
  };
}

/** The promise's value unless the signal aborts first; what runs on then ends unheard. @throws the signal's reason */
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

/** A controller that aborts when `signal` does. `unfollow` lets go of the signal. */
export function follow(signal: AbortSignal | undefined): {
  stop: AbortController;
  unfollow: () => void;
} {
  const stop = new AbortController();
  const unfollow = onAbort(signal, () => stop.abort(signal?.reason));
  return { stop, unfollow };
}
