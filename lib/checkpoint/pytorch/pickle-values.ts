// The values that a pickle may build: data and names, never code.
import { describe } from "../../check.js";

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | Tuple
  | Dict
  | Name
  | Opaque;

export class Tuple {
  readonly items: readonly PickleValue[];
  /** Whether the tuple may be a key. Cached because tuples may contain one another many times. */
  readonly isHashable: boolean;
  constructor(items: readonly PickleValue[]) {
    this.items = items;
    this.isHashable = items.every(isHashable);
  }
}

/** Whether Python accepts the value as a dictionary key. */
export function isHashable(value: PickleValue): boolean {
  return value instanceof Tuple
    ? value.isHashable
    : !Array.isArray(value) && !(value instanceof Dict);
}

export class Dict {
  readonly entries = new Map<PickleValue, PickleValue>();
  /** Whether this is an OrderedDict, which may have attributes. */
  readonly isOrdered: boolean;
  constructor(isOrdered = false) {
    this.isOrdered = isOrdered;
  }
}

/** A name that the pickle refers to, kept as data. */
export class Name {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A value made by the handler: a storage or a tensor. */
export class Opaque {}

/** A float, kept apart from integers because 6.0 is not a valid size. */
export class Float extends Opaque {
  readonly value: number;
  constructor(value: number) {
    super();
    this.value = value;
  }
}

/** Describes a value as `describe` does, but a list only by its length, because a list may contain itself. */
export function describeValue(value: PickleValue | undefined): string {
  return Array.isArray(value) ? `a list of ${value.length}` : describe(value);
}
