// Formats tables of text: words are aligned left, numbers right.
import { visible } from "../visible.js";

/** Formats a table as lines. @param words the number of first columns that are words */
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

/** Makes a name fit into a table: cuts it to a number of characters, and escapes control characters. */
export function cut(text: string, most: number): string {
  const shown = visible(text);
  return shown.length > most ? `${shown.slice(0, most - 1)}…` : shown;
}
