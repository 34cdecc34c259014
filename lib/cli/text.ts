// Fits text into the width of a terminal.

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
