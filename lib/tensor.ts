// Numbers and a shape in JavaScript's own memory.
import { types } from "node:util";
import {
  checkInteger,
  describe,
  formatShape,
  isInteger,
  isPlainObject,
  rangeError,
  typeError,
} from "./check.js";
import { arrayTypeOf, arrayTypes, type DType, dtypes, type TensorData } from "./dtype.js";
import { callNative } from "./errors.js";
import { native } from "./native/load.js";
import { markCopy } from "./realm.js";

/** What each kind of array holds when no dtype is named. */
const inferred = new Map<string | undefined, DType>(
  dtypes
    .filter((dtype) => !/^(b?float16|float8_.*|bool)$/.test(dtype))
    .map((dtype) => [arrayTypes[dtype].name, dtype]),
);

/** The kind of a typed array of each realm; undefined for a subclass too, such as Buffer, whose methods may differ. */
function arrayKind(data: unknown): string | undefined {
  if (!types.isTypedArray(data)) return undefined;
  const base = Object.getPrototypeOf(Object.getPrototypeOf(data));
  return Object.hasOwn(base, Symbol.toStringTag) ? data[Symbol.toStringTag] : undefined;
}

const maxDimension = 2 ** 31 - 1;

/** @throws {TypeError} not an array of numbers @throws {RangeError} a dimension that is no integer ≥ 0, or too many elements */
export function checkShape(shape: unknown, name: string): readonly number[] {
  if (!Array.isArray(shape)) throw typeError("an array of integers", name, shape);
  const checked: number[] = []; // each read once
  let count = 1;
  for (let axis = 0; axis < shape.length; axis++) {
    const dimension = shape[axis];
    if (!isInteger(dimension, 0, maxDimension))
      checkInteger(dimension, `${name}[${axis}]`, 0, maxDimension);
    count *= dimension;
    checked.push(dimension);
  }
  if (!Number.isSafeInteger(count)) throw rangeError("fewer than 2^53 elements", name, shape);
  return Object.freeze(checked);
}

export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (let axis = 0; axis < shape.length; axis++) count *= shape[axis]!;
  return count;
}

/** Of a tensor of this shape. */
export function byteCount(shape: readonly number[], dtype: DType): number {
  return elementCount(shape) * arrayTypeOf(dtype).BYTES_PER_ELEMENT;
}

/** Numbers in row-major order and their shape. The data are not copied: a view of the caller's array. */
export class Tensor {
  static {
    markCopy(Tensor);
  }

  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: TensorData;

  /**
   * @param dtype the array's own unless named; Uint16Array may hold "float16" or "bfloat16"
   * @throws {TypeError} data is no typed array, or not one of dtype
   * @throws {RangeError} the shape is invalid, or its product is not the length of data
   */
  constructor(shape: readonly number[], data: TensorData, dtype?: DType) {
    this.shape = checkShape(shape, "shape");
    const kind = arrayKind(data);
    const own = inferred.get(kind);
    if (own === undefined) {
      throw typeError(
        `one of ${[...new Set(Object.values(arrayTypes))].map((type) => type.name).join(", ")}`,
        "data",
        data,
      );
    }
    if (dtype !== undefined && !dtypes.includes(dtype))
      throw rangeError(`one of ${dtypes.join(", ")}`, "dtype", dtype);
    this.dtype = dtype ?? own;
    if (kind !== arrayTypes[this.dtype].name) {
      throw typeError(`${arrayTypes[this.dtype].name} (dtype ${this.dtype})`, "data", data);
    }
    this.data = data;
    checkLength(this.shape, data, "data");
    // Its parts agree, and stay so.
    if (new.target === Tensor) Object.freeze(this);
  }

  /** All zeros. @throws {RangeError} the shape is invalid or too large for one array */
  static zeros(shape: readonly number[], dtype: DType = "float32"): Tensor {
    if (!dtypes.includes(dtype)) throw rangeError(`one of ${dtypes.join(", ")}`, "dtype", dtype);
    const count = elementCount(checkShape(shape, "shape"));
    try {
      return new Tensor(shape, new arrayTypes[dtype](count), dtype);
    } catch (cause) {
      throw new RangeError(
        `Expected a shape that one array can hold for shape but received ${formatShape(shape)}`,
        { cause },
      );
    }
  }

  /** Normally distributed float32 numbers (mean 0, deviation 1), the same on every machine for the same seed. */
  static randn(shape: readonly number[], seed = 0): Tensor {
    const count = elementCount(checkShape(shape, "shape"));
    checkInteger(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    return new Tensor(
      shape,
      new Float32Array(callNative(() => native().randomNormal(count, seed))),
    );
  }

  /** How many elements. */
  get size(): number {
    return elementCount(this.shape);
  }

  toString(): string {
    return `Tensor ${formatShape(this.shape)} ${this.dtype}`;
  }
}

/** @throws {RangeError} when the array no longer holds the shape's elements: it was transferred or resized */
export function checkLength(shape: readonly number[], data: TensorData, name: string): void {
  const count = elementCount(shape);
  if (data.length !== count) {
    const hint =
      data.buffer.byteLength === 0 && count > 0 ? " (was its ArrayBuffer transferred?)" : "";
    throw new RangeError(
      `Expected ${count} elements, as shape ${formatShape(shape)} has, for ${name} but received ${data.length}${hint}`,
    );
  }
}

/** The data of a tensor as the addon may read them: not shared with another thread, and still of the tensor's length. */
export function nativeData(tensor: Tensor, name: string): TensorData {
  const { shape, data } = tensor;
  if (data.length !== elementCount(shape)) checkLength(shape, data, `${name}.data`);
  return types.isSharedArrayBuffer(data.buffer) ? data.slice() : data;
}

/** @throws {TypeError} not a Tensor, or of another dtype */
export function checkTensor(value: unknown, name: string, dtype?: DType): Tensor {
  if (!(value instanceof Tensor)) throw typeError("a Tensor", name, value);
  if (dtype !== undefined && value.dtype !== dtype) {
    throw new TypeError(
      `Expected dtype ${dtype} for ${name} but received ${describe(value.dtype)}`,
    );
  }
  return value;
}

/** The dtypes that a parameter may be given in. */
export const parameterDtypes: readonly DType[] = ["float32", "float64", "float16", "bfloat16"];

/** @throws {TypeError} not a Tensor of floating-point numbers that the device converts */
export function checkFloatTensor(value: unknown, name: string): Tensor {
  const tensor = checkTensor(value, name);
  if (!parameterDtypes.includes(tensor.dtype)) {
    const expected = parameterDtypes.join(", ");
    throw new TypeError(`Expected dtype ${expected} for ${name} but received ${tensor.dtype}`);
  }
  return tensor;
}

/**
 * The named tensors of a Map or a plain object, each with data of its shape's length.
 * @throws {TypeError} neither of them, or an entry that is no Tensor @throws {RangeError} data that were transferred or resized
 */
export function tensorEntries(tensors: unknown, name: string): Map<string, Tensor> {
  const isPlain = types.isMap(tensors) || isPlainObject(tensors);
  if (!isPlain) throw typeError("a Map or an object of Tensors", name, tensors);
  const entries = new Map<string, Tensor>(
    (types.isMap(tensors) ? tensors : Object.entries(tensors)) as Iterable<[string, Tensor]>,
  );
  for (const [key, tensor] of entries) {
    if (typeof key !== "string") throw typeError("a tensor's name", name, key);
    checkLength(checkTensor(tensor, key).shape, tensor.data, `${key}.data`);
  }
  return entries;
}
