// The first bytes of a file, and what can be told from them beyond a prefix.

/** Bytes that are looked at. A tar file's magic stands at byte 257, and its whole header has this length. */
export const headBytes = 512;

export class Head {
  readonly bytes: Uint8Array;
  /** The bytes as characters, one each. */
  readonly latin1: string;
  /** The bytes as text without white space before it; undefined if they are no text. */
  readonly text: string | undefined;

  constructor(file: Uint8Array) {
    this.bytes = file.subarray(0, headBytes);
    this.latin1 = Buffer.from(this.bytes).toString("latin1");
    this.text = textOf(this.bytes)?.trimStart();
  }

  begins(...prefixes: readonly string[]): boolean {
    return prefixes.some((prefix) => this.latin1.startsWith(prefix));
  }

  has(latin1: string, at: number): boolean {
    return this.latin1.startsWith(latin1, at);
  }
}

const isControl = (byte: number) => byte < 32 && ![9, 10, 12, 13].includes(byte);

function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.byteLength === 0 || bytes.some(isControl)) return undefined;
  try {
    // The last character may be cut off.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
  } catch {
    return undefined;
  }
}

export const isPrintable = (latin1: string) =>
  latin1.length > 0 && [...latin1].every((letter) => letter >= " " && letter <= "~");

/** Whether this is a tar header, also one without the POSIX magic: its checksum stands in octal at byte 148. */
export function isTar({ bytes, latin1 }: Head): boolean {
  if (latin1.startsWith("ustar", 257)) return true;
  if (bytes.byteLength < headBytes) return false;
  const sum = bytes.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  const stored = latin1.slice(148, 156);
  return /^ *[0-7]+/.test(stored) && Number.parseInt(stored.trim(), 8) === sum;
}

/** Whether this is zlib's header: deflate with a window of 32 KiB, and a checksum of its two bytes. */
export function isZlib({ bytes: [first = 0, second = 0] }: Head): boolean {
  return first === 0x78 && ((first << 8) | second) % 31 === 0;
}

/** Whether this is a map in MessagePack whose first key is a name, as Flax writes it. */
export function isNamedMap({ bytes, latin1 }: Head): boolean {
  const [map = 0, key = 0] = bytes;
  if (map < 0x81 || map > 0x8f || key < 0xa1 || key > 0xbf) return false;
  const name = latin1.slice(2, 2 + (key & 31));
  return name.length === (key & 31) && /^[\w.]+$/.test(name);
}

/** The name of a zip file's first record. */
export function firstRecord({ bytes, latin1 }: Head): string {
  return latin1.slice(30, 30 + (bytes[26] ?? 0) + 256 * (bytes[27] ?? 0));
}

/** A field of a message in the format of Protocol Buffers: a number, or the place of the bytes in it. */
interface Field {
  readonly id: number;
  readonly number: number | undefined;
  readonly start: number;
  readonly end: number;
}

function varint(bytes: Uint8Array, at: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return { value, next: at + i + 1 };
  }
  return undefined;
}

/** Reads one field, of a number or of bytes; the kinds of messages that are told apart here begin with these. */
function fieldAt(bytes: Uint8Array, at: number): Field | undefined {
  const key = varint(bytes, at);
  const value = key === undefined ? undefined : varint(bytes, key.next);
  if (key === undefined || value === undefined) return undefined;
  const id = Math.floor(key.value / 8);
  if (key.value % 8 === 0) return { id, number: value.value, start: value.next, end: value.next };
  if (key.value % 8 !== 2) return undefined;
  return { id, number: undefined, start: value.next, end: value.next + value.value };
}

/** Returns the kind of a model in the format of Protocol Buffers, by its first two fields. */
export function protobufModel(
  head: Head,
): "ONNX" | "Core ML" | "SavedModel" | "GraphDef" | "Caffe" | undefined {
  const { bytes, latin1 } = head;
  const first = fieldAt(bytes, 0);
  if (first?.id !== 1) return undefined;
  const second = fieldAt(bytes, first.end);
  /** Whether the field is a text, as far as the head shows it. */
  const isText = (field: Field | undefined) =>
    field !== undefined &&
    field.number === undefined &&
    isPrintable(latin1.slice(field.start, field.end));
  if (first.number !== undefined) {
    if (second === undefined || second.number !== undefined || first.number > 32) return undefined;
    // ONNX: ir_version, then producer_name (2), graph (7) or opset_import (8).
    if (first.number >= 3 && ((second.id === 2 && isText(second)) || [7, 8].includes(second.id)))
      return "ONNX";
    if (second.id !== 2) return undefined;
    const inner = fieldAt(bytes, second.start);
    if (inner?.id !== 1 || inner.number !== undefined) return undefined;
    // Core ML's description begins with an input, which begins with its name. A SavedModel's begins with its operations.
    const name = fieldAt(bytes, inner.start);
    if (name?.id === 1 && isText(name)) return "Core ML";
    return first.number === 1 ? "SavedModel" : undefined;
  }
  // Caffe: the network's name, then its layers: 2 in the old form, 100 in the new one; or its inputs, 3.
  if (isText(first)) return [2, 3, 100].includes(second?.id ?? 0) ? "Caffe" : undefined;
  // A TensorFlow graph begins with a node: its name, then its operation.
  const name = fieldAt(bytes, first.start);
  const operation = name === undefined ? undefined : fieldAt(bytes, name.end);
  const isNode = name?.id === 1 && isText(name) && operation?.id === 2 && isText(operation);
  return isNode ? "GraphDef" : undefined;
}
