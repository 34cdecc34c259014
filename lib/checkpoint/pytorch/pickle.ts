// A pickle machine that builds data and calls no code. What its handler does not know becomes an inert value.
// Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
import type { CheckpointFile } from "../file.js";
import { PickleReader } from "./pickle-reader.js";
import { readScalar } from "./pickle-scalars.js";
import { PickleStack } from "./pickle-stack.js";
import { Dict, Inert, isHashable, Name, type PickleValue, Tuple } from "./pickle-values.js";

/** Knows the names that state dicts need, and makes their values. */
export interface PickleHandler {
  /** Whether `reduce` knows the name, or a value of the handler's own may have it as data. */
  isKnown(name: string): boolean;
  /** Returns what a call of a known name gives, or undefined if that is inert. */
  reduce(name: string, args: readonly PickleValue[]): PickleValue | undefined;
  /** Returns the value of a persistent id. */
  persistent(id: PickleValue): PickleValue;
  /** Whether the state for a value of the handler's own says nothing about its numbers. */
  isNeedless(target: PickleValue, state: PickleValue): boolean;
}

export const maxPickleBytes = 64 * 2 ** 20;

const limits = {
  // Counts opcodes, the items of list and dictionary arguments, and the characters of names.
  steps: 5_000_000,
  // A dictionary takes one byte of the pickle and about 250 bytes of memory.
  dicts: 100_000,
};

/** A name of this many characters counts as one more step. */
const charactersPerStep = 16;

