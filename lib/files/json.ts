// Parses a text that another program may have written, and that need not be JSON.

/** Returns the value of a JSON text, or undefined for any other text. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
