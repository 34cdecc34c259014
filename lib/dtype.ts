// The types of numbers: of a tensor's elements (dtype), and of a device's arithmetic (precision).

/** The array type of each dtype. Numbers that JavaScript lacks are stored as their bits in a Uint16Array or Uint8Array. */
export const arrayTypes = Object.freeze({
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  float8_e4m3fn: Uint8Array,
  float8_e5m2: Uint8Array,
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
} as const);

/** The type of a tensor's elements. */
export type DType = keyof typeof arrayTypes;
/** The typed arrays that a tensor's data may be. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export const dtypes = Object.freeze(Object.keys(arrayTypes)) as readonly DType[];

export function arrayTypeOf(dtype: DType): (typeof arrayTypes)[DType] {
  return arrayTypes[dtype];
}

/** The arithmetic of a device, and the type in which it keeps weights and activations. */
export type Precision = "float32" | "tf32" | "float16" | "bfloat16";
export const precisions = Object.freeze([
  ...(["float32", "tf32", "float16", "bfloat16"] as const),
] satisfies Precision[]);
