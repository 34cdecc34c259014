// Class names in the forms in which people store them: lists, and maps between numbers and names.
import { types } from "node:util";
import { describe, isPlainObject } from "../check.js";

/** How the values of a source are taken apart. A pickle has other dictionaries than JSON. */
export interface LabelSource {
  /** The keys and values of a dictionary; undefined if the value is none. */
  entries(value: unknown): Iterable<readonly [key: unknown, value: unknown]> | undefined;
  /** The items of a list; undefined if the value is none. */
  items(value: unknown): readonly unknown[] | undefined;
}

/** Values that JSON.parse returns, and Maps of them. */
const json: LabelSource = {
  entries: (value) => {
    if (types.isMap(value)) return value;
    return isPlainObject(value) ? Object.entries(value) : undefined;
  },
  items: (value) => (Array.isArray(value) ? value : undefined),
};

type Labels = readonly string[];
/** A map with holes, or with two names for a number. No labels are better than wrong ones. */
const wrong = Symbol("wrong");
type Found = Labels | typeof wrong | undefined;

const mapNames =
  /^(idx|id|index|class|label|name|category)(to|2)(idx|id|index|class|label|name|category)$/;
/** Names of lists, the surest first. All are compared in lower case, without underscores and the like. */
const listNames = [
  ...["labels", "classes", "classnames", "categories", "labelnames", "classlabels"],
  ...["targetnames", "classlist", "labellist", "names"],
];
const maxNameLength = 40;
/** The keys of a name in an object that describes a class, and of its number. */
const nameKeys = ["name", "label", "class"];
const indexKeys = ["id", "index", "idx"];
/** Fields of such an object that are looked at. */
const maxFields = 32;
/** Entries of dictionaries that are looked at. A hostile pickle may give one long dictionary to many objects. */
const maxEntries = 4_000_000;

/** Whether class names are looked for under a key. */
export const isLabelKey = (key: unknown) => usualName(key) !== undefined;

function usualName(key: unknown): string | undefined {
  if (typeof key !== "string" || key.length > maxNameLength) return undefined;
  const name = key.toLowerCase().replace(/[^a-z0-9]/g, "");
  return mapNames.test(name) || listNames.includes(name) ? name : undefined;
}

/** Returns the class number that a value stands for: 7 or "7". */
function indexOf(value: unknown): number | undefined {
  const isDigits = typeof value === "string" && /^(0|[1-9]\d{0,8})$/.test(value);
  const index = isDigits ? Number(value) : value;
  return Number.isSafeInteger(index) && (index as number) >= 0 ? (index as number) : undefined;
}

/** Puts names in the order of their numbers, which must be 0 to n - 1, each once. */
function inOrder(pairs: readonly (readonly [index: unknown, name: string])[]): Found {
  const labels = new Array<string | undefined>(pairs.length).fill(undefined);
  for (const [key, name] of pairs) {
    const index = indexOf(key);
    if (index === undefined || index >= labels.length || labels[index] !== undefined) return wrong;
    labels[index] = name;
  }
  return labels as string[];
}

class Reader {
  #source: LabelSource;
  /** What each list and map was read as. A hostile pickle may put one long list under many names. */
  #forms = new Map<unknown, Found>();
  #entriesLeft = maxEntries;

  constructor(source: LabelSource) {
    this.#source = source;
  }

  /** Returns labels, unless they are wrong or not all entries could be looked at. */
  answer(found: Found): Labels | undefined {
    return found === wrong || this.#entriesLeft < 0 ? undefined : found;
  }

