// Reads the numbers, strings and lines of a pickle's bytes, and makes the errors that name the byte reached.
import { type CheckpointFile, checkpointError } from "../file.js";

export const maxStringBytes = 2 ** 20;
const maxIntegerBytes = 9;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class PickleReader {
  /** The next byte's position. */
  at: number;
  #file: CheckpointFile;
  #bytes: Uint8Array;
  #view: DataView;

  constructor(file: CheckpointFile, bytes: Uint8Array, start: number) {
    this.#file = file;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
  }

  uint8(): number {
    return this.#bytes[this.skip(1)]!;
  }

  uint16(): number {
    return this.#view.getUint16(this.skip(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.skip(4), true);
  }

  /** Reads a float64, which pickles store big-endian. */
  float64(): number {
    return this.#view.getFloat64(this.skip(8), false);
  }

  /** Reads an integer in two's complement, little-endian. */
  long(length: number): number | bigint {
    if (length > maxIntegerBytes) throw this.limit("bytes in an integer", maxIntegerBytes);
    const at = this.skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]!);
    value = length === 0 ? 0n : BigInt.asIntN(length * 8, value);
    const narrow = Number(value);
    return Number.isSafeInteger(narrow) ? narrow : value;
  }

  string(length: number): string {
    if (length > maxStringBytes) throw this.limit("bytes in a string", maxStringBytes);
    const at = this.skip(length);
    try {
      return utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw this.corrupt("a string in UTF-8");
    }
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0 || end - this.at > 1000) throw this.corrupt("a name's end");
    const text = this.string(end - this.at);
    this.at = end + 1;
    return text;
  }

  /** Moves past the next `length` bytes and returns where they begin. */
  skip(length: number): number {
    const at = this.at;
    if (at + length > this.#bytes.byteLength) throw this.corrupt(`${length} bytes more`);
    this.at += length;
    return at;
  }

  corrupt(expected: string) {
    return this.#file.corrupt(`Expected ${expected} in the pickle before its byte ${this.at}`);
  }

  unsafe(what: string) {
    return checkpointError(
      this.#file,
      "CHECKPOINT_UNSAFE",
      `Expected only tensors and plain data but the pickle has ${what} at its byte ${this.at}; ` +
        "save the state dict alone: torch.save(model.state_dict(), path)",
    );
  }

  limit(what: string, limit: number) {
    return checkpointError(
      this.#file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${limit} ${what} in the pickle`,
    );
  }
}
