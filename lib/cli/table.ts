// Columns of text: words to the left, numbers to the right.

/** @param words how many of the first columns are words */
export function textTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  words: number,
): string[] {
  const lines = [heads, ...rows];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line
      .map((cell, i) => (i < words ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}
