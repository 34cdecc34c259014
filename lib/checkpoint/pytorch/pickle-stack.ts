// The stack and the memo of a pickle machine, within limits.
import type { PickleReader } from "./pickle-reader.js";
import type { PickleValue } from "./pickle-values.js";

const limits = { stack: 100_000, memo: 1_000_000 };

const mark = Symbol("mark");
type Cell = PickleValue | typeof mark;

export class PickleStack {
  #reader: PickleReader;
  #cells: Cell[] = [];
  #memo = new Map<number, PickleValue>();

  constructor(reader: PickleReader) {
    this.#reader = reader;
  }

  get isEmpty(): boolean {
    return this.#cells.length === 0;
  }

  checkSize(): void {
    if (this.#cells.length > limits.stack)
      throw this.#reader.limit("values on the stack", limits.stack);
  }

  push(value: PickleValue): void {
    this.#cells.push(value);
  }

  pushMark(): void {
    this.#cells.push(mark);
  }

  pop(): PickleValue {
    const value = this.#cells.pop();
    if (value === undefined || value === mark) throw this.#reader.corrupt("a value on the stack");
    return value;
  }

  /** Drops a value or a mark. */
  drop(): void {
    if (this.#cells.pop() === undefined) throw this.#reader.corrupt("a value to drop");
  }

  top(): PickleValue {
    const value = this.#cells.at(-1);
    if (value === undefined || value === mark) throw this.#reader.corrupt("a value on the stack");
    return value;
  }

  popMark(): PickleValue[] {
    const at = this.#cells.lastIndexOf(mark);
    if (at < 0) throw this.#reader.corrupt("a mark on the stack");
    const items = this.#cells.splice(at) as PickleValue[];
    items.shift();
    return items;
  }

  /** Stores the top of the stack in the memo. @param index default: the next one */
  put(index = this.#memo.size): void {
    if (this.#memo.size >= limits.memo) throw this.#reader.limit("memo entries", limits.memo);
    this.#memo.set(index, this.top());
  }

  get(index: number): PickleValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#reader.corrupt(`memo entry ${index}`);
    return value;
  }
}
