// A pickle machine that builds data and calls no code. Its handler allows only the names that state dicts need.
// Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
import type { CheckpointFile } from "../file.js";
import { PickleReader } from "./pickle-reader.js";
import { Dict, Float, isHashable, Name, type PickleValue, Tuple } from "./pickle-values.js";

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

const limits = {
  // Counts opcodes and the items of list arguments.
  steps: 5_000_000,
  // A dictionary takes one byte of the pickle and about 250 bytes of memory.
  dicts: 100_000,
  stack: 100_000,
  memo: 1_000_000,
};

const mark = Symbol("mark");
type Cell = PickleValue | typeof mark;

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
  const reader = new PickleReader(file, bytes, start);
  const value = new Machine(reader, handler).run();
  return { value, end: reader.at };
}

class Machine {
  #reader: PickleReader;
  #handler: PickleHandler;
  #stack: Cell[] = [];
  #memo = new Map<number, PickleValue>();
  #steps = 0;
  #dicts = 0;

  constructor(reader: PickleReader, handler: PickleHandler) {
    this.#reader = reader;
    this.#handler = handler;
  }

  run(): PickleValue {
    for (;;) {
      this.#count(1);
      if (this.#stack.length > limits.stack)
        throw this.#reader.limit("values on the stack", limits.stack);
      const opcode = this.#reader.uint8();
      if (opcode === 0x2e) {
        const value = this.#pop();
        if (this.#stack.length > 0) throw this.#reader.corrupt("an empty stack at the end");
        return value;
      }
      const isKnown =
        this.#stepScalar(opcode) ||
        this.#stepContainer(opcode) ||
        this.#stepMemo(opcode) ||
        this.#stepName(opcode);
      if (!isKnown) throw this.#reader.unsafe(`opcode 0x${opcode.toString(16).padStart(2, "0")}`);
    }
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > limits.steps) throw this.#reader.limit("steps", limits.steps);
  }

  /** Pushes a value that the pickle spells out. @returns whether the opcode is one of these */
  #stepScalar(opcode: number): boolean {
    const reader = this.#reader;
    switch (opcode) {
      case 0x4e: // NONE
        this.#push(null);
        return true;
      case 0x88: // NEWTRUE
        this.#push(true);
        return true;
      case 0x89: // NEWFALSE
        this.#push(false);
        return true;
      case 0x4b: // BININT1
        this.#push(reader.uint8());
        return true;
      case 0x4d: // BININT2
        this.#push(reader.uint16());
        return true;
      case 0x4a: // BININT
        this.#push(reader.int32());
        return true;
      case 0x8a: // LONG1
        this.#push(reader.long(reader.uint8()));
        return true;
      case 0x47: // BINFLOAT
        this.#push(new Float(reader.float64()));
        return true;
      case 0x58: // BINUNICODE
        this.#push(reader.string(reader.uint32()));
        return true;
      case 0x8c: // SHORT_BINUNICODE
        this.#push(reader.string(reader.uint8()));
        return true;
      default:
        return false;
    }
  }

