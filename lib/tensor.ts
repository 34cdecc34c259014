// Tensors in JavaScript's memory, and the checks of shapes and data.
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
import {
  arrayTypeOf,
  arrayTypes,
  type DType,
  type DTypeOf,
  dtypes,
  type TensorData,
  type UsualDType,
} from "./dtype.js";
import { callNative } from "./errors.js";
import { inspectKey, inspectTensor, jsonElements } from "./inspect.js";
import { native } from "./native/load.js";
import { markCopy } from "./realm.js";

/** The default dtype of each array type. */
const inferred = new Map<string | undefined, DType>(
  dtypes
    .filter((dtype) => !/^(b?float16|float8_.*|bool)$/.test(dtype))
    .map((dtype) => [arrayTypes[dtype].name, dtype]),
);

/**
 * The name of a typed array's type, such as "Float32Array", in any realm. Undefined for other values, and for a
 * subclass such as Buffer, whose methods may differ.
 */
function arrayKind(data: unknown): string | undefined {
  if (!types.isTypedArray(data)) return undefined;
  const base = Object.getPrototypeOf(Object.getPrototypeOf(data));
  return Object.hasOwn(base, Symbol.toStringTag) ? data[Symbol.toStringTag] : undefined;
}

const maxDimension = 2 ** 31 - 1;
/** With more elements the text of a JSON document is longer than a string can be. */
const maxJsonElements = 2 ** 24;

/** @throws {TypeError} not an array of numbers @throws {RangeError} a dimension is not an integer ≥ 0, or too many elements */
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

/** Bytes of a tensor's data. */
export function byteCount(shape: readonly number[], dtype: DType): number {
  return elementCount(shape) * arrayTypeOf(dtype).BYTES_PER_ELEMENT;
}

/**
 * Numbers in row-major order and their shape. `Tensor` alone is a float32 one; `Tensor<DType>` may have any dtype.
 * @example
 * const image: Tensor = new Tensor([1, 3, 224, 224], new Float32Array(3 * 224 * 224));
 */
export interface Tensor<D extends DType = "float32"> {
  /** Dimensions, the outermost first. */
  readonly shape: readonly number[];
  /** The type of the elements. */
  readonly dtype: D;
  /** The elements in row-major order. */
  readonly data: TensorData<D>;
  /** The number of elements. */
  readonly size: number;
  toString(): string;
  /**
   * Returns what `JSON.stringify` writes. `data` has each element of the array: a number, or a string for 64-bit integers,
   * NaN and infinities. `Number` or `BigInt` reads it back. Dtypes that are stored as bits stay bits.
   * @throws {RangeError} more than 2^24 elements: `writeSafetensors` takes any number
   * @example const { shape, data } = JSON.parse(JSON.stringify(Tensor.randn([2, 3])));
   */
  toJSON(): { shape: readonly number[]; dtype: DType; data: (number | string)[] };
}

/**
 * A tensor of any dtype. A comparison of `dtype` narrows it.
 * @example
 * const tensor: AnyTensor = (await readCheckpoint("vgg11.pth")).get("classifier.6.bias")!;
 * if (tensor.dtype === "float32") console.log(Math.max(...tensor.data));
 */
export type AnyTensor = { [D in DType]: Tensor<D> }[DType];

/** What `Tensor` itself is: it makes tensors. */
export interface TensorConstructor {
  /**
   * Makes a tensor of the array's own dtype. The data are the caller's array, not a copy.
   * @throws {TypeError} data is not a typed array
   * @throws {RangeError} the shape is invalid, or its product is not the length of data
   * @example const classes = new Tensor([2], Int32Array.of(281, 207));
   */
  new <Data extends TensorData = Float32Array>(
    shape: readonly number[],
    data: Data,
    dtype?: undefined,
  ): Tensor<UsualDType<Data>>;
  /**
   * Makes a tensor of a dtype that has the array's type: a Uint16Array may hold "float16" or "bfloat16".
   * @throws {TypeError} data is not the array type of dtype @throws {RangeError} as without dtype, or an unknown dtype
   * @example const halves = new Tensor([2], Uint16Array.of(0x3c00, 0x4000), "float16");
   */
  new <Data extends TensorData, D extends DTypeOf<Data>>(
    shape: readonly number[],
    data: Data,
    dtype: D,
  ): Tensor<D>;
  /** The prototype of all tensors. */
  readonly prototype: Tensor<DType>;

  /**
   * Makes a float32 tensor of zeros.
   * @throws {RangeError} the shape is invalid or too large for one array
   * @example const images = Tensor.zeros([1, 3, 224, 224]);
   */
  zeros(shape: readonly number[], dtype?: undefined): Tensor;
  /**
   * Makes a tensor of zeros.
   * @throws {RangeError} an unknown dtype, or a shape that is invalid or too large for one array
   * @example const pixels = Tensor.zeros([1, 224, 224, 3], "uint8");
   */
  zeros<D extends DType>(shape: readonly number[], dtype: D): Tensor<D>;

  /**
   * Makes a float32 tensor of normally distributed numbers (mean 0, deviation 1). The same seed gives the same numbers
   * on every machine.
   * @param seed an integer ≥ 0, default 0
   * @throws {TypeError|RangeError} the shape or the seed is invalid
   * @example const images = Tensor.randn([1, 3, 224, 224], 7);
   */
  randn(shape: readonly number[], seed?: number): Tensor;
}

