// Floating-point tensors in another precision.
import { checkOneOf } from "../check.js";
import { type DType, Tensor } from "../tensor.js";

export type FloatType = Extract<DType, "float32" | "float16" | "bfloat16">;
export const floatTypes = ["float32", "float16", "bfloat16"] as const satisfies FloatType[];

const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);

/** Rounded to nearest, ties to even. */
function toHalf(value: number): number {
  asFloat[0] = value;
  const bits = word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to 65536 or more
  if (magnitude < 0x38800000) {
    // Subnormal: in units of 2^-24. Adding 2^23 of them lets the addition round.
    const units = Math.abs(value) * 2 ** 24;
    return sign | (units + 2 ** 52 - 2 ** 52);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}

function toBfloat16(value: number): number {
  asFloat[0] = value;
  const bits = word[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0
    ? sign * mantissa * 2 ** -24
    : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

function fromBfloat16(bits: number): number {
  word[0] = bits << 16;
  return asFloat[0]!;
}

const isFloat = (dtype: DType) =>
  dtype === "float64" || (floatTypes as readonly DType[]).includes(dtype);

/** The tensor in another floating-point type, rounded to nearest; integers and what has that type already are returned as they are. */
export function convertTensor(tensor: Tensor, dtype: FloatType): Tensor {
  checkOneOf(dtype, "dtype", floatTypes);
  if (tensor.dtype === dtype || !isFloat(tensor.dtype)) return tensor;
  const data = tensor.data as Float32Array;
  const read =
    tensor.dtype === "float16"
      ? fromHalf
      : tensor.dtype === "bfloat16"
        ? fromBfloat16
        : (value: number) => value;
  const write =
    dtype === "float16" ? toHalf : dtype === "bfloat16" ? toBfloat16 : (value: number) => value;
  const to = dtype === "float32" ? new Float32Array(data.length) : new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) to[i] = write(Math.fround(read(data[i]!)));
  return new Tensor(tensor.shape, to, dtype);
}
