// Computes LPIPS of pairs of samples on a device: batches of small images, windows of large ones.
import type { Graph } from "../graph/graph.js";
import { type AnyTensor, Tensor } from "../tensor.js";
import { addDistances, addEnlarged, Breaks, type Features, type LayerDistances } from "./layers.js";
import { layers, type Samples } from "./record.js";
import { vectors } from "./vectors.js";
import { type Span, type Windows, windowsOf } from "./windows.js";

/** Two images of one size: bytes (H, W, 3), or float32 (3, H, W) in [-1, 1]. */
export type Pair = {
  readonly height: number;
  readonly width: number;
} & (
  | { readonly samples: "uint8"; readonly a: Uint8Array; readonly b: Uint8Array }
  | { readonly samples: "float32"; readonly a: Float32Array; readonly b: Float32Array }
);

/** The distance of one pair. */
export interface PairDistance {
  /** The sum of the layers' shares. */
  readonly total: number;
  /** The mean over the pixels of each of the five layers. */
  readonly layers: readonly number[];
  /** (height, width), or null. */
  readonly map: Float32Array | null;
}

/** Pixels of all images of one run. Their features have 488 bytes a pixel here, and as many on the device. */
export const maxRunPixels = 2 ** 20;

/** The number of pairs of this size that one run computes. */
export function pairsPerRun(height: number, width: number, maxPixels = maxRunPixels): number {
  return Math.max(1, Math.floor(maxPixels / (2 * height * width)));
}

const learned = vectors.map((vector) => Float32Array.from(vector));

/** Returns the graph for images of a size. It must live until the run that is started at once has ended. */
export type GraphOf = (
  samples: Samples,
  height: number,
  width: number,
) => Graph<Record<string, "float32">>;

export interface CompareOptions {
  readonly wantsMap: boolean;
  readonly signal: AbortSignal | undefined;
  /** Pixels of all images of one run, at least 2^18. */
  readonly maxPixels: number;
}

/** Computes the distances of pairs of one size and kind. */
export async function comparePairs(
  graphOf: GraphOf,
  pairs: readonly Pair[],
  { wantsMap, signal, maxPixels }: CompareOptions,
): Promise<PairDistance[]> {
  const { height, width } = pairs[0]!;
  const windows = windowsOf(height, width, maxPixels / 2);
  const breaks = new Breaks(signal);
  const distances = pairs.map(() =>
    layers.map((_, index): LayerDistances => {
      const [rows, columns] = [height >> index, width >> index];
      const map = wantsMap ? new Float32Array(rows * columns) : null;
      return { height: rows, width: columns, map, sum: 0 };
    }),
  );
  for (const row of windows.rows.spans) {
    for (const column of windows.columns.spans)
      await compareWindow(graphOf, pairs, windows, row, column, distances, signal, breaks);
  }
  const results: PairDistance[] = [];
  for (const ofPair of distances) {
    const shares = ofPair.map(({ sum, height: h, width: w }) => sum / (h * w));
    const map = wantsMap ? new Float32Array(height * width) : null;
    if (map !== null)
      for (const layer of ofPair) await addEnlarged(layer, map, height, width, breaks);
    results.push({ total: shares.reduce((sum, share) => sum + share, 0), layers: shares, map });
  }
  return results;
}

/** Runs one window of all pairs, and adds the distances of the part of it that is exact. */
async function compareWindow(
  graphOf: GraphOf,
  pairs: readonly Pair[],
  { rows, columns }: Windows,
  row: Span,
  column: Span,
  distances: readonly (readonly LayerDistances[])[],
  signal: AbortSignal | undefined,
  breaks: Breaks,
): Promise<void> {
  const samples = cut(pairs, row.start, column.start, rows.extent, columns.extent);
  const graph = graphOf(pairs[0]!.samples, rows.extent, columns.extent);
  const outputs = await graph.run({ samples }, signal === undefined ? {} : { signal });
  for (const [index, { module }] of layers.entries()) {
    const { data, shape } = outputs[module]!;
    const [, channels, height, width] = shape as [number, number, number, number];
    const features: Features = { data, channels, height, width };
    const layerOf = (axis: { readonly length: number }, span: Span) => {
      // Pools drop the last row of an odd number of rows, so the image's end is rounded down.
      const to = span.to === axis.length ? axis.length >> index : span.to >> index;
      return { from: span.from >> index, to, start: span.start >> index };
    };
    const down = layerOf(rows, row);
    const across = layerOf(columns, column);
    const at = {
      top: down.from - down.start,
      bottom: down.to - down.start,
      left: across.from - across.start,
      right: across.to - across.start,
    };
    const to = { top: down.from, left: across.from };
    for (const [pair, ofPair] of distances.entries())
      await addDistances(features, pair, learned[index]!, at, ofPair[index]!, to, breaks);
  }
}

/** Copies a window of each pair: (2n, height, width, 3) uint8 or (2n, 3, height, width) float32. */
function cut(
  pairs: readonly Pair[],
  top: number,
  left: number,
  height: number,
  width: number,
): AnyTensor {
  const area = height * width * 3;
  const { samples } = pairs[0]!;
  const data = new (samples === "uint8" ? Uint8Array : Float32Array)(2 * pairs.length * area);
  let to = 0;
  for (const pair of pairs) {
    for (const image of [pair.a, pair.b]) {
      // Bytes are rows of pixels of three; floats are three planes of rows.
      const [planes, perPixel] = samples === "uint8" ? [1, 3] : [3, 1];
      for (let plane = 0; plane < planes; plane++) {
        for (let y = top; y < top + height; y++) {
          const from = ((plane * pair.height + y) * pair.width + left) * perPixel;
          data.set(image.subarray(from, from + width * perPixel), to);
          to += width * perPixel;
        }
      }
    }
  }
  const shape = samples === "uint8" ? [height, width, 3] : [3, height, width];
  return new Tensor([2 * pairs.length, ...shape], data, samples) as AnyTensor;
}
