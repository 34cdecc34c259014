// Work on pixels in JavaScript, in slices between which the event loop goes on.
import { setImmediate } from "node:timers/promises";

/** Work that yields at the end of each slice. Its result is what it returns. */
export type Slices<Result> = Generator<undefined, Result, undefined>;

/** Pixels, bytes or codes of one slice. A slice takes less than a millisecond. */
export const slice = 65_536;

/** The event loop waits no longer than this and one slice. */
const turnMs = 4;

/**
 * Runs the work to its end.
 * @param timeoutMs ends the work soon after this time; the caller has given up then
 */
export async function inSlices<Result>(
  work: Slices<Result>,
  timeoutMs = Number.POSITIVE_INFINITY,
): Promise<Result> {
  const end = performance.now() + timeoutMs + 1000;
  for (let turn = performance.now(); ; ) {
    const { done, value } = work.next();
    if (done) return value;
    const now = performance.now();
    if (now > end) throw new Error(`The work takes longer than ${timeoutMs} ms`);
    if (now - turn < turnMs) continue;
    await setImmediate();
    turn = performance.now();
  }
}

/** Calls `each` for consecutive ranges of [0, count). */
export function* ranges(
  count: number,
  each: (from: number, to: number) => void,
  size = slice,
): Slices<void> {
  for (let from = 0; from < count; from += size) {
    each(from, Math.min(count, from + size));
    yield;
  }
}