  /** Makes or fills a list, tuple or dictionary. @returns whether the opcode is one of these */
  #stepContainer(opcode: number): boolean {
    switch (opcode) {
      case 0x28: // MARK
        this.#stack.push(mark);
        return true;
      case 0x5d: // EMPTY_LIST
        this.#push([]);
        return true;
      case 0x7d: // EMPTY_DICT
        this.#pushDict(new Dict());
        return true;
      case 0x29: // EMPTY_TUPLE
        this.#push(new Tuple([]));
        return true;
      case 0x85: // TUPLE1
      case 0x86:
      case 0x87: {
        const items = Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse();
        this.#push(new Tuple(items));
        return true;
      }
      case 0x74: // TUPLE
        this.#push(new Tuple(this.#popMark()));
        return true;
      case 0x6c: // LIST
        this.#push(this.#popMark());
        return true;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        return true;
      case 0x65: // APPENDS
        this.#append(this.#popMark());
        return true;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        return true;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#popMark());
        return true;
      default:
        return false;
    }
  }

  /** Reads the header, drops a value, or writes or reads the memo. @returns whether the opcode is one of these */
  #stepMemo(opcode: number): boolean {
    const reader = this.#reader;
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = reader.uint8();
        if (protocol < 2 || protocol > 5) throw reader.corrupt(`protocol 2 to 5, not ${protocol},`);
        return true;
      }
      case 0x95: // FRAME is only a hint for buffering.
        reader.skip(8);
        return true;
      case 0x30: // POP
        if (this.#stack.pop() === undefined) throw reader.corrupt("a value to drop");
        return true;
      case 0x71: // BINPUT
        this.#put(reader.uint8());
        return true;
      case 0x72: // LONG_BINPUT
        this.#put(reader.uint32());
        return true;
      case 0x94: // MEMOIZE
        this.#put(this.#memo.size);
        return true;
      case 0x68: // BINGET
        this.#push(this.#get(reader.uint8()));
        return true;
      case 0x6a: // LONG_BINGET
        this.#push(this.#get(reader.uint32()));
        return true;
      default:
        return false;
    }
  }

  /** Names something outside the pickle, or applies a name. @returns whether the opcode is one of these */
  #stepName(opcode: number): boolean {
    const reader = this.#reader;
    switch (opcode) {
      case 0x63: {
        // GLOBAL
        const module = reader.line();
        this.#push(this.#name(module, reader.line()));
        return true;
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof module !== "string" || typeof name !== "string")
          throw reader.corrupt("two strings for a name");
        this.#push(this.#name(module, name));
        return true;
      }
      case 0x51: // BINPERSID
        this.#push(this.#handler.persistent(this.#pop()));
        return true;
      case 0x52: // REDUCE
        this.#reduce();
        return true;
      case 0x62: {
        // BUILD sets an OrderedDict's attributes (`_metadata`), which are not needed here.
        if (!(this.#pop() instanceof Dict)) throw reader.corrupt("a dictionary of attributes");
        const target = this.#top();
        if (!(target instanceof Dict && target.isOrdered))
          throw reader.unsafe("the state of an object other than an OrderedDict");
        return true;
      }
      default:
        return false;
    }
  }

  #reduce(): void {
    const args = this.#pop();
    const callee = this.#pop();
    if (!(args instanceof Tuple) || !(callee instanceof Name))
      throw this.#reader.corrupt("a name and a tuple to apply it to");
    // Count the items: a pickle may pass the same long list to many calls.
    if (Array.isArray(args.items[0])) this.#count(args.items[0].length);
    const value = this.#handler.reduce(callee.name, args.items);
    if (value === undefined) throw this.#reader.unsafe(`a call of ${callee.name}`);
    if (value instanceof Dict) this.#pushDict(value);
    else this.#push(value);
  }

  #name(module: string, name: string): Name {
    const full = `${module}.${name}`;
    if (!this.#handler.isAllowed(full))
      throw this.#reader.unsafe(`the name ${JSON.stringify(full.slice(0, 200))}`);
    return new Name(full);
  }

  #append(items: PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#reader.corrupt("a list to append to");
    for (const item of items) list.push(item);
  }

  #setItems(items: PickleValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof Dict) || items.length % 2 !== 0)
      throw this.#reader.corrupt("a dictionary and pairs to set in it");
    for (let i = 0; i < items.length; i += 2) {
      if (!isHashable(items[i]!))
        throw this.#reader.corrupt("a key that is neither a list nor a dictionary");
      dict.entries.set(items[i]!, items[i + 1]!);
    }
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pushDict(dict: Dict): void {
    if (++this.#dicts > limits.dicts) throw this.#reader.limit("dictionaries", limits.dicts);
    this.#push(dict);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) throw this.#reader.corrupt("a value on the stack");
    return value;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw this.#reader.corrupt("a value on the stack");
    return value;
  }

  #popMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw this.#reader.corrupt("a mark on the stack");
    const items = this.#stack.splice(at) as PickleValue[];
    items.shift();
    return items;
  }

  #put(index: number): void {
    if (this.#memo.size >= limits.memo) throw this.#reader.limit("memo entries", limits.memo);
    this.#memo.set(index, this.#top());
  }

  #get(index: number): PickleValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#reader.corrupt(`memo entry ${index}`);
    return value;
  }
}
