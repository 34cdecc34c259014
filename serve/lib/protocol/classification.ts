// Triton's classification extension: the best classes of an output as texts VALUE:INDEX or VALUE:INDEX:LABEL.

/**
 * Returns the classes of each row, the greatest value first. Equal values keep the order of their classes; NaN comes last.
 * @param values row-major, (rows, classes)
 * @param top the number of classes for each row, at most `classes`
 * @param labels the name of each class; undefined: the texts have none
 * @returns rows × top texts in UTF-8
 */
export function classificationOf(
  values: Float32Array,
  classes: number,
  top: number,
  labels: readonly string[] | undefined,
): Uint8Array[] {
  const texts: Uint8Array[] = [];
  for (let start = 0; start < values.length; start += classes) {
    const row = values.subarray(start, start + classes);
    for (const index of bestOf(row, top)) {
      const label = labels?.[index];
      const text = `${decimal(row[index]!)}:${index}${label === undefined ? "" : `:${label}`}`;
      texts.push(Buffer.from(text, "utf8"));
    }
  }
  return texts;
}

function bestOf(row: Float32Array, top: number): Uint32Array {
  const rank = (value: number) => (Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value);
  const indices = Uint32Array.from(row, (_, index) => index);
  indices.sort((a, b) => {
    const [first, second] = [rank(row[a]!), rank(row[b]!)];
    // The difference of two infinities is NaN.
    return first === second
      ? Number(Number.isNaN(row[a])) - Number(Number.isNaN(row[b])) || a - b
      : second - first;
  });
  return indices.subarray(0, top);
}

/** Writes a number as C++'s `std::to_string` does: six decimals, a tie to the even digit. */
export function decimal(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const magnitude = Math.abs(value);
  // Above 10^21 `toFixed` takes an exponent. Such a number has no fraction.
  if (magnitude >= 1e21) return `${sign}${BigInt(magnitude)}.000000`;
  const text = magnitude.toFixed(6);
  // A number lies exactly between two texts only if it is an odd multiple of 1/128. `toFixed` then takes the greater.
  const isTie = (magnitude * 128) % 2 === 1;
  const isOdd = "13579".includes(text.at(-1)!);
  return sign + (isTie && isOdd ? (magnitude - 0.0000005).toFixed(6) : text);
}
