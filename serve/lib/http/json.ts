// JSON of a client: strict UTF-8, bounded nesting, and fields that are read by name and type.
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";

/** Triton's bound. */
const maxDepth = 100;
const decoder = new TextDecoder("utf-8", { fatal: true });
const [quote, backslash, openList, openObject, closeList, closeObject] = Buffer.from('"\\[{]}');

/** An object of JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws {ServeError} INVALID: no UTF-8, no JSON, or lists and objects nested deeper than 100 */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  if (isTooDeep(bytes))
    throw new ServeError(
      "INVALID",
      `Expected lists and objects nested at most ${maxDepth} deep in ${name}`,
    );
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : "it is no UTF-8";
    throw new ServeError("INVALID", `Expected JSON for ${name}: ${reason}`);
  }
}

/** Looks at brackets outside of texts. A deep list costs a parser a hundred times its bytes. */
function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (byte === quote) {
      index = endOfText(bytes, index);
      if (index === -1) return false;
    } else if (byte === openList || byte === openObject) {
      if (++depth > maxDepth) return true;
    } else if (byte === closeList || byte === closeObject) depth--;
  }
  return false;
}

/** Returns the place of the closing quote, or -1. */
function endOfText(bytes: Uint8Array, start: number): number {
  for (
    let end = bytes.indexOf(quote!, start + 1);
    end !== -1;
    end = bytes.indexOf(quote!, end + 1)
  ) {
    let backslashes = 0;
    while (bytes[end - 1 - backslashes] === backslash) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return -1;
}

/** @throws {ServeError} INVALID */
export function objectOf(value: unknown, name: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as JsonObject;
  throw invalid("an object", name, value);
}

/** Reads a field. Null is as good as absent: clients write it for what they do not say. */
export function fieldOf(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? (object[key] ?? undefined) : undefined;
}

/** Reads a field that is an object, or {}. @throws {ServeError} INVALID */
export function objectField(object: JsonObject, key: string, name: string): JsonObject {
  const value = fieldOf(object, key);
  return value === undefined ? {} : objectOf(value, name);
}

/** @throws {ServeError} INVALID */
export function listField(object: JsonObject, key: string, most: number): readonly unknown[] {
  const value = fieldOf(object, key) ?? [];
  if (Array.isArray(value) && value.length <= most) return value;
  throw invalid(`a list of at most ${most} items`, key, value);
}

/** @throws {ServeError} INVALID */
export function textField(object: JsonObject, key: string, name: string): string | undefined {
  const value = fieldOf(object, key);
  if (value === undefined || typeof value === "string") return value;
  throw invalid("a string", name, value);
}

/** @throws {ServeError} INVALID */
export function flagField(object: JsonObject, key: string, name: string): boolean | undefined {
  const value = fieldOf(object, key);
  if (value === undefined || typeof value === "boolean") return value;
  throw invalid("true or false", name, value);
}

/** Reads an integer from 0 to 2^53 - 1. @throws {ServeError} INVALID */
export function countField(object: JsonObject, key: string, name: string): number | undefined {
  const value = fieldOf(object, key);
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw invalid("an integer of at least 0", name, value);
}
