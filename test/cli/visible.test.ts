// The escapes of characters that a terminal would obey.
import { expect, it } from "vitest";
import { visible, visibleLines } from "../../lib/visible.ts";

it("escapes control characters, bidirectional controls and lone surrogates, and keeps all else", () => {
  expect(visible("a\u001b[2J\u007f\u009b1m\u202e\ud800\n\t")).toBe(
    "a\\u001b[2J\\u007f\\u009b1m\\u202e\\ud800\\n\\t",
  );
  expect(visible("grüße 犬 🐕 \\n")).toBe("grüße 犬 🐕 \\n");
});

it("keeps the lines of a text and the value of JSON", () => {
  expect(visibleLines("one\ntwo\u0007")).toBe("one\ntwo\\u0007");
  const value = { name: "\u001b]0;x\u0007\u009b\u202e\u2028" };
  const shown = visibleLines(JSON.stringify(value));
  expect(shown).toMatch(/^[\x20-\x7e]+$/);
  expect(JSON.parse(shown)).toEqual(value);
});
