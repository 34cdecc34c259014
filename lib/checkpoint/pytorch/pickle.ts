// A pickle machine that builds data and calls no code. Its handler allows only the names that state dicts need.
// Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
import { describe } from "../../check.js";
import { type CheckpointFile, checkpointError } from "../file.js";

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

function isOrderedDict(value: PickleValue): boolean {
  return value instanceof Dict && value.isOrdered;
}

/** Describes a value as `describe` does, but a list only by its length, because a list may contain itself. */
export function describeValue(value: PickleValue | undefined): string {
  return Array.isArray(value) ? `a list of ${value.length}` : describe(value);
}

/** Decides which names a pickle may use, and makes their values. */
export interface PickleHandler {
  /** Whether the name may occur. */
  isAllowed(name: string): boolean;
  /** Returns the result of calling an allowed name, or undefined if it may not be called. */
  reduce(name: string, args: readonly PickleValue[]): PickleValue | undefined;
  /** Returns the value of a persistent id. */
  persistent(id: PickleValue): PickleValue;
}

export const maxPickleBytes = 64 * 2 ** 20;
export const maxStringBytes = 2 ** 20;

const limits = {
  // Counts opcodes and the items of list arguments.
  steps: 5_000_000,
  // A dictionary takes one byte of the pickle and about 250 bytes of memory.
  dicts: 100_000,
  stack: 100_000,
  memo: 1_000_000,
  stringBytes: maxStringBytes,
  intBytes: 9,
};

const mark = Symbol("mark");
type Cell = PickleValue | typeof mark;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the pickle that begins at `start`. Returns its value and its end.
 * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_UNSAFE (a name or operation that is not allowed), CHECKPOINT_LIMIT
 */
export function unpickle(
  file: CheckpointFile,
  bytes: Uint8Array,
  start: number,
  handler: PickleHandler,
): { value: PickleValue; end: number } {
  const machine = new Machine(file, bytes, start, handler);
  const value = machine.run();
  return { value, end: machine.at };
}

class Machine {
  at: number;
  #file: CheckpointFile;
  #bytes: Uint8Array;
  #view: DataView;
  #handler: PickleHandler;
  #stack: Cell[] = [];
  #memo = new Map<number, PickleValue>();
  #steps = 0;
  #dicts = 0;

  constructor(file: CheckpointFile, bytes: Uint8Array, start: number, handler: PickleHandler) {
    this.#file = file;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.#handler = handler;
  }

