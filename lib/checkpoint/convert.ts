// Converts floating-point tensors to another precision.
import { checkOneOf } from "../check.js";
import type { DType, TensorData } from "../dtype.js";
import { valueOfBits } from "../float-bits.js";
import { type AnyTensor, Tensor } from "../tensor.js";

export type FloatType = Extract<DType, "float32" | "float16" | "bfloat16">;
export const floatTypes = ["float32", "float16", "bfloat16"] as const satisfies FloatType[];

const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);

/** Converts the bits of a float32 to the bits of a float16. Rounds to nearest, ties to even. */
function toHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to 65536 or more
  if (magnitude < 0x38800000) {
    // A subnormal result counts units of 2^-24. Adding 2^52 units makes the addition round.
    word[0] = magnitude;
    const units = asFloat[0]! * 2 ** 24;
    return sign | (units + 2 ** 52 - 2 ** 52);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}

/** Converts the bits of a float32 to the bits of a bfloat16. Rounds to nearest, ties to even. */
function toBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

let halves: Float32Array | undefined; // the values of all float16 bit patterns

// Whole networks pass through these loops, so each loop handles one pair of types.

function toFloats(data: TensorData, dtype: DType): Float32Array {
  if (dtype === "float16") {
    halves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => valueOfBits(bits, "float16"));
    const to = new Float32Array(data.length);
    for (let i = 0; i < to.length; i++) to[i] = halves[(data as Uint16Array)[i]!]!;
    return to;
  }
  if (dtype === "bfloat16") {
    const to = new Uint32Array(data.length);
    for (let i = 0; i < to.length; i++) to[i] = (data as Uint16Array)[i]! << 16;
    return new Float32Array(to.buffer);
  }
  return dtype === "float32" ? (data as Float32Array) : new Float32Array(data as Float64Array);
}

function fromFloats(floats: Float32Array, dtype: FloatType): Float32Array | Uint16Array {
  if (dtype === "float32") return floats;
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const to = new Uint16Array(floats.length);
  if (dtype === "float16") for (let i = 0; i < to.length; i++) to[i] = toHalf(bits[i]!);
  else for (let i = 0; i < to.length; i++) to[i] = toBfloat16(bits[i]!);
  return to;
}

const isFloat = (dtype: DType) =>
  dtype === "float64" || (floatTypes as readonly DType[]).includes(dtype);

/**
 * Converts a tensor to another floating-point type. Rounds to nearest.
 * Returns integer tensors and tensors of that type as they are.
 */
export function convertTensor(tensor: AnyTensor, dtype: FloatType): AnyTensor {
  checkOneOf(dtype, "dtype", floatTypes);
  if (tensor.dtype === dtype || !isFloat(tensor.dtype)) return tensor;
  const data = fromFloats(toFloats(tensor.data, tensor.dtype), dtype);
  return new Tensor(tensor.shape, data, dtype) as AnyTensor;
}
