// Percentiles of measured times.

/** The value that a share (0 … 1) of the values does not exceed, interpolated between neighbours. NaN if there are no values. */
export function percentile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return Number.NaN;
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)]!;
  return below + (sorted[Math.ceil(place)]! - below) * (place - Math.floor(place));
}

export const median = (values: ArrayLike<number>) => percentile(values, 0.5);
