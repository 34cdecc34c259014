// Fits text into the width of a terminal, and writes it without what a terminal would obey.
import { visibleLines } from "../visible.js";

/** The width for which all text of the command line is made, in characters. */
export const width = 80;

/**
 * Breaks a line between words, so that no line is longer than `width` unless one word is.
 * @param indent put before every line but the first
 */
export function wrap(line: string, indent = ""): string {
  const lines: string[] = [];
  let current = "";
  for (const word of line.split(/(?<=\S) (?=\S)/)) {
    const longer = current === "" ? word : `${current} ${word}`;
    if (current !== "" && longer.length > width) {
      lines.push(current);
      current = indent + word;
    } else current = longer;
  }
  return [...lines, current].join("\n");
}

/** Writes text on stdout. Names in it that come from files cannot control the terminal. */
export function writeOut(text: string): void {
  process.stdout.write(visibleLines(text));
}

/** Writes text on stderr, as `writeOut` does. */
export function writeError(text: string): void {
  process.stderr.write(visibleLines(text));
}