  run(): PickleValue {
    for (;;) {
      this.#count(1);
      if (this.#stack.length > limits.stack) throw this.#limit("values on the stack", limits.stack);
      const opcode = this.#byte();
      if (opcode === 0x2e) {
        const value = this.#pop();
        if (this.#stack.length > 0) throw this.#corrupt("an empty stack at the end");
        return value;
      }
      this.#step(opcode);
    }
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > limits.steps) throw this.#limit("steps", limits.steps);
  }

  #step(opcode: number): void {
    switch (opcode) {
      case 0x80: {
        const protocol = this.#byte();
        if (protocol < 2 || protocol > 5) throw this.#corrupt(`protocol 2 to 5, not ${protocol},`);
        return;
      }
      case 0x95: // FRAME is only a hint for buffering.
        this.#skip(8);
        return;
      case 0x28: // MARK
        this.#stack.push(mark);
        return;
      case 0x30: // POP
        if (this.#stack.pop() === undefined) throw this.#corrupt("a value to drop");
        return;
      case 0x4e:
        this.#push(null);
        return;
      case 0x88:
        this.#push(true);
        return;
      case 0x89:
        this.#push(false);
        return;
      case 0x4b: // BININT1
        this.#push(this.#byte());
        return;
      case 0x4d: // BININT2
        this.#push(this.#view.getUint16(this.#skip(2), true));
        return;
      case 0x4a: // BININT
        this.#push(this.#view.getInt32(this.#skip(4), true));
        return;
      case 0x8a: // LONG1
        this.#push(this.#long(this.#byte()));
        return;
      case 0x47: // BINFLOAT
        this.#push(new Float(this.#view.getFloat64(this.#skip(8), false)));
        return;
      case 0x58: // BINUNICODE
        this.#push(this.#string(this.#view.getUint32(this.#skip(4), true)));
        return;
      case 0x8c: // SHORT_BINUNICODE
        this.#push(this.#string(this.#byte()));
        return;
      case 0x5d: // EMPTY_LIST
        this.#push([]);
        return;
      case 0x7d: // EMPTY_DICT
        this.#pushDict(new Dict());
        return;
      case 0x29: // EMPTY_TUPLE
        this.#push(new Tuple([]));
        return;
      case 0x85: // TUPLE1
      case 0x86:
      case 0x87: {
        const items = Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse();
        this.#push(new Tuple(items));
        return;
      }
      case 0x74: // TUPLE
        this.#push(new Tuple(this.#popMark()));
        return;
      case 0x6c: // LIST
        this.#push(this.#popMark());
        return;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        return;
      case 0x65: // APPENDS
        this.#append(this.#popMark());
        return;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        return;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#popMark());
        return;
      case 0x71: // BINPUT
        this.#put(this.#byte());
        return;
      case 0x72: // LONG_BINPUT
        this.#put(this.#view.getUint32(this.#skip(4), true));
        return;
      case 0x94: // MEMOIZE
        this.#put(this.#memo.size);
        return;
      case 0x68: // BINGET
        this.#push(this.#get(this.#byte()));
        return;
      case 0x6a: // LONG_BINGET
        this.#push(this.#get(this.#view.getUint32(this.#skip(4), true)));
        return;
      case 0x63: {
        // GLOBAL
        const module = this.#line();
        this.#push(this.#name(module, this.#line()));
        return;
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof module !== "string" || typeof name !== "string")
          throw this.#corrupt("two strings for a name");
        this.#push(this.#name(module, name));
        return;
      }
      case 0x51: // BINPERSID
        this.#push(this.#handler.persistent(this.#pop()));
        return;
      case 0x52: // REDUCE
        this.#reduce();
        return;
      case 0x62: // BUILD sets an OrderedDict's attributes (`_metadata`), which are not needed here.
        if (!(this.#pop() instanceof Dict)) throw this.#corrupt("a dictionary of attributes");
        if (!isOrderedDict(this.#top()))
          throw this.#unsafe("the state of an object other than an OrderedDict");
        return;
      default:
        throw this.#unsafe(`opcode 0x${opcode.toString(16).padStart(2, "0")}`);
    }
  }

  #reduce(): void {
    const args = this.#pop();
    const callee = this.#pop();
    if (!(args instanceof Tuple) || !(callee instanceof Name))
      throw this.#corrupt("a name and a tuple to apply it to");
    // Count the items: a pickle may pass the same long list to many calls.
    if (Array.isArray(args.items[0])) this.#count(args.items[0].length);
    const value = this.#handler.reduce(callee.name, args.items);
    if (value === undefined) throw this.#unsafe(`a call of ${callee.name}`);
    if (value instanceof Dict) this.#pushDict(value);
    else this.#push(value);
  }

  #name(module: string, name: string): Name {
    const full = `${module}.${name}`;
    if (!this.#handler.isAllowed(full))
      throw this.#unsafe(`the name ${JSON.stringify(full.slice(0, 200))}`);
    return new Name(full);
  }

  #append(items: PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#corrupt("a list to append to");
    for (const item of items) list.push(item);
  }

  #setItems(items: PickleValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof Dict) || items.length % 2 !== 0)
      throw this.#corrupt("a dictionary and pairs to set in it");
    for (let i = 0; i < items.length; i += 2) {
      if (!isHashable(items[i]!)) throw this.#corrupt("a key that is no list and no dictionary");
      dict.entries.set(items[i]!, items[i + 1]!);
    }
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pushDict(dict: Dict): void {
    if (++this.#dicts > limits.dicts) throw this.#limit("dictionaries", limits.dicts);
    this.#push(dict);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) throw this.#corrupt("a value on the stack");
    return value;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw this.#corrupt("a value on the stack");
    return value;
  }

  #popMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw this.#corrupt("a mark on the stack");
    const items = this.#stack.splice(at) as PickleValue[];
    items.shift();
    return items;
  }

  #put(index: number): void {
    if (this.#memo.size >= limits.memo) throw this.#limit("memo entries", limits.memo);
    this.#memo.set(index, this.#top());
  }

  #get(index: number): PickleValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#corrupt(`memo entry ${index}`);
    return value;
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  /** Moves past the next `length` bytes and returns where they begin. */
  #skip(length: number): number {
    const at = this.at;
    if (at + length > this.#bytes.byteLength) throw this.#corrupt(`${length} bytes more`);
    this.at += length;
    return at;
  }

  #string(length: number): string {
    if (length > limits.stringBytes) throw this.#limit("bytes in a string", limits.stringBytes);
    const at = this.#skip(length);
    try {
      return utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw this.#corrupt("a string in UTF-8");
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0 || end - this.at > 1000) throw this.#corrupt("a name's end");
    const text = this.#string(end - this.at);
    this.at = end + 1;
    return text;
  }

  /** Reads an integer in two's complement, little-endian. */
  #long(length: number): number | bigint {
    if (length > limits.intBytes) throw this.#limit("bytes in an integer", limits.intBytes);
    const at = this.#skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]!);
    value = length === 0 ? 0n : BigInt.asIntN(length * 8, value);
    const narrow = Number(value);
    return Number.isSafeInteger(narrow) ? narrow : value;
  }

  #corrupt(expected: string) {
    return this.#file.corrupt(`Expected ${expected} in the pickle before its byte ${this.at}`);
  }

  #unsafe(what: string) {
    return checkpointError(
      this.#file,
      "CHECKPOINT_UNSAFE",
      `Expected only tensors and plain data but the pickle has ${what} at its byte ${this.at}; ` +
        "save the state dict alone: torch.save(model.state_dict(), path)",
    );
  }

  #limit(what: string, limit: number) {
    return checkpointError(
      this.#file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${limit} ${what} in the pickle`,
    );
  }
}
