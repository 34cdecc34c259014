// Shows the characters of a text that a terminal would obey or that would hide others.

const obeyed = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

function escaped(character: string): string {
  const shown = JSON.stringify(character).slice(1, -1);
  // JSON leaves most of these as they are.
  if (shown !== character) return shown;
  return `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`;
}

/** Escapes control characters, line ends, lone surrogates and bidirectional controls of a name, as JSON can. */
export function visible(name: string): string {
  return name.replace(obeyed, escaped);
}

/** Does so for text of several lines. JSON keeps its value: these characters occur in its strings only. */
export function visibleLines(text: string): string {
  return text.replace(obeyed, (character) => (character === "\n" ? "\n" : escaped(character)));
}
