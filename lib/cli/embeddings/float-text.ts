// Writes float32 numbers as text.

/** Returns the shortest of 7 to 9 digits that give the same float32. NaN and infinities are "null", as in JSON. */
export function floatText(value: number): string {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return "null";
  for (const digits of [7, 8]) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

/** Writes a row, with commas between the numbers. */
export function rowText(row: Float32Array): string {
  let text = "";
  for (let i = 0; i < row.length; i++)
    text += i === 0 ? floatText(row[i]!) : `,${floatText(row[i]!)}`;
  return text;
}
