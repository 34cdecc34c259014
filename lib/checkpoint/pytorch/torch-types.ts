// The names of PyTorch's storages and dtypes, and of numbers that this package does not support.
import { arrayTypeOf, type DType } from "../../dtype.js";
import type { StorageType } from "./references.js";

const typedStorages: Readonly<Record<string, DType>> = {
  "torch.FloatStorage": "float32",
  "torch.DoubleStorage": "float64",
  "torch.HalfStorage": "float16",
  "torch.BFloat16Storage": "bfloat16",
  "torch.CharStorage": "int8",
  "torch.ByteStorage": "uint8",
  "torch.ShortStorage": "int16",
  "torch.IntStorage": "int32",
  "torch.LongStorage": "int64",
  "torch.BoolStorage": "bool",
};

/** Bytes of one item. A legacy file stores these among the others, so their size must be known to skip them. */
const unsupportedStorages: Readonly<Record<string, number>> = {
  "torch.ComplexFloatStorage": 8,
  "torch.ComplexDoubleStorage": 16,
  "torch.QInt8Storage": 1,
  "torch.QUInt8Storage": 1,
  "torch.QInt32Storage": 4,
  "torch.QUInt4x2Storage": 1,
  "torch.QUInt2x4Storage": 1,
};

export const storageTypes: ReadonlyMap<string, StorageType> = new Map(
  [
    ...Object.entries(typedStorages).map(([name, dtype]) => ({
      ...{ name, dtype, isUntyped: false, itemBytes: arrayTypeOf(dtype).BYTES_PER_ELEMENT },
    })),
    ...Object.entries(unsupportedStorages).map(([name, itemBytes]) => ({
      ...{ name, dtype: undefined, isUntyped: false, itemBytes },
    })),
    ...["torch.storage.UntypedStorage", "torch.UntypedStorage"].map((name) => ({
      ...{ name, dtype: undefined, isUntyped: true, itemBytes: 1 },
    })),
  ].map((type) => [type.name, type]),
);

export const dtypes: ReadonlyMap<string, DType> = new Map(
  (
    [
      ["float32", "float"],
      ["float64", "double"],
      ["float16", "half"],
      ["bfloat16"],
      ["float8_e4m3fn"],
      ["float8_e5m2"],
      ["int8"],
      ["uint8"],
      ["int16", "short"],
      ["uint16"],
      ["int32", "int"],
      ["uint32"],
      ["int64", "long"],
      ["uint64"],
      ["bool"],
    ] as [DType, string?][]
  ).flatMap(([dtype, alias]) => [dtype, alias ?? dtype].map((name) => [`torch.${name}`, dtype])),
);

/** PyTorch's other dtypes: complex, quantised, of less than a byte. */
const unsupportedDtypes =
  /^torch\.(complex(32|64|128)|c(float|double|half)|q(u?int8|int32|uint4x2|uint2x4)|float\d_\w{1,64}|u?int[1-7]|bits\w{1,64})$/;

export function isUnsupportedDtype(name: string): boolean {
  return unsupportedDtypes.test(name) && !dtypes.has(name);
}
