// Checks of arguments, in one sentence form: Expected … for NAME but received …
import { isOfAnotherCopy } from "./realm.js";

/** Describes a value for an error message: at most 8 items of an array, and of a nested array only its length. */
export function describe(value: unknown, isInside = false): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `function ${value.name || "(anonymous)"}`;
  if (Array.isArray(value)) {
    if (isInside) return `an array of ${value.length}`;
    const shown = value.slice(0, 8).map((item) => describe(item, true));
    return `[${shown.join(", ")}${value.length > 8 ? `, … ${value.length} items` : ""}]`;
  }
  if (typeof value === "object" && value !== null) {
    if (value.constructor?.name === "Object") return "an object";
    const origin = isOfAnotherCopy(value) ? " of another copy of vgg-cudnn" : "";
    return `an instance of ${value.constructor?.name ?? "null prototype"}${origin}`;
  }
  return String(value);
}

export function typeError(expected: string, name: string, received: unknown): TypeError {
  return new TypeError(`Expected ${expected} for ${name} but received ${describe(received)}`);
}

export function rangeError(expected: string, name: string, received: unknown): RangeError {
  return new RangeError(`Expected ${expected} for ${name} but received ${describe(received)}`);
}

/** The error of a public class that is made by a function. */
export function privateConstructor(calls: string): TypeError {
  return new TypeError(`Expected ${calls}: the constructor is private`);
}

export function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

/** @throws {TypeError} not a number @throws {RangeError} not an integer within [min, max] */
export function checkInteger(value: unknown, name: string, min: number, max: number): number {
  if (isInteger(value, min, max)) return value;
  const expected = `an integer from ${min} to ${max}`;
  throw typeof value === "number"
    ? rangeError(expected, name, value)
    : typeError(expected, name, value);
}

/** @throws {TypeError} not a string @throws {RangeError} not one of the choices */
export function checkOneOf<T extends string>(
  value: unknown,
  name: string,
  choices: readonly T[],
): T {
  const expected = `one of ${choices.join(", ")}`;
  if (typeof value !== "string") throw typeError(expected, name, value);
  if (!choices.includes(value as T)) {
    const { message } = rangeError(expected, name, value);
    // "VGG16-BN" is "vgg16_bn"; which network "vgg12" should be is not known.
    const plain = (text: string) =>
      text
        .slice(0, 80)
        .toLowerCase()
        .replace(/[^a-z0-9]/g, "");
    const same = choices.find((choice) => plain(choice) === plain(value));
    throw new RangeError(same === undefined ? message : `${message}; did you mean "${same}"?`);
  }
  return value as T;
}

/** Whether a value is an object literal of any realm, as options and named tensors are. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return true;
  return Object.getPrototypeOf(prototype) === null;
}

/** Whether this is the Object.prototype of any realm. */
function isRoot(object: object): boolean {
  if (object === Object.prototype) return true;
  return Object.getPrototypeOf(object) === null && Object.hasOwn(object, "isPrototypeOf");
}

/**
 * Reads an option, own or inherited, but never from Object.prototype: any code of the process may have added it there.
 * @param usual the default; it replaces undefined only, not null
 */
export function optionOf<Options extends object, Key extends keyof Options>(
  options: Options,
  key: Key,
): Options[Key] | undefined;
export function optionOf<Options extends object, Key extends keyof Options>(
  options: Options,
  key: Key,
  usual: NonNullable<Options[Key]>,
): NonNullable<Options[Key]>;
export function optionOf<Options extends object, Key extends keyof Options>(
  options: Options,
  key: Key,
  usual?: Options[Key],
): Options[Key] | undefined {
  for (
    let holder: object = options;
    holder !== null && !isRoot(holder);
    holder = Object.getPrototypeOf(holder)
  ) {
    if (!Object.hasOwn(holder, key)) continue;
    const { [key]: value = usual } = options;
    return value;
  }
  return usual;
}

/**
 * Reads each of a caller's options once. Returns a frozen object without a prototype that has every known option;
 * an absent one is undefined. Options may be inherited from a class or an object of defaults.
 * @throws {TypeError} not an object, or an option of another name: a misspelt option is never ignored
 */
export function readOptions<Options extends object>(
  value: Options,
  name: string,
  known: readonly string[],
): Readonly<Options> {
  const isPlain = isPlainObject(value);
  const isInstance = typeof value === "object" && Object.prototype.toString.call(value) === plain;
  if (!isPlain && !isInstance) throw typeError("an object", name, value);
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    // An instance with other own fields is most likely an argument in the wrong place.
    throw isPlain
      ? typeError(`only the options ${known.join(", ")}`, name, key)
      : typeError("an object", name, value);
  }
  const options = Object.create(null) as Record<string, unknown>;
  for (const key of known) options[key] = optionOf(value, key as keyof Options);
  return Object.freeze(options) as Options;
}

const plain = "[object Object]";

/** Copies the properties to an object without a prototype, because Node also reads options from Object.prototype. */
export function bare<Options extends object>(options: Options): Options {
  return Object.freeze(Object.assign(Object.create(null) as Options, options));
}

/** The option of `addEventListener` for a listener that runs once. */
export const once = bare({ once: true } as const);

/**
 * Reads each named item of a caller's object once. Reads own properties only; an absent item is undefined.
 * @throws {TypeError} not a plain object, or a name that is not known
 */
export function readNamed<Item>(
  value: Readonly<Record<string, Item>>,
  name: string,
  known: readonly string[],
): (Item | undefined)[] {
  if (!isPlainObject(value)) throw typeError("an object", name, value);
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw typeError(`only ${known.join(", ")}`, name, key);
  }
  return known.map((key) => (Object.hasOwn(value, key) ? value[key] : undefined));
}

/** @throws {TypeError} neither absent nor an AbortSignal, of whatever realm or package */
export function checkSignal(signal: unknown, name = "options.signal"): void {
  if (signal === undefined) return;
  const given = (typeof signal === "object" ? signal : null) as Partial<AbortSignal> | null;
  const isSignal =
    typeof given?.aborted === "boolean" &&
    [given.throwIfAborted, given.addEventListener, given.removeEventListener].every(
      (method) => typeof method === "function",
    );
  if (!isSignal) throw typeError("an AbortSignal", name, signal);
}

/** Formats a shape as users write it: `(N, 3, 224, 224)`. `batch`, if given, is put before it. */
export function formatShape(shape: readonly number[], batch?: number | "N"): string {
  return `(${[...(batch === undefined ? [] : [batch]), ...shape].join(", ")})`;
}
