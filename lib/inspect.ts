// What console.log and JSON.stringify show of tensors: shape, dtype and the first and last values.
import { formatShape } from "./check.js";
import type { DType, TensorData } from "./dtype.js";
import { valueOfBits } from "./float-bits.js";

/** The key of the method that console.log calls, in Node, Deno and Bun. */
export const inspectKey: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;

/** The numbers of values at either end that are shown of a tensor with more than twice as many. */
const ends = 4;

/** Some of a tensor. `data` may have become empty: its ArrayBuffer was transferred. */
interface Described {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: TensorData;
  readonly size: number;
}

/** Formats one element with at most 6 digits. */
function formatElement(element: number | bigint, dtype: DType): string {
  if (typeof element === "bigint") return String(element);
  if (dtype === "bool") return String(element !== 0);
  const value = valueOfBits(element, dtype);
  return Object.is(value, -0) ? "-0" : String(Number(value.toPrecision(6)));
}

/**
 * Describes a tensor on one line. `options` come from util.inspect; versions of @types/node
 * name their type differently. Other runtimes give fewer.
 */
export function inspectTensor(
  tensor: Described,
  depth: number,
  options?: { stylize?(text: string, style: string): string },
): string {
  const { shape, dtype, data, size } = tensor;
  const stylize = options?.stylize ?? String;
  const title = `Tensor ${formatShape(shape)} ${dtype}`;
  if (depth < 0) return stylize(`[${title}]`, "special");
  if (data.length !== size) return `${title} whose ArrayBuffer was transferred or resized`;
  const style = dtype === "bool" ? "boolean" : "number";
  const show = (from: number, to: number) =>
    Array.from(data.subarray(from, to), (element: number | bigint) =>
      stylize(formatElement(element, dtype), style),
    );
  if (size === 0) return `${title} []`;
  const shown =
    size <= 2 * ends ? show(0, size) : [...show(0, ends), "…", ...show(size - ends, size)];
  return `${title} [ ${shown.join(", ")} ]`;
}

/** A tensor's elements as JSON can hold them: strings for 64-bit integers, NaN and infinities, else numbers. */
export function jsonElements(data: TensorData): (number | string)[] {
  return Array.from(data as Iterable<number | bigint>, (element) =>
    Number.isFinite(element) ? (element as number) : String(element),
  );
}