/** Checks that shape, data and dtype agree. @param prefix of their names in messages */
function checkParts(
  shape: unknown,
  data: TensorData,
  dtype: DType | undefined,
  prefix = "",
): Pick<Tensor<DType>, "shape" | "dtype"> {
  const checked = checkShape(shape, `${prefix}shape`);
  const kind = arrayKind(data);
  const own = inferred.get(kind);
  if (own === undefined) {
    const names = [...new Set(Object.values(arrayTypes))].map((type) => type.name);
    throw typeError(`one of ${names.join(", ")}`, `${prefix}data`, data);
  }
  if (dtype !== undefined && !dtypes.includes(dtype))
    throw rangeError(`one of ${dtypes.join(", ")}`, `${prefix}dtype`, dtype);
  const { name } = arrayTypes[dtype ?? own];
  if (kind !== name) throw typeError(`${name} (dtype ${dtype})`, `${prefix}data`, data);
  checkLength(checked, data, `${prefix}data`);
  return { shape: checked, dtype: dtype ?? own };
}

// TypeScript cannot infer the type parameter of a class from an array, so the class is hidden behind TensorConstructor.
/**
 * Makes tensors.
 * @example const zeros = Tensor.zeros([1, 3, 224, 224]);
 */
export const Tensor = class Tensor {
  static {
    markCopy(Tensor);
  }

  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: TensorData;

  constructor(shape: readonly number[], data: TensorData, dtype?: DType) {
    const checked = checkParts(shape, data, dtype);
    this.shape = checked.shape;
    this.dtype = checked.dtype;
    this.data = data;
    // Shape, dtype and data agree; freezing keeps it so.
    if (new.target === Tensor) Object.freeze(this);
  }

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

  static randn(shape: readonly number[], seed = 0): Tensor {
    const count = elementCount(checkShape(shape, "shape"));
    checkInteger(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    return new Tensor(
      shape,
      new Float32Array(callNative(() => native().randomNormal(count, seed))),
    );
  }

  get size(): number {
    return elementCount(this.shape);
  }

  toString(): string {
    return `Tensor ${formatShape(this.shape)} ${this.dtype}`;
  }

  toJSON(): ReturnType<AnyTensor["toJSON"]> {
    const { shape, dtype, data, size } = this;
    if (size > maxJsonElements) {
      throw new RangeError(
        `Expected at most ${maxJsonElements} elements for JSON but this tensor has ${size}; writeSafetensors takes any number`,
      );
    }
    return { shape, dtype, data: jsonElements(data) };
  }

  [inspectKey](depth: number, options?: { stylize?(text: string, style: string): string }): string {
    return inspectTensor(this, depth, options);
  }
} as unknown as TensorConstructor;

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

/** Returns a tensor's data as the addon may read them: of the tensor's length, and copied if shared with another thread. */
export function nativeData(tensor: Tensor<DType>, name: string): TensorData {
  const { shape, data } = tensor;
  if (data.length !== elementCount(shape)) checkLength(shape, data, `${name}.data`);
  return types.isSharedArrayBuffer(data.buffer) ? data.slice() : data;
}

/**
 * Returns a tensor, or makes one of the plain object into which structuredClone and postMessage turn a Tensor.
 * @returns undefined if it is neither
 * @throws {TypeError|RangeError} such an object whose shape, dtype and data do not agree
 */
export function tensorOf(value: unknown, name: string): AnyTensor | undefined {
  if (value instanceof Tensor) return value as AnyTensor;
  if (!isPlainObject(value)) return undefined;
  const isClone =
    Object.keys(value).length === 3 &&
    ["shape", "dtype", "data"].every((part) => Object.hasOwn(value, part));
  if (!isClone) return undefined;
  const { shape, dtype, data } = value as { [Part in "shape" | "dtype" | "data"]: never };
  if (dtype === undefined) return undefined;
  checkParts(shape, data, dtype, `${name}.`);
  return new Tensor(shape, data, dtype);
}

/** @throws {TypeError} not a Tensor, or it has another dtype */
export function checkTensor(given: unknown, name: string, dtype?: DType): AnyTensor {
  const value = tensorOf(given, name);
  if (value === undefined) throw typeError("a Tensor", name, given);
  if (dtype !== undefined && value.dtype !== dtype) {
    throw new TypeError(
      `Expected dtype ${dtype} for ${name} but received ${describe(value.dtype)}`,
    );
  }
  return value;
}

/** The dtypes in which a parameter may be given. */
export const parameterDtypes: readonly DType[] = ["float32", "float64", "float16", "bfloat16"];

/** @throws {TypeError} not a Tensor of floating-point numbers that the device converts */
export function checkFloatTensor(value: unknown, name: string): AnyTensor {
  const tensor = checkTensor(value, name);
  if (!parameterDtypes.includes(tensor.dtype)) {
    const expected = parameterDtypes.join(", ");
    throw new TypeError(`Expected dtype ${expected} for ${name} but received ${tensor.dtype}`);
  }
  return tensor;
}

/**
 * Reads the named tensors of a Map or a plain object, and checks that each one's data have its shape's length.
 * @throws {TypeError} neither of them, or an entry is not a Tensor
 * @throws {RangeError} data were transferred or resized
 */
export function tensorEntries(tensors: unknown, name: string): Map<string, AnyTensor> {
  const isPlain = types.isMap(tensors) || isPlainObject(tensors);
  if (!isPlain) throw typeError("a Map or an object of Tensors", name, tensors);
  const entries = new Map<string, AnyTensor>(
    (types.isMap(tensors) ? tensors : Object.entries(tensors)) as Iterable<[string, AnyTensor]>,
  );
  for (const [key, value] of entries) {
    if (typeof key !== "string") throw typeError("a tensor's name", name, key);
    const tensor = checkTensor(value, key);
    checkLength(tensor.shape, tensor.data, `${key}.data`);
    entries.set(key, tensor);
  }
  return entries;
}
