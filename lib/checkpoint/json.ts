// Parses JSON for safetensors more strictly than JSON.parse: refuses repeated keys, fractions and numbers beyond 2^53.
import { type CheckpointFile, checkpointError } from "./file.js";

export class JsonObject {
  readonly entries = new Map<string, JsonValue>();
}

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

/** Whether a text has no lone surrogate. Any other text does not survive encoding as UTF-8. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

const maxDepth = 32;
// An object takes 2 bytes of the text and about 250 bytes of memory.
export const maxObjects = 100_000;

/** Parses a header. @throws {VggError} CHECKPOINT_CORRUPT with the position, CHECKPOINT_LIMIT above 100,000 objects */
export function parseJson(file: CheckpointFile, bytes: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw file.corrupt("Expected a header in UTF-8");
  }
  let at = 0;
  let objects = 0;
  const fail = (expected: string) =>
    file.corrupt(`Expected ${expected} at character ${at} of the header`);
  const space = () => {
    while (at < text.length && " \t\n\r".includes(text[at]!)) at++;
  };
  const take = (character: string) => {
    space();
    if (text[at] !== character) throw fail(character);
    at++;
  };
  const isNext = (character: string) => {
    space();
    return text[at] === character;
  };
  const string = (): string => {
    space();
    if (text[at] !== '"') throw fail("a string");
    const start = at;
    for (at++; text[at] !== '"'; at++) {
      if (at >= text.length) throw fail("the end of a string");
      if (text[at] === "\\") at++;
    }
    at++;
    try {
      const result = JSON.parse(text.slice(start, at)) as string;
      if (isWellFormed(result)) return result;
    } catch {
      // The error is thrown below.
    }
    at = start;
    throw fail("a valid string");
  };
  const integer = /(0|[1-9]\d{0,15})(?![\d.eE])/y;
  const value = (depth: number): JsonValue => {
    if (depth > maxDepth) throw fail(`at most ${maxDepth} levels`);
    space();
    const character = text[at];
    if (character === '"') return string();
    if (character === "{") return object(depth);
    if (character === "[") {
      const list: JsonValue[] = [];
      at++;
      for (let isFirst = true; !isNext("]"); isFirst = false) {
        if (!isFirst) take(",");
        list.push(value(depth + 1));
      }
      at++;
      return list;
    }
    for (const [word, meaning] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    integer.lastIndex = at;
    const digits = integer.exec(text)?.[0];
    if (digits === undefined || !Number.isSafeInteger(Number(digits)))
      throw fail("an integer from 0 to 2^53 - 1");
    at += digits.length;
    return Number(digits);
  };
  const object = (depth: number): JsonObject => {
    if (++objects > maxObjects) {
      throw checkpointError(
        file,
        "CHECKPOINT_LIMIT",
        `Expected at most ${maxObjects} objects in the header`,
      );
    }
    const result = new JsonObject();
    take("{");
    for (let isFirst = true; !isNext("}"); isFirst = false) {
      if (!isFirst) take(",");
      const key = string();
      if (result.entries.has(key))
        throw fail(`a key other than ${JSON.stringify(key)}, which came before,`);
      take(":");
      result.entries.set(key, value(depth + 1));
    }
    at++;
    return result;
  };
  const result = value(0);
  space();
  if (at !== text.length) throw fail("the end");
  return result;
}
