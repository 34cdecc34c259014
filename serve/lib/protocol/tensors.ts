// Tensors as bytes: datatypes, little-endian numbers, and BYTES elements behind their lengths.
import { ServeError } from "../errors.js";
import { invalid } from "./expected.js";
import type { Datatype, InputTensor, OutputTensor } from "./types.js";

/** The array of each datatype but BYTES. The package's platforms are little-endian, as the protocol is. */
export const arrays = Object.freeze({
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
}) satisfies Record<Exclude<Datatype, "BYTES">, unknown>;

/** The names of the datatypes. */
export const datatypes = Object.freeze([...Object.keys(arrays), "BYTES"]) as readonly Datatype[];

/** More dimensions than any input or output of a network has. */
const maxRank = 8;

/** @throws {ServeError} INVALID */
export function checkDatatype(value: unknown, name: string): Datatype {
  if (datatypes.includes(value as Datatype)) return value as Datatype;
  throw invalid(`one of ${datatypes.join(", ")}`, name, value);
}

/** Checks a list of dimensions, as it came as JSON or as integers of gRPC. @throws {ServeError} INVALID */
export function checkShape(value: unknown, name: string): number[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > maxRank)
    throw invalid(`a list of 1 to ${maxRank} dimensions`, name, value);
  for (const dimension of value) {
    if (!Number.isSafeInteger(dimension) || dimension < 0)
      throw invalid("dimensions that are integers of at least 0", name, dimension);
  }
  elementsOf(value, name);
  return value;
}

/** Returns the number of elements of a shape. @throws {ServeError} INVALID: more than a number can count */
export function elementsOf(shape: readonly number[], name: string): number {
  let elements = 1;
  for (const dimension of shape) elements *= dimension;
  if (Number.isSafeInteger(elements)) return elements;
  throw new ServeError("INVALID", `Expected fewer elements for ${name} than [${shape}] has`);
}

/**
 * Reads the elements of an input from their bytes. BYTES elements share the bytes' memory; so do numbers that are aligned.
 * @param name what an error calls the input
 * @throws {ServeError} INVALID: too few bytes, or some left over
 */
export function readElements(
  datatype: Datatype,
  shape: readonly number[],
  bytes: Uint8Array,
  name: string,
): InputTensor["data"] {
  const count = elementsOf(shape, name);
  if (datatype === "BYTES") return readBytesElements(bytes, count, name);
  const array = arrays[datatype];
  const size = count * array.BYTES_PER_ELEMENT;
  if (bytes.length !== size)
    throw wrongSize(`${size} bytes, as [${shape}] ${datatype} has,`, name, bytes);
  const isAligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset } = isAligned ? bytes : Uint8Array.from(bytes);
  return new array(buffer as ArrayBuffer, byteOffset, count);
}

/** Reads BYTES: each element is a uint32 length, then that number of bytes. */
function readBytesElements(bytes: Uint8Array, count: number, name: string): Uint8Array[] {
  if (count === 1 && isBareImage(bytes)) return [bytes];
  if (count * 4 > bytes.length)
    throw wrongSize(
      `at least ${count * 4} bytes, for the lengths of ${count} elements,`,
      name,
      bytes,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const elements: Uint8Array[] = [];
  let offset = 0;
  while (elements.length < count) {
    const start = offset + 4;
    const end = start <= bytes.length ? start + view.getUint32(offset, true) : start;
    if (end > bytes.length)
      throw wrongSize(
        `at least ${end} bytes, up to the end of element ${elements.length},`,
        name,
        bytes,
      );
    elements.push(bytes.subarray(start, end));
    offset = end;
  }
  if (offset < bytes.length)
    throw wrongSize(`${offset} bytes, as the lengths of ${count} elements say,`, name, bytes);
  return elements;
}

function wrongSize(expected: string, name: string, { length }: Uint8Array): ServeError {
  return new ServeError("INVALID", `Expected ${expected} for ${name} but received ${length}`);
}

/** How images begin, by format: the offset and the bytes, in latin1. */
const beginnings: readonly (readonly [number, string])[] = [
  [0, "\xff\xd8\xff"], // JPEG
  [0, "\x89PNG"],
  [0, "GIF8"],
  [8, "WEBP"],
  [0, "II*\0"], // TIFF
  [0, "MM\0*"],
  [4, "ftypavif"],
  [0, "BM"],
];

/** Whether these are an image's bytes without the length that BYTES asks for, as perf_analyzer sends them. */
function isBareImage(bytes: Uint8Array): boolean {
  if (bytes.length < 12) return false;
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, 12);
  if (head.readUInt32LE() === bytes.length - 4) return false;
  const text = head.toString("latin1");
  return beginnings.some(([offset, beginning]) => text.startsWith(beginning, offset));
}

/** Returns the bytes of one element. BYTES elements have no fixed size. */
export function elementSize(datatype: Exclude<Datatype, "BYTES">): number {
  return arrays[datatype].BYTES_PER_ELEMENT;
}

/** Returns the bytes of an output. Numbers share the memory of the output. */
export function bytesOfElements(data: OutputTensor["data"]): Uint8Array {
  if (data instanceof Float32Array)
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const lengths = data.map(({ length }) => {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(length);
    return prefix;
  });
  return Buffer.concat(data.flatMap((element, index) => [lengths[index]!, element]));
}
