// The number that each element of a tensor represents, by the definition of its dtype.
import type { DType, Tensor } from "../../lib/index.ts";

/** Decodes sign, exponent and mantissa bits. Without `hasInfinity` the largest exponent holds numbers, except one NaN. */
function decode(
  bits: number,
  exponentBits: number,
  mantissaBits: number,
  hasInfinity = true,
): number {
  const sign = bits >> (exponentBits + mantissaBits) ? -1 : 1;
  const exponent = (bits >> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = bits & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  const largest = 2 ** exponentBits - 1;
  if (exponent === largest && hasInfinity)
    return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === largest && mantissa === 2 ** mantissaBits - 1) return Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias);
}

export function valuesOf({ dtype, data }: Tensor<DType>): number[] {
  const bits = Array.from(data as ArrayLike<number | bigint>, Number);
  if (dtype === "float16") return bits.map((b) => decode(b, 5, 10));
  if (dtype === "bfloat16") return bits.map((b) => decode(b, 8, 7));
  if (dtype === "float8_e4m3fn") return bits.map((b) => decode(b, 4, 3, false));
  if (dtype === "float8_e5m2") return bits.map((b) => decode(b, 5, 2));
  return bits;
}
