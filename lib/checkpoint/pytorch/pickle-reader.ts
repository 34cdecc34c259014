// Reads the numbers, strings and lines of a pickle's bytes, and makes the errors that name the byte reached.
import { type CheckpointFile, checkpointError } from "../file.js";
import { InertData } from "./pickle-values.js";

/** Longer texts and integers are skipped: no tensor's description needs them. */
export const maxStringBytes = 2 ** 20;
const maxIntegerBytes = 9;

/** What to do about a file with more than tensors and plain data. */
export const stateDictAdvice = "save the state dict alone: torch.save(model.state_dict(), path)";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes a text of a pickle. Half a surrogate pair, as in Python's path of bytes that are not UTF-8, becomes the same
 * half. Python 2's strings are bytes. They are read as UTF-8, as torch.load does by default, and if they are not UTF-8,
 * as latin1, which torch.load is told to use for such files (`encoding="latin1"`). So names are PyTorch's
 * names, and every string can be read.
 * @returns undefined if the bytes are no text
 */
export function textOf(bytes: Uint8Array, isPython2: true): string;
export function textOf(bytes: Uint8Array, isPython2: boolean): string | undefined;
export function textOf(bytes: Uint8Array, isPython2: boolean): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    const latin1 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    return isPython2 ? latin1 : withHalves(latin1);
  }
}

/** Decodes UTF-8 in which half a surrogate pair is written as three bytes. The bytes are given as latin1. */
function withHalves(latin1: string): string | undefined {
  try {
    const parts = latin1.split(/(\xed[\xa0-\xbf][\x80-\xbf])/);
    return parts
      .map((part, i) => {
        if (i % 2 === 0) return utf8.decode(Buffer.from(part, "latin1"));
        return String.fromCharCode(
          0xd000 | ((part.charCodeAt(1) & 0x3f) << 6) | (part.charCodeAt(2) & 0x3f),
        );
      })
      .join("");
  } catch {
    return undefined;
  }
}

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

  /** Reads a length of 4 bytes that must not be negative. */
  size32(): number {
    const size = this.int32();
    if (size < 0) throw this.corrupt("a length ≥ 0");
    return size;
  }

  /** Reads a length of 8 bytes. */
  size64(): number {
    return Number(this.#view.getBigUint64(this.skip(8), true));
  }

  /** Reads a float64, which pickles store big-endian. */
  float64(): number {
    return this.#view.getFloat64(this.skip(8), false);
  }

  /** Reads an integer in two's complement, little-endian. */
  long(length: number): number | bigint | InertData {
    const at = this.skip(length);
    if (length > maxIntegerBytes) return new InertData(`an integer of ${length} bytes`);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]!);
    value = length === 0 ? 0n : BigInt.asIntN(length * 8, value);
    const narrow = Number(value);
    return Number.isSafeInteger(narrow) ? narrow : value;
  }

  /** Reads a text in UTF-8. Python 2's string may be in another encoding. */
  text(length: number, isPython2 = false): string | InertData {
    const at = this.skip(length);
    if (length > maxStringBytes) return new InertData(`a text of ${length} bytes`);
    const text = textOf(this.#bytes.subarray(at, at + length), isPython2);
    if (text === undefined) throw this.corrupt("a string in UTF-8");
    return text;
  }

  /** Reads a line of at most `max` bytes, with each byte as one character. */
  latin1Line(max: number): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0 || end - this.at > max) throw this.corrupt(`a line's end within ${max} bytes`);
    const line = Buffer.from(this.#bytes.subarray(this.at, end)).toString("latin1");
    this.at = end + 1;
    return line;
  }

  line(): string {
    return textOf(Buffer.from(this.latin1Line(1000), "latin1"), true);
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
      `Expected only tensors and plain data but the pickle has ${what} at its byte ${this.at}; ${stateDictAdvice}`,
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
