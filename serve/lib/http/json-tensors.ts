// Tensors as JSON: a flat list of numbers or texts, or lists nested as the shape is.
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import { arrays, elementsOf } from "../protocol/tensors.js";
import type { Datatype, InputTensor, NumericArray, OutputTensor } from "../protocol/types.js";

/**
 * Reads the elements of an input from JSON: a flat list, or lists nested as the shape is.
 * @param name what an error calls the input
 * @throws {ServeError} INVALID: not as many elements as the shape has, or one that its datatype cannot hold
 */
export function elementsOfJson(
  datatype: Datatype,
  shape: readonly number[],
  data: unknown,
  name: string,
): InputTensor["data"] {
  if (datatype === "FP16" || datatype === "BF16")
    throw new ServeError("INVALID", `Expected ${name} as binary data: JSON has no ${datatype}`);
  const count = elementsOf(shape, name);
  if (!Array.isArray(data)) throw invalid("a list", `the data of ${name}`, data);
  const isFlat = !Array.isArray(data[0]);
  const levels = isFlat ? [count] : shape;
  checkNesting(data, levels, 0, name);
  const leaves = data.flat(levels.length - 1) as unknown[];
  if (datatype === "BYTES") return leaves.map((leaf) => bytesOfText(leaf, name));
  const check = checks[datatype];
  const wrong = leaves.find((leaf) => !check(leaf));
  if (wrong !== undefined)
    throw invalid(`elements of type ${datatype}`, `the data of ${name}`, wrong);
  const array = arrays[datatype];
  if (array === BigInt64Array || array === BigUint64Array)
    return array.from((leaves as number[]).map(BigInt));
  return (array as typeof Float32Array).from(leaves as number[]) as NumericArray;
}

/** Checks that lists are nested as the levels say. Nothing is allocated for elements that are not there. */
function checkNesting(data: unknown, levels: readonly number[], level: number, name: string): void {
  const length = levels[level]!;
  if (!Array.isArray(data))
    throw invalid(`lists nested ${levels.length} deep`, `the data of ${name}`, data);
  if (data.length !== length)
    throw invalid(`${length} items at level ${level + 1}`, `the data of ${name}`, data);
  const isLast = level === levels.length - 1;
  for (const item of data) {
    if (!isLast) checkNesting(item, levels, level + 1, name);
    else if (Array.isArray(item))
      throw invalid(`lists nested ${levels.length} deep`, `the data of ${name}`, item);
  }
}

function isIntegerWithin(min: number, max: number): (value: unknown) => boolean {
  return (value) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
}
const isNumber = (value: unknown): boolean => typeof value === "number";

/** Whether a value of JSON fits a datatype. Integers of 64 bits are those that JSON keeps exactly. */
const checks: Readonly<
  Record<Exclude<Datatype, "BYTES" | "FP16" | "BF16">, (value: unknown) => boolean>
> = {
  BOOL: (value) => typeof value === "boolean" || value === 0 || value === 1,
  UINT8: isIntegerWithin(0, 2 ** 8 - 1),
  UINT16: isIntegerWithin(0, 2 ** 16 - 1),
  UINT32: isIntegerWithin(0, 2 ** 32 - 1),
  UINT64: isIntegerWithin(0, Number.MAX_SAFE_INTEGER),
  INT8: isIntegerWithin(-(2 ** 7), 2 ** 7 - 1),
  INT16: isIntegerWithin(-(2 ** 15), 2 ** 15 - 1),
  INT32: isIntegerWithin(-(2 ** 31), 2 ** 31 - 1),
  INT64: isIntegerWithin(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  FP32: isNumber,
  FP64: isNumber,
};

/** A text stands for its UTF-8. The engine decodes those that are base64. */
function bytesOfText(text: unknown, name: string): Uint8Array {
  if (typeof text === "string") return Buffer.from(text, "utf8");
  throw invalid("strings", `the data of ${name}`, text);
}

/** Returns the elements of an output for JSON. NaN and infinity, which JSON lacks, are written as null. */
export function jsonOfElements(data: OutputTensor["data"]): (number | string)[] {
  if (data instanceof Float32Array) return Array.from(data);
  return data.map((element) =>
    Buffer.from(element.buffer, element.byteOffset, element.byteLength).toString("utf8"),
  );
}
