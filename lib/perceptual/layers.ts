// The distance of two feature maps of one layer, pixel by pixel, and its enlargement to the image.
import { setImmediate } from "node:timers/promises";

/** LPIPS adds it to the norm of a pixel's channels. */
const epsilon = 1e-10;

/** Products after which the event loop gets its turn: a few milliseconds. */
const maxProducts = 2 ** 22;

/** Gives the event loop its turn after each few milliseconds of arithmetic. */
export class Breaks {
  readonly #signal: AbortSignal | undefined;
  #products = 0;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Call it after each row. @throws the signal's reason */
  async after(products: number): Promise<void> {
    this.#products += products;
    if (this.#products < maxProducts) return;
    this.#products = 0;
    await setImmediate();
    this.#signal?.throwIfAborted();
  }
}

/** The feature maps of one layer: (N, channels, height, width) float32. Images 2i and 2i + 1 are pair i. */
export interface Features {
  readonly data: Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** A rectangle in pixels of a layer: [top, bottom) × [left, right). */
export interface Rectangle {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** The distances of one layer of one pair: (height, width), and their sum. */
export interface LayerDistances {
  readonly height: number;
  readonly width: number;
  /** Null if no map is wanted. */
  readonly map: Float32Array | null;
  sum: number;
}

/**
 * Adds the distances of a part of a layer. The distance of a pixel is the weighted sum of squared differences of its
 * channels, after each image's channels were divided by their norm.
 * @param at the part, in pixels of `features`
 * @param to where `at` lies in the layer of the whole image
 */
export async function addDistances(
  features: Features,
  pair: number,
  weights: Float32Array,
  at: Rectangle,
  distances: LayerDistances,
  to: { readonly top: number; readonly left: number },
  breaks: Breaks,
): Promise<void> {
  const { data, channels, height, width } = features;
  const count = at.right - at.left;
  const row: Row = {
    first: 0,
    count,
    plane: height * width,
    channels,
    other: channels * height * width,
    weights,
    normsA: new Float64Array(count),
    normsB: new Float64Array(count),
    sums: new Float64Array(count),
  };
  const image = 2 * pair * row.other;
  for (let y = at.top; y < at.bottom; y++) {
    row.first = image + y * width + at.left;
    sumRow(data, row);
    for (const sum of row.sums) distances.sum += sum;
    distances.map?.set(row.sums, (to.top + y - at.top) * distances.width + to.left);
    await breaks.after(2 * count * channels);
  }
}

/** One row of a layer of two images, and room for its sums. */
interface Row {
  /** The place of the row's first pixel in the first channel of image a. */
  first: number;
  readonly count: number;
  /** The distance of two channels in memory. */
  readonly plane: number;
  readonly channels: number;
  /** The distance of the two images in memory. */
  readonly other: number;
  readonly weights: Float32Array;
  readonly normsA: Float64Array;
  readonly normsB: Float64Array;
  readonly sums: Float64Array;
}

function sumRow(data: Float32Array, row: Row): void {
  const { first, count, plane, channels, other, weights, normsA, normsB, sums } = row;
  normsA.fill(0);
  normsB.fill(0);
  sums.fill(0);
  for (let c = 0, a = first; c < channels; c++, a += plane) {
    for (let x = 0; x < count; x++) {
      const valueA = data[a + x]!;
      const valueB = data[a + other + x]!;
      normsA[x]! += valueA * valueA;
      normsB[x]! += valueB * valueB;
    }
  }
  for (let x = 0; x < count; x++) {
    normsA[x] = 1 / (Math.sqrt(normsA[x]!) + epsilon);
    normsB[x] = 1 / (Math.sqrt(normsB[x]!) + epsilon);
  }
  for (let c = 0, a = first; c < channels; c++, a += plane) {
    const weight = weights[c]!;
    for (let x = 0; x < count; x++) {
      const difference = data[a + x]! * normsA[x]! - data[a + other + x]! * normsB[x]!;
      sums[x]! += weight * difference * difference;
    }
  }
}

/** What each output pixel of an axis is made of: two input pixels and the second one's weight. */
function tapsOf(from: number, to: number) {
  const scale = from / to;
  return Array.from({ length: to }, (_, index) => {
    const at = Math.max((index + 0.5) * scale - 0.5, 0);
    const first = Math.min(Math.floor(at), from - 1);
    return { first, second: Math.min(first + 1, from - 1), weight: at - first };
  });
}

/** Adds a layer's map to `total` (height, width), enlarged as by torch's bilinear upsampling with align_corners=False. */
export async function addEnlarged(
  { height: fromHeight, width: fromWidth, map }: LayerDistances,
  total: Float32Array,
  height: number,
  width: number,
  breaks: Breaks,
): Promise<void> {
  const columns = tapsOf(fromWidth, width);
  for (const [y, { first, second, weight }] of tapsOf(fromHeight, height).entries()) {
    const upper = map!.subarray(first * fromWidth, (first + 1) * fromWidth);
    const lower = map!.subarray(second * fromWidth, (second + 1) * fromWidth);
    const out = total.subarray(y * width, (y + 1) * width);
    for (let x = 0; x < width; x++) {
      const { first: left, second: right, weight: share } = columns[x]!;
      const above = upper[left]! * (1 - share) + upper[right]! * share;
      const below = lower[left]! * (1 - share) + lower[right]! * share;
      out[x]! += above * (1 - weight) + below * weight;
    }
    await breaks.after(4 * width);
  }
}
