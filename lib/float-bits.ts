// The values of floating-point numbers that a typed array holds as bits.
import type { DType } from "./dtype.js";

/** The bits of the exponent and of the mantissa, and whether the highest exponent means infinity or NaN. */
const formats: { readonly [D in DType]?: readonly [number, number, boolean] } = {
  float16: [5, 10, true],
  bfloat16: [8, 7, true],
  float8_e5m2: [5, 2, true],
  float8_e4m3fn: [4, 3, false],
};

/** Returns the number that an element of a tensor stands for. */
export function valueOfBits(element: number, dtype: DType): number {
  const format = formats[dtype];
  if (format === undefined) return element;
  const [exponentBits, mantissaBits, hasInfinity] = format;
  const sign = (element >> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const top = 2 ** exponentBits - 1;
  const exponent = (element >> mantissaBits) & top;
  const mantissa = element & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === top && hasInfinity)
    return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  // float8_e4m3fn has no infinity; all ones are NaN.
  if (exponent === top && mantissa === 2 ** mantissaBits - 1) return Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (2 ** mantissaBits + mantissa) * 2 ** (exponent - bias - mantissaBits);
}
