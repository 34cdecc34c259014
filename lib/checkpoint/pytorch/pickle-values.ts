// The values that a pickle may build: data, names, and inert values for all else, never code.
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
  /** Whether this is an OrderedDict, a defaultdict or a Counter, which may have attributes. */
  readonly isOrdered: boolean;
  constructor(isOrdered = false) {
    this.isOrdered = isOrdered;
  }
}

/** A name that the handler knows, kept as data. */
export class Name {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** A value that is none of Python's plain data: a float, a storage, a tensor, or an inert value. */
export class Opaque {}

/** A float, kept apart from integers because 6.0 is not a valid size. */
export class Float extends Opaque {
  readonly value: number;
  constructor(value: number) {
    super();
    this.value = value;
  }
}

/**
 * A class or function that the handler does not know, or what a call of it would give. Nothing is called. Many of these
 * may lie in a file, so each is small.
 */
export class Inert extends Opaque {
  readonly name: string;
  /** The attributes that BUILD would set. */
  attributes: Dict | undefined = undefined;
  /** The items that SETITEMS would set. */
  items: Dict | undefined = undefined;

  constructor(name: string) {
    super();
    this.name = name;
  }

  /** Describes the value for a message. */
  get description(): string {
    return `an object of ${describe(this.name)}`;
  }
}

/** Data that no tensor needs: bytes, a very long text or integer. `name` says what it is. */
export class InertData extends Inert {
  override get description(): string {
    return this.name;
  }
}

/** A tensor of a kind that this package cannot read: complex, quantised, sparse. */
export class UnsupportedTensor extends Inert {
  override get description(): string {
    return `one of ${this.name}`;
  }
}

/** Describes a value as `describe` does, but a list only by its length, because a list may contain itself. */
export function describeValue(value: PickleValue | undefined): string {
  if (value instanceof Inert) return value.description;
  return Array.isArray(value) ? `a list of ${value.length}` : describe(value);
}
