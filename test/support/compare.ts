// The distance of a result from the truth, as one number.
import { expect } from "vitest";
import type { Tensor } from "../../lib/index.ts";
import type { Numbers } from "../reference.ts";

/** Returns ‖a - b‖ / ‖b‖. NaN and infinity must be at the same positions. */
export function relativeError(actual: ArrayLike<number>, truth: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < truth.length; i++) {
    const a = actual[i]!;
    const b = truth[i]!;
    if (!Number.isFinite(b)) {
      if (!Object.is(a, b)) return Number.POSITIVE_INFINITY;
      continue;
    }
    difference += (a - b) ** 2;
    norm += b ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

export function expectClose(actual: Tensor, truth: Numbers, tolerance = 1e-6): void {
  expect(actual.shape).toEqual(truth.shape);
  expect(relativeError(actual.data as Float32Array, truth.data)).toBeLessThanOrEqual(tolerance);
}