  #entries(value: unknown): (readonly [key: unknown, value: unknown])[] {
    if (this.#entriesLeft < 0) return [];
    const entries = [...(this.#source.entries(value) ?? [])];
    this.#entriesLeft -= entries.length;
    return entries;
  }

  /** Reads a value that is itself a list or a map. Undefined if it is of no such form. */
  form(value: unknown): Found {
    if (!this.#forms.has(value)) this.#forms.set(value, this.#readForm(value));
    return this.#forms.get(value);
  }

  #readForm(value: unknown): Found {
    const items = this.#source.items(value);
    if (items !== undefined) return this.#list(items);
    const entries = this.#entries(value);
    if (entries.length === 0) return undefined;
    const isKeyIndex = entries.every(([key]) => indexOf(key) !== undefined);
    const isKeyText = entries.every(([key]) => typeof key === "string");
    const isValueIndex = entries.every(([, item]) => indexOf(item) !== undefined);
    const isValueNumber = entries.every(([, item]) => typeof item === "number");
    // ImageFolder's classes may be called "0", "1" and "10". Then the values are numbers, and the keys are names.
    if (isKeyText && isValueIndex && (isValueNumber || !isKeyIndex))
      return inOrder(entries.map(([key, item]) => [item, key as string]));
    if (!isKeyIndex) return undefined;
    const names = entries.map(([, item]) => this.#name(item));
    if (names.includes(undefined)) return undefined;
    return inOrder(entries.map(([key], i) => [key, names[i]!]));
  }

  /** Reads the entries under usual names. Maps from or to numbers are surer than lists. */
  named(value: unknown): Found {
    const known = this.#entries(value).flatMap(([key, item]) => {
      const name = usualName(key);
      return name === undefined ? [] : [{ name, item }];
    });
    const maps = known.filter(({ name }) => mapNames.test(name)).map(({ item }) => this.form(item));
    const found = onlyOne(maps);
    if (found !== undefined) return found;
    for (const wanted of listNames) {
      for (const { name, item } of known) {
        const labels = name === wanted ? this.form(item) : undefined;
        if (labels !== undefined) return labels;
      }
    }
    return undefined;
  }

  /** Reads the entries under usual names one level down, if only one answer is there. */
  nested(value: unknown): Found {
    const inner = new Set(this.#entries(value).map(([, item]) => item));
    return onlyOne([...inner].map((item) => this.named(item)));
  }

  #list(items: readonly unknown[]): Found {
    if (items.length === 0) return undefined;
    const numbers = items.map((item) => this.#field(item, indexKeys));
    const names = items.map((item) => this.#name(item));
    if (names.includes(undefined)) return undefined;
    if (numbers.every((number) => number === undefined)) return names as string[];
    return inOrder(numbers.map((number, i) => [number, names[i]!]));
  }

  /** Reads a name: a text, ImageNet's `["n01440764", "tench"]`, or an object with a field for it. */
  #name(value: unknown): string | undefined {
    if (typeof value === "string") return value;
    const items = this.#source.items(value);
    if (items === undefined) {
      const field = this.#field(value, nameKeys);
      return typeof field === "string" ? field : undefined;
    }
    if (items.length === 0 || items.length > 2) return undefined;
    if (!items.every((item) => typeof item === "string")) return undefined;
    const [first, second] = items as string[];
    if (second === undefined) return first;
    return /^n\d{8}$/.test(first!) ? second : undefined;
  }

  #field(value: unknown, keys: readonly string[]): unknown {
    if (this.#source.items(value) !== undefined) return undefined;
    let left = maxFields;
    for (const [key, item] of this.#source.entries(value) ?? []) {
      if (left-- === 0) return undefined;
      if (typeof key === "string" && keys.includes(key)) return item;
    }
    return undefined;
  }
}

/** Returns the answer that all agree on, undefined if there is none, and `wrong` if they contradict one another. */
function onlyOne(all: readonly Found[]): Found {
  const answers = [...new Set(all)].filter((found) => found !== undefined);
  const [first] = answers;
  if (first === undefined || first === wrong) return first;
  const isSame = (other: Found) =>
    Array.isArray(other) &&
    other.length === first.length &&
    first.every((label, i) => label === other[i]);
  return answers.every(isSame) ? first : wrong;
}

/**
 * Finds class names beside weights: under a usual name (`class_to_idx`, `id2label`, `classes`, …), or under one a level
 * below. Returns undefined if there are none, if numbers are missing or occur twice, or if two places contradict.
 */
export function labelsBeside(value: unknown, source: LabelSource = json): Labels | undefined {
  const reader = new Reader(source);
  return reader.answer(reader.named(value) ?? reader.nested(value));
}

/** Lists under these names are class names and nothing else. `labels` and `names` may be other data. */
const sureNames = ["classes", "classnames", "categories", "labelnames", "classlabels"];

/** Returns the first key whose list or map was meant to be class names, here or a level below. */
function meantKey(value: unknown, source: LabelSource, isNested = false): string | undefined {
  let left = isNested ? maxFields : maxFields * maxFields;
  for (const [key, item] of source.entries(value) ?? []) {
    if (left-- === 0) return undefined;
    const name = usualName(key);
    const hasItems = (source.items(item)?.length ?? 0) > 0 || !isEmpty(source.entries(item));
    const isSure = name !== undefined && (mapNames.test(name) || sureNames.includes(name));
    if (isSure && hasItems) return key as string;
    const inner = isNested ? undefined : meantKey(item, source, true);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

function isEmpty(items: Iterable<unknown> = []): boolean {
  for (const _ of items) return false;
  return true;
}

/** Says why class names beside weights, which `labelsBeside` did not find, cannot be used; undefined if there are none. */
export function labelProblem(value: unknown, source: LabelSource = json): string | undefined {
  const key = meantKey(value, source);
  if (key === undefined) return undefined;
  return `Expected class names, or names with the numbers 0 to n - 1, each once, under ${describe(key)} but received others; they are not used`;
}

/**
 * Makes class names of the value of a JSON file:
 * - a list of names, in the order of the classes;
 * - numbers to names, `{"0": "tench"}`, also ImageNet's `{"0": ["n01440764", "tench"]}`;
 * - names to numbers, `{"tench": 0}`;
 * - objects with both, `[{"id": 0, "name": "tench"}]`;
 * - any object that has one of these under a usual name, such as a config's `id2label`.
 * @returns undefined if it has none of these forms, if numbers are missing or occur twice, or if two places contradict
 */
export function labelsFrom(value: unknown): Labels | undefined {
  const reader = new Reader(json);
  const found = reader.form(value);
  return found === undefined ? labelsBeside(value) : reader.answer(found);
}
