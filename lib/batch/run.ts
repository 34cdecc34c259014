// One run of a batch: joins the images, divides a run that has no memory, and cuts the results apart again.
import { types } from "node:util";
import { arrayTypeOf, type DType, type TensorData } from "../dtype.js";
import { VggError } from "../errors.js";
import { elementCount, Tensor } from "../tensor.js";

/** The values of one image, or of several in a row. */
export type ImageData = Uint8Array | Float32Array;
/** The outputs of a run by name, each (N, …). */
export type Outputs = Readonly<Record<string, Tensor<DType>>>;

/** What calls of one key have in common: a run computes images of all of them. */
export interface Kind<Results extends Outputs = Outputs> {
  readonly key: string;
  /** Submits a run of `count` images before it returns. `data` may be written again then. */
  run(count: number, data: ImageData, signal: AbortSignal | undefined): Promise<Results>;
}

/**
 * Runs images. A run that fails with OUT_OF_MEMORY is repeated in halves, down to one image. The first run is submitted
 * before this returns.
 * @param mayDivide is asked with the size of a run that had no memory
 */
export async function runImages<Results extends Outputs>(
  kind: Kind<Results>,
  images: readonly ImageData[],
  signal: AbortSignal | undefined,
  mayDivide: (size: number) => boolean,
): Promise<Results> {
  try {
    return await kind.run(images.length, join(images), signal);
  } catch (error) {
    const isMemory = error instanceof VggError && error.code === "OUT_OF_MEMORY";
    if (!isMemory || images.length === 1 || !mayDivide(images.length)) throw error;
    const middle = Math.ceil(images.length / 2);
    const parts = [images.slice(0, middle), images.slice(middle)];
    const results: Results[] = [];
    for (const part of parts) results.push(await runImages(kind, part, signal, mayDivide));
    return joinOutputs(results);
  }
}

/** Puts images one after the other. Images that lie so already are not copied. @throws {VggError} OUT_OF_MEMORY */
export function join(images: readonly ImageData[]): ImageData {
  const [first] = images as [ImageData];
  const length = images.reduce((sum, image) => sum + image.length, 0);
  const Type = types.isUint8Array(first) ? Uint8Array : Float32Array;
  if (isContiguous(images)) return new Type(first.buffer as ArrayBuffer, first.byteOffset, length);
  const joined = allocate<ImageData>(length, (size) => new Type(size));
  let at = 0;
  for (const image of images) {
    joined.set(image, at);
    at += image.length;
  }
  return joined;
}

function isContiguous(images: readonly ImageData[]): boolean {
  return images.every((image, index) => {
    const before = images[index - 1];
    if (before === undefined) return true;
    const end = before.byteOffset + before.byteLength;
    return image.buffer === before.buffer && image.byteOffset === end;
  });
}

/** Returns the outputs of `count` images from the image `first` on, with their own memory unless these are all. */
export function cut<Results extends Outputs>(
  outputs: Results,
  first: number,
  count: number,
): Results {
  const entries = Object.entries(outputs).map(([name, tensor]) => {
    const [all, ...shape] = tensor.shape as [number, ...number[]];
    if (all === count) return [name, tensor];
    const length = elementCount(shape);
    const data = tensor.data.slice(first * length, (first + count) * length);
    return [name, new Tensor<TensorData, DType>([count, ...shape], data, tensor.dtype)];
  });
  return Object.fromEntries(entries);
}

/** Joins the outputs of runs. @throws {VggError} OUT_OF_MEMORY */
export function joinOutputs<Results extends Outputs>(runs: readonly Results[]): Results {
  const [first] = runs as [Results];
  if (runs.length === 1) return first;
  const entries = Object.entries(first).map(([name, { shape, dtype }]) => {
    const parts = runs.map(({ [name]: part }) => part!);
    const count = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
    const joined = [count, ...shape.slice(1)];
    const Type = arrayTypeOf(dtype);
    const data = allocate<TensorData>(elementCount(joined), (size) => new Type(size));
    let at = 0;
    for (const part of parts) {
      data.set(part.data as never, at);
      at += part.size;
    }
    return [name, new Tensor<TensorData, DType>(joined, data, dtype)];
  });
  return Object.fromEntries(entries);
}

/** @throws {VggError} OUT_OF_MEMORY */
function allocate<Data>(length: number, make: (length: number) => Data): Data {
  try {
    return make(length);
  } catch (cause) {
    const message = `Expected host memory for ${length} numbers of a batch but it is not available`;
    throw new VggError("OUT_OF_MEMORY", message, { cause });
  }
}
