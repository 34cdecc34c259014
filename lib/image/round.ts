// Rounding as Python does it.

/** Rounds as Python's round() does: halves go to the even neighbour. @param value at least 0 */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor + (floor % 2);
  return rest < 0.5 ? floor : floor + 1;
}
