// Draws the channels of a layer's output as tiles. Each tile has its own scale from its least to its greatest value.
import type { GreyImage } from "./png.js";

/** The channels that are drawn. */
export const usualChannels = 64;
export const mostChannels = 512;

/** Pixels of a tile's longer side. With the most channels the image has fewer than 9 million pixels. */
export const usualSize = 96;
export const leastSize = 8;
export const mostSize = 128;

/** Pixels between tiles. */
const gap = 2;
/** A smaller channel is enlarged by a whole factor up to about this side. */
const enlargedSize = 48;

/**
 * Draws the first channels in rows, as square as possible. The values of a layer without height and width are the
 * pixels of one tile. What is not finite is drawn as the least value, and level 0 is the space between tiles.
 * @param shape [channels, height, width] or [values]
 */
export function drawTiles(
  shape: readonly number[],
  data: Float32Array,
  { channels, size }: { readonly channels: number; readonly size: number },
): GreyImage {
  const [planes, rows, columns] = shape.length === 3 ? shape : tileOf(shape[0]!);
  const count = Math.min(channels, planes!);
  const longest = Math.max(rows!, columns!);
  const factor =
    longest > size
      ? size / longest
      : Math.max(1, Math.floor(Math.min(size, enlargedSize) / longest));
  const width = Math.max(1, Math.round(columns! * factor));
  const height = Math.max(1, Math.round(rows! * factor));
  const across = Math.ceil(Math.sqrt(count));
  const down = Math.ceil(count / across);
  const image = {
    width: across * (width + gap) - gap,
    height: down * (height + gap) - gap,
  };
  const pixels = new Uint8Array(image.width * image.height);
  const plane = rows! * columns!;
  const scaled = new Float32Array(width * height);
  for (let channel = 0; channel < count; channel++) {
    const values = data.subarray(channel * plane, (channel + 1) * plane);
    resize(values, columns!, rows!, scaled, width, height);
    const { low, high } = rangeOf(scaled);
    const left = (channel % across) * (width + gap);
    const top = Math.floor(channel / across) * (height + gap);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        pixels[(top + y) * image.width + left + x] = levelOf(scaled[y * width + x]!, low, high);
  }
  return { ...image, data: pixels };
}

/** Returns a tile that holds a number of values: one plane, as square as possible. */
function tileOf(values: number): readonly number[] {
  const columns = Math.ceil(Math.sqrt(values));
  return [1, Math.ceil(values / columns), columns];
}

/** Averages the values that each pixel covers; an enlarged pixel takes the value at its place. Absent values are NaN. */
function resize(
  values: Float32Array,
  columns: number,
  rows: number,
  scaled: Float32Array,
  width: number,
  height: number,
): void {
  for (let y = 0; y < height; y++) {
    const top = Math.floor((y * rows) / height);
    const bottom = Math.max(top + 1, Math.floor(((y + 1) * rows) / height));
    for (let x = 0; x < width; x++) {
      const left = Math.floor((x * columns) / width);
      const right = Math.max(left + 1, Math.floor(((x + 1) * columns) / width));
      let sum = 0;
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++)
          sum += values[row * columns + column] ?? Number.NaN;
      scaled[y * width + x] = sum / ((bottom - top) * (right - left));
    }
  }
}

function rangeOf(values: Float32Array): { readonly low: number; readonly high: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/** 1 … 255 */
function levelOf(value: number, low: number, high: number): number {
  if (!Number.isFinite(value) || high <= low) return 1;
  return 1 + Math.round((254 * (value - low)) / (high - low));
}