/**
 * Reads the pickle that begins at `start`. Returns its value and its end.
 * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_LIMIT, CHECKPOINT_UNSAFE (the state of a plain value)
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
  #stack: PickleStack;
  #steps = 0;
  #dicts = 0;

  constructor(reader: PickleReader, handler: PickleHandler) {
    this.#reader = reader;
    this.#handler = handler;
    this.#stack = new PickleStack(reader);
  }

  run(): PickleValue {
    for (;;) {
      this.#count(1);
      this.#stack.checkSize();
      const opcode = this.#reader.uint8();
      if (opcode === 0x2e) {
        const value = this.#stack.pop();
        if (!this.#stack.isEmpty) throw this.#reader.corrupt("an empty stack at the end");
        return value;
      }
      const scalar = readScalar(this.#reader, opcode);
      if (scalar !== undefined) this.#stack.push(scalar);
      else if (!this.#stepContainer(opcode) && !this.#stepMemo(opcode) && !this.#stepName(opcode))
        throw this.#reader.corrupt(`an opcode, not 0x${opcode.toString(16).padStart(2, "0")},`);
    }
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > limits.steps) throw this.#reader.limit("steps", limits.steps);
  }

  /** Makes or fills a list, tuple, set or dictionary. A set is a list here. @returns whether the opcode is one of these */
  #stepContainer(opcode: number): boolean {
    switch (opcode) {
      case 0x28: // MARK
        this.#stack.pushMark();
        return true;
      case 0x5d: // EMPTY_LIST
      case 0x8f: // EMPTY_SET
        this.#stack.push([]);
        return true;
      case 0x7d: // EMPTY_DICT
        this.#pushDict(new Dict());
        return true;
      case 0x29: // EMPTY_TUPLE
        this.#stack.push(new Tuple([]));
        return true;
      case 0x85: // TUPLE1
      case 0x86:
      case 0x87: {
        const items = Array.from({ length: opcode - 0x84 }, () => this.#stack.pop()).reverse();
        this.#stack.push(new Tuple(items));
        return true;
      }
      case 0x74: // TUPLE
        this.#stack.push(new Tuple(this.#stack.popMark()));
        return true;
      case 0x91: // FROZENSET
        this.#stack.push(new Tuple(this.#checkKeys(this.#stack.popMark())));
        return true;
      case 0x64: {
        // DICT
        const items = this.#stack.popMark();
        this.#pushDict(new Dict());
        this.#setItems(items);
        return true;
      }
      case 0x6c: // LIST
        this.#stack.push(this.#stack.popMark());
        return true;
      case 0x61: // APPEND
        this.#append([this.#stack.pop()]);
        return true;
      case 0x65: // APPENDS
        this.#append(this.#stack.popMark());
        return true;
      case 0x90: // ADDITEMS
        this.#append(this.#checkKeys(this.#stack.popMark()));
        return true;
      case 0x73: {
        // SETITEM
        const value = this.#stack.pop();
        this.#setItems([this.#stack.pop(), value]);
        return true;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#stack.popMark());
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
        this.#stack.drop();
        return true;
      case 0x31: // POP_MARK
        this.#stack.popMark();
        return true;
      case 0x32: // DUP
        this.#stack.push(this.#stack.top());
        return true;
      case 0x98: // READONLY_BUFFER
        this.#stack.top();
        return true;
      case 0x70: // PUT
        this.#stack.put(Number(reader.line()));
        return true;
      case 0x67: // GET
        this.#stack.push(this.#stack.get(Number(reader.line())));
        return true;
      case 0x71: // BINPUT
        this.#stack.put(reader.uint8());
        return true;
      case 0x72: // LONG_BINPUT
        this.#stack.put(reader.uint32());
        return true;
      case 0x94: // MEMOIZE
        this.#stack.put();
        return true;
      case 0x68: // BINGET
        this.#stack.push(this.#stack.get(reader.uint8()));
        return true;
      case 0x6a: // LONG_BINGET
        this.#stack.push(this.#stack.get(reader.uint32()));
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
        this.#stack.push(this.#name(module, reader.line()));
        return true;
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#stack.pop();
        const module = this.#stack.pop();
        if (typeof module !== "string" || typeof name !== "string")
          throw reader.corrupt("two strings for a name");
        this.#stack.push(this.#name(module, name));
        return true;
      }
      case 0x50: // PERSID
        this.#stack.push(this.#handler.persistent(reader.line()));
        return true;
      case 0x51: // BINPERSID
        this.#stack.push(this.#handler.persistent(this.#stack.pop()));
        return true;
      case 0x82: // EXT1, EXT2 and EXT4 refer to a table of the program that wrote the pickle.
      case 0x83:
      case 0x84:
        reader.skip(2 ** (opcode - 0x82));
        this.#stack.push(new Inert("an extension"));
        return true;
      default:
        return this.#stepCall(opcode);
    }
  }

  /** Applies a name, or sets a value's state. @returns whether the opcode is one of these */
  #stepCall(opcode: number): boolean {
    const reader = this.#reader;
    switch (opcode) {
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = this.#stack.pop();
        this.#apply(this.#stack.pop(), args);
        return true;
      }
      case 0x92: {
        // NEWOBJ_EX
        this.#stack.pop();
        const args = this.#stack.pop();
        this.#apply(this.#stack.pop(), args);
        return true;
      }
      case 0x69: {
        // INST
        const module = reader.line();
        const callee = this.#name(module, reader.line());
        this.#apply(callee, new Tuple(this.#stack.popMark()));
        return true;
      }
      case 0x6f: {
        // OBJ
        const [callee = null, ...args] = this.#stack.popMark();
        this.#apply(callee, new Tuple(args));
        return true;
      }
      case 0x62: // BUILD
        this.#build(this.#stack.pop());
        return true;
      default:
        return false;
    }
  }

  /** Pushes what a call gives. Only the handler's own functions are applied; all else stays inert. */
  #apply(callee: PickleValue, args: PickleValue): void {
    if (!(args instanceof Tuple) || !(callee instanceof Name || callee instanceof Inert))
      throw this.#reader.corrupt("a name and a tuple to apply it to");
    const [first] = args.items;
    if (callee instanceof Inert) {
      // These make an instance of the class that they are given, or take an attribute of it.
      const isIndirect =
        /^(copy_?reg|builtins|__builtin__)\./.test(callee.name) ||
        callee.name.endsWith("._reconstruct");
      const owner = first instanceof Inert || first instanceof Name ? first : undefined;
      this.#stack.push(new Inert(isIndirect && owner !== undefined ? owner.name : callee.name));
      return;
    }
    // Count the items: a pickle may pass the same long list to many calls. A defaultdict copies its second argument.
    for (const item of args.items.slice(0, 2)) {
      if (Array.isArray(item)) this.#count(item.length);
      if (item instanceof Dict) this.#count(item.entries.size);
    }
    const value = this.#handler.reduce(callee.name, args.items) ?? new Inert(callee.name);
    if (value instanceof Dict) this.#pushDict(value);
    else this.#stack.push(value);
  }

  #build(state: PickleValue): void {
    const target = this.#stack.top();
    if (target instanceof Inert) {
      // An object with slots has a pair of dictionaries.
      const states = state instanceof Tuple ? state.items.slice(0, 2) : [state];
      target.attributes = states.find((item) => item instanceof Dict) ?? target.attributes;
      return;
    }
    if (this.#handler.isNeedless(target, state)) return;
    // An OrderedDict's attributes (`_metadata`) are not needed here.
    if (!(target instanceof Dict && target.isOrdered))
      throw this.#reader.unsafe("the state of an object other than an OrderedDict");
    if (!(state instanceof Dict)) throw this.#reader.corrupt("a dictionary of attributes");
  }

  #name(module: string, name: string): Name | Inert {
    // Count the characters: a pickle may join the same long texts to names again and again.
    this.#count(Math.floor((module.length + name.length) / charactersPerStep));
    const full = `${module}.${name}`;
    return this.#handler.isKnown(full) ? new Name(full) : new Inert(full);
  }

  #append(items: PickleValue[]): void {
    const list = this.#stack.top();
    if (list instanceof Inert) return;
    if (!Array.isArray(list)) throw this.#reader.corrupt("a list to append to");
    for (const item of items) list.push(item);
  }

  #setItems(items: PickleValue[]): void {
    const target = this.#stack.top();
    if (target instanceof Inert) target.items ??= this.#counted(new Dict());
    const dict = target instanceof Inert ? target.items : target;
    if (!(dict instanceof Dict) || items.length % 2 !== 0)
      throw this.#reader.corrupt("a dictionary and pairs to set in it");
    this.#checkKeys(items.filter((_, i) => i % 2 === 0));
    for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i]!, items[i + 1]!);
  }

  #checkKeys(keys: PickleValue[]): PickleValue[] {
    if (!keys.every(isHashable))
      throw this.#reader.corrupt("a key that is neither a list nor a dictionary");
    return keys;
  }

  #pushDict(dict: Dict): void {
    this.#stack.push(this.#counted(dict));
  }

  #counted(dict: Dict): Dict {
    if (++this.#dicts > limits.dicts) throw this.#reader.limit("dictionaries", limits.dicts);
    return dict;
  }
}
