// The images of `perceptualDistance`: checks the arguments, copies them, and gives pairs of one size.
import { formatShape, rangeError, typeError } from "../check.js";
import { copyArray } from "../order.js";
import { checkTensor, nativeData, Tensor } from "../tensor.js";
import type { Pair } from "./compare.js";
import type { ReadPair } from "./each.js";

/** relu5_3 lies behind four pools of 2 × 2. */
export const minSide = 16;

/** Checks two Tensors (N, 3, H, W) float32, and copies them. @throws {TypeError|RangeError} */
export function openTensors(a: unknown, b: unknown, maxPixels: number): ReadPair[] {
  if (!(b instanceof Tensor)) throw typeError("a Tensor, as a is,", "b", b);
  const first = checkImages(a, "a", maxPixels);
  const second = checkImages(b, "b", maxPixels);
  if (formatShape(first.shape) !== formatShape(second.shape))
    throw rangeError(`shape ${formatShape(first.shape)}, as a has,`, "b", second.shape);
  const [count, , height, width] = first.shape as [number, number, number, number];
  const [dataA, dataB] = [first, second].map((tensor, index) =>
    copyArray(nativeData(tensor, index === 0 ? "a" : "b") as Float32Array),
  ) as [Float32Array, Float32Array];
  return Array.from({ length: count }, (_, index) => {
    const part = (data: Float32Array) =>
      data.subarray(index * 3 * height * width, (index + 1) * 3 * height * width);
    const pair: Pair = { height, width, samples: "float32", a: part(dataA), b: part(dataB) };
    return async () => pair;
  });
}

function checkImages(value: unknown, name: string, maxPixels: number): Tensor {
  const tensor = checkTensor(value, name, "float32");
  const { shape } = tensor;
  const [count = 0, channels, height = 0, width = 0] = shape;
  if (shape.length !== 4 || channels !== 3 || count < 1 || Math.min(height, width) < minSide) {
    const expected = `shape (N, 3, H, W) with N ≥ 1 and H, W ≥ ${minSide}`;
    throw new RangeError(`Expected ${expected} for ${name} but received ${formatShape(shape)}`);
  }
  if (height * width > maxPixels)
    throw rangeError(`images of at most ${maxPixels} pixels`, name, shape);
  return tensor;
}
