// The arguments of `perceptualDistance`: checks the arguments, copies them, and gives pairs of one size.
import { formatShape, rangeError, typeError } from "../check.js";
import { type CroppedPixels, type Size, wholePixels } from "../image/crop.js";
import { type OpenedSource, openSource, openSources } from "../image/source.js";
import { copyArray } from "../order.js";
import { checkTensor, nativeData, type Tensor, tensorOf } from "../tensor.js";
import type { Pair } from "./compare.js";
import type { ReadPair } from "./each.js";

/** relu5_3 lies behind four pools of 2 × 2. */
export const minSide = 16;

/** Checks two Tensors (N, 3, H, W) float32, and copies them. @throws {TypeError|RangeError} */
export function openTensors(a: unknown, b: unknown, maxPixels: number): ReadPair[] {
  if (tensorOf(b, "b") === undefined) throw typeError("a Tensor, as a is,", "b", b);
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

function checkImages(value: unknown, name: string, maxPixels: number): Tensor<"float32"> {
  const tensor = checkTensor(value, name, "float32") as Tensor<"float32">;
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

/** The size in which images are compared. "a": b gets a's size. A number: the shorter side of a, whose size b gets. */
export type PerceptualResize = "a" | number;

export interface ReadingImages {
  readonly resize: PerceptualResize | undefined;
  readonly maxPixels: number;
  /** Whether the EXIF orientation is applied. */
  readonly orientation: boolean;
  /** What a message calls the option `resize`. */
  readonly resizeName: string;
}

/** An image and its name in messages. */
export interface NamedImage {
  readonly source: OpenedSource;
  readonly name: string;
}

/**
 * Checks two images, or two arrays of images, and copies the bytes.
 * @throws {TypeError} not image sources @throws {RangeError} no images, or another number of images in b
 */
export function openImages(a: unknown, b: unknown): (readonly [NamedImage, NamedImage])[] {
  if (Array.isArray(a) !== Array.isArray(b))
    throw typeError(Array.isArray(a) ? "an array, as a is," : "one image, as a is,", "b", b);
  const open = (value: unknown, name: string): NamedImage[] => {
    if (!Array.isArray(value)) return [{ source: openSource(value, name), name }];
    if (value.length === 0) throw rangeError("at least one image", name, value);
    const sources = openSources(value, name);
    return sources.map((source, index) => ({ source, name: `${name}[${index}]` }));
  };
  if (Array.isArray(a) && Array.isArray(b) && a.length !== b.length) {
    throw new RangeError(
      `Expected ${a.length} images, as a has, for b but received ${b.length} images`,
    );
  }
  const [first, second] = [open(a, "a"), open(b, "b")];
  return first.map((image, index) => [image, second[index]!]);
}

/** Returns a function that reads a pair. `call` identifies the user's call, see `cropPixels`. */
export function imagePair(
  [a, b]: readonly [NamedImage, NamedImage],
  options: ReadingImages,
  call: object,
): ReadPair {
  const { resize, maxPixels, orientation, resizeName } = options;
  const decoding = { channels: 3, maxPixels, orientation } as const;
  return async (signal) => {
    const read = ({ source }: NamedImage, sizeOf?: (size: Size) => Size) =>
      wholePixels(source, decoding, { signal }, call, sizeOf);
    let first: CroppedPixels;
    let second: CroppedPixels;
    if (resize === undefined) {
      [first, second] = await Promise.all([read(a), read(b)]);
    } else {
      first = await read(a, (size) => resized(size, resize, a.name, maxPixels));
      second = await read(b, () => first);
    }
    const { height, width } = first;
    checkSide(first, a.name);
    checkSide(second, b.name);
    if (second.height !== height || second.width !== width) {
      const sizes = `${sizeText(first)} and ${sizeText(second)}`;
      throw new RangeError(
        `Expected images of one size, or ${resizeName}, for ${a.name} and ${b.name} but received ${sizes}`,
      );
    }
    return { height, width, samples: "uint8", a: first.data, b: second.data };
  };
}

const sizeText = ({ width, height }: Size) => `${width} × ${height}`;

function checkSide(size: Size, name: string): void {
  if (Math.min(size.width, size.height) >= minSide) return;
  const expected = `an image of at least ${minSide} × ${minSide} pixels`;
  throw new RangeError(`Expected ${expected} for ${name} but received ${sizeText(size)}`);
}

/** Returns the size to which image a is resized. */
function resized(size: Size, to: PerceptualResize, name: string, maxPixels: number): Size {
  if (to === "a") return size;
  const factor = to / Math.min(size.width, size.height);
  const [width, height] = [size.width, size.height].map((side) => Math.round(side * factor)) as [
    number,
    number,
  ];
  if (width * height > maxPixels) {
    throw new RangeError(
      `Expected at most ${maxPixels} pixels after the resize for ${name} but received ${sizeText({ width, height })}`,
    );
  }
  return { width, height };
}
