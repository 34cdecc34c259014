// Ratios of interleaved rounds.

import { median } from "../dist/statistics.js";

export { median, percentile } from "../dist/statistics.js";

/** The speed relative to the reference: the median over the rounds that both ran. The times of a pair share the machine's state. */
export function speedAgainst(reference, timesMs) {
  const rounds = Math.min(reference.length, timesMs.length);
  return median(timesMs.slice(0, rounds).map((time, round) => reference[round] / time));
}

/** ‖actual − expected‖ ÷ ‖expected‖ */
export function relativeError(actual, expected) {
  let difference = 0;
  let norm = 0;
  for (const [i, value] of expected.entries()) {
    difference += (actual[i] - value) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(difference / norm);
}
