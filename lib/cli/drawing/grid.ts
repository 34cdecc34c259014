// Draws feature maps and filters as a grid of tiles. Each tile has its own scale from black to white.
import { rangeError } from "../../check.js";
import type { Drawing } from "./png.js";

/** One map or filter: `planes` values per pixel, plane after plane. */
export interface Tile {
  readonly width: number;
  readonly height: number;
  /** 3: red, green and blue. 1: grey. */
  readonly planes: 1 | 3;
  readonly data: Float32Array;
}

/** Pixels between tiles, and their colour. */
const gap = 2;
const background = [30, 50, 90] as const;
/** Smaller tiles are enlarged, each pixel by a whole factor. */
const leastSide = 48;
/** 16,384 rows of as many pixels would take 805 MB. A viewer opens less. */
export const maxPixels = 2 ** 26;

/** Returns the least and the greatest finite value. */
function rangeOf(data: Float32Array): { low: number; high: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of data) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { low, high };
}

/** Draws a tile enlarged to `width` × `height` at a place of the drawing. */
function draw(
  { data, width: drawn }: Drawing,
  tile: Tile,
  left: number,
  top: number,
  width: number,
  height: number,
): void {
  const { low, high } = rangeOf(tile.data);
  const plane = tile.width * tile.height;
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * tile.height) / height) * tile.width;
    for (let x = 0; x < width; x++) {
      const from = row + Math.floor((x * tile.width) / width);
      const to = ((top + y) * drawn + left + x) * 3;
      for (let c = 0; c < 3; c++) {
        const value = tile.data[from + (tile.planes === 3 ? c * plane : 0)]!;
        // A tile with one value, and what is not finite, is black.
        data[to + c] = high > low ? (255 * (value - low)) / (high - low) : 0;
      }
    }
  }
}

/** The grid, and its layout. */
export interface Grid extends Drawing {
  readonly columns: number;
}

/**
 * Draws cells of equal size in rows, as square as possible. The tiles of a cell stand side by side, each as high as the
 * first one.
 * @throws {RangeError} the grid would have more than 2^26 pixels
 */
export function drawGrid(cells: readonly (readonly Tile[])[], flag: string): Grid {
  const [first] = cells[0]!;
  const factor = Math.max(1, Math.ceil(leastSide / Math.max(first!.width, first!.height)));
  const height = first!.height * factor;
  const widths = cells[0]!.map((tile) => Math.round((tile.width * height) / tile.height));
  const cellWidth = widths.reduce((sum, width) => sum + width, 0) + gap;
  const cellHeight = height + gap;
  const aspect = cellHeight / cellWidth;
  const columns = Math.min(cells.length, Math.ceil(Math.sqrt(cells.length * aspect)));
  const rows = Math.ceil(cells.length / columns);
  const width = columns * cellWidth + gap;
  const total = rows * cellHeight + gap;
  if (width * total > maxPixels) {
    const fit = Math.max(1, Math.floor(maxPixels / (cellWidth * cellHeight)));
    throw rangeError(`at most ${fit} tiles of ${widths[0]} × ${height}`, flag, cells.length);
  }
  const data = new Uint8Array(width * total * 3);
  for (let i = 0; i < data.length; i++) data[i] = background[i % 3]!;
  const grid: Grid = { width, height: total, data, columns };
  for (const [index, cell] of cells.entries()) {
    let left = gap + (index % columns) * cellWidth;
    const top = gap + Math.floor(index / columns) * cellHeight;
    for (const [place, tile] of cell.entries()) {
      draw(grid, tile, left, top, widths[place]!, height);
      left += widths[place]!;
    }
  }
  return grid;
}
