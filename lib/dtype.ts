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
} as const satisfies {
  [D in DType]: new (
    buffer: ArrayBuffer,
  ) => TensorData<D>;
});

/** The typed array of each dtype. */
interface DataTypes {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  float8_e4m3fn: Uint8Array;
  float8_e5m2: Uint8Array;
  bool: Uint8Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
}

/** The type of a tensor's elements. */
export type DType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "float8_e4m3fn"
  | "float8_e5m2"
  | "bool"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64";
/** The typed array of a dtype. Without a dtype, all typed arrays that a tensor's data may be. */
export type TensorData<D extends DType = DType> = DataTypes[D];
/** The dtypes that are stored in an array type. */
export type DTypeOf<Data extends TensorData> = {
  [D in DType]: Data extends TensorData<D> ? D : never;
}[DType];
/** The dtypes whose array type means another dtype unless they are named. */
type NamedDType = "float16" | "bfloat16" | "float8_e4m3fn" | "float8_e5m2" | "bool";
/** The dtype of an array type if none is named. `any` gives `any`. */
export type UsualDType<Data extends TensorData> = DTypeOf<Data> &
  (0 extends 1 & Data ? Data : Exclude<DType, NamedDType>);

export const dtypes = Object.freeze(Object.keys(arrayTypes)) as readonly DType[];

export function arrayTypeOf(dtype: DType): (typeof arrayTypes)[DType] {
  return arrayTypes[dtype];
}

/** The arithmetic of a device, and the type in which it keeps weights and activations. */
export type Precision = "float32" | "tf32" | "float16" | "bfloat16";
export const precisions = Object.freeze([
  ...(["float32", "tf32", "float16", "bfloat16"] as const),
] satisfies Precision[]);
