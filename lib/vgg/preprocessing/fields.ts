// Reads fields of JSON objects that other programs wrote.
import { describe, isPlainObject } from "../../check.js";
import type { StatedPart } from "./statement.js";

export type Fields = Readonly<Record<string, unknown>>;

/** Returns an own field. null counts as absent, as None does in Python's libraries. */
export function field(fields: Fields, name: string): unknown {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  return value === null ? undefined : value;
}

/** Returns an own field that is an object itself. */
export function objectField(fields: Fields, name: string): Fields | undefined {
  const value = field(fields, name);
  return isPlainObject(value) ? value : undefined;
}

export function isPositive(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}

/** States a part. */
export function stated(name: string, value: unknown): StatedPart {
  return { name, value, problem: undefined };
}

/** States that a part cannot be followed. */
export function problem(name: string, expected: string, received: unknown): StatedPart {
  const message = `Expected ${expected} for ${name} but received ${received === undefined ? "nothing" : describe(received)}`;
  return { name, value: undefined, problem: message };
}
