// Refusals of what a client sent, in one sentence form: Expected … for NAME but received …
import { ServeError } from "../errors.js";

/** Describes a value of a request in few characters. Of an object or a long text it says no more than what it is. */
export function shown(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

/** Returns the error for an argument that a client gave wrong. */
export function invalid(expected: string, name: string, received: unknown): ServeError {
  return new ServeError(
    "INVALID",
    `Expected ${expected} for ${name} but received ${shown(received)}`,
  );
}
