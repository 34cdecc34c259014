// Medians, quartiles and ratios of interleaved rounds.

/** The quantile `p`, from 0 to 1. Interpolates between two values. */
export function quantile(values, p) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * p;
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at - Math.floor(at));
}

export const median = (values) => quantile(values, 0.5);

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
