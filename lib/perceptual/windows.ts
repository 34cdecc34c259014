// Cuts a large image into windows that are computed one at a time, so that memory does not grow with the image.

/**
 * The halo of a window in pixels. VGG16's convolutions up to relu5_3 reach 96 pixels, so pixels at
 * least this far from a cut have the same features as in the whole image.
 */
const halo = 96;
/** Four pools of 2 × 2 lie before relu5_3. Windows begin at multiples of this, so that pools divide them equally. */
export const alignment = 16;

/** One window along one axis, in pixels. */
export interface Span {
  /** Where the window begins. */
  readonly start: number;
  /** The part whose features are exact: [from, to). All spans' parts together are the axis, without overlap. */
  readonly from: number;
  readonly to: number;
}

/** The windows along one axis. All have the same extent. */
export interface Axis {
  readonly length: number;
  readonly extent: number;
  readonly spans: readonly Span[];
}

/** The windows of an image: each span of its rows with each span of its columns. */
export interface Windows {
  readonly rows: Axis;
  readonly columns: Axis;
}

const alignDown = (pixels: number) => Math.floor(pixels / alignment) * alignment;
const alignUp = (pixels: number) => Math.ceil(pixels / alignment) * alignment;

/** An extent that some number of windows reaches on any axis. */
const leastExtent = 2 * halo + 2 * alignment;

/** Returns the least extent of `count` windows of an axis. */
function extentOf(length: number, count: number): number {
  if (count === 1) return length;
  // The last window ends where the image ends, so all extents have the same rest.
  const rest = length % alignment;
  const smallest = (length + (count - 1) * 2 * halo) / count;
  for (let extent = rest + alignUp(smallest - rest); extent < length; extent += alignment) {
    const step = alignUp((length - extent) / (count - 1));
    if (step <= alignDown(extent) - 2 * halo) return extent;
  }
  return length;
}

function axisOf(length: number, count: number): Axis {
  const extent = extentOf(length, count);
  const start = (index: number) =>
    index === 0 ? 0 : alignDown(((length - extent) * index) / (count - 1));
  const spans = Array.from({ length: count }, (_, index) => ({
    start: start(index),
    from: index === 0 ? 0 : start(index) + halo,
    to: index === count - 1 ? length : start(index + 1) + halo,
  }));
  return { length, extent, spans };
}

/**
 * Returns the windows of an image that together have the fewest pixels: the image itself if it has at most `maxPixels`,
 * else windows of at most `maxPixels` each.
 * @param maxPixels at least 2^17: a window has its halo on both sides
 */
export function windowsOf(height: number, width: number, maxPixels: number): Windows {
  let best = { rows: 1, columns: 1 };
  let least = Number.POSITIVE_INFINITY;
  for (let rows = 1; ; rows++) {
    const tall = extentOf(height, rows);
    if (tall * Math.min(width, leastExtent) <= maxPixels) {
      let columns = 1;
      let wide = width;
      while (tall * wide > maxPixels) wide = extentOf(width, ++columns);
      const pixels = tall * wide * rows * columns;
      if (pixels < least) {
        least = pixels;
        best = { rows, columns };
      }
      if (columns === 1) break; // more rows of windows have more halos
    }
    if (tall <= leastExtent) break;
  }
  return { rows: axisOf(height, best.rows), columns: axisOf(width, best.columns) };
}
