// Which of the first entries of a kind run next, and which of them would be late.
import type { Rates } from "./rates.js";

/** Images that stay together. */
interface Timed {
  readonly images: number;
  /** A smaller number is served first. */
  readonly priority: number;
  /** When their run must have ended, by the clock of `now`. */
  readonly deadline: number;
}

/** Returns how many of the first entries run together. @param waiting all images of the kind that wait */
export function countOfRun(
  first: readonly Timed[],
  rates: Rates,
  now: number,
  waiting: number,
): number {
  const sizes = sizesInTime(first, rates, now);
  return sizes.indexOf(rates.choose(sizes, waiting)) + 1;
}

/** Returns the images of the first entry, of the first two, and so on. */
function sums(entries: readonly Timed[]): number[] {
  let sum = 0;
  return entries.map(({ images }) => {
    sum += images;
    return sum;
  });
}

/**
 * Returns an entry that is too late. A deadline makes a run smaller, but not so small that the other calls of the first
 * priority lose the rate: under overload the device would then be slowest.
 */
export function lateEntry<Entry extends Timed>(
  first: readonly Entry[],
  rates: Rates,
  now: number,
): Entry | undefined {
  const [{ priority }] = first as readonly [Entry];
  const near = rates.near(sums(first.filter((entry) => entry.priority <= priority)));
  return first.find(
    ({ images, deadline }) => now + (rates.timeOf(Math.max(images, near)) ?? 0) > deadline,
  );
}

/** Returns the sizes of runs of the first entries that are in time for all of these. */
function sizesInTime(first: readonly Timed[], rates: Rates, now: number): number[] {
  let deadline = Number.POSITIVE_INFINITY;
  const sizes = sums(first);
  const late = sizes.findIndex((size, index) => {
    deadline = Math.min(deadline, first[index]!.deadline);
    return now + (rates.timeOf(size) ?? 0) > deadline;
  });
  return late === -1 ? sizes : sizes.slice(0, Math.max(1, late));
}
