// Reads the pixels of a BMP.
import { type BmpHeader, plain, readBmpHeader, rle4 } from "./bmp-header.js";
import { Damaged, type Raster } from "./raster.js";
import { ranges, type Slices, slice } from "./slices.js";

type ColourOf = (pixel: number) => number;

/** Writes one row of the file to `rgb` from `to`. */
type ReadRow = (from: number, to: number) => void;

/** Returns what reads a row of palette indices of 1, 2, 4 or 8 bits. */
function indexRow(bytes: Buffer, { bits, width, palette }: BmpHeader, rgb: Uint8Array): ReadRow {
  // The first pixel has the highest bits of a byte.
  const places = 8 / bits - 1;
  const shift = Math.log2(8 / bits);
  const last = 2 ** bits - 1;
  return (from, start) => {
    for (let x = 0, to = start; x < width; ++x, to += 3) {
      const byte = bytes[from + (x >> shift)]!;
      const index = 3 * ((byte >> (bits * (places - (x & places)))) & last);
      rgb[to] = palette[index]!;
      rgb[to + 1] = palette[index + 1]!;
      rgb[to + 2] = palette[index + 2]!;
    }
  };
}

/** Returns what reads a row whose colours are whole bytes, or undefined if they are not. */
function byteRow(
  bytes: Buffer,
  { bits, width, masks }: BmpHeader,
  rgb: Uint8Array,
): ReadRow | undefined {
  const places = masks.map((mask) => [0xff, 0xff00, 0xff0000, 0xff000000].indexOf(mask));
  if (bits < 24 || places.includes(-1)) return undefined;
  const [red, green, blue] = places as [number, number, number];
  const step = bits / 8;
  return (from, start) => {
    for (let x = 0, to = start, at = from; x < width; ++x, to += 3, at += step) {
      rgb[to] = bytes[at + red]!;
      rgb[to + 1] = bytes[at + green]!;
      rgb[to + 2] = bytes[at + blue]!;
    }
  };
}

/** Returns what takes a colour out of a pixel. Its highest value becomes 255. */
function colourBy(mask: number): ColourOf {
  const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
  const most = Math.max(1, mask >>> shift);
  return (pixel) => Math.trunc((((pixel & mask) >>> shift) * 255) / most);
}

/** Returns what reads a row of pixels of 24 or 32 bits with any masks. */
function maskedRow(bytes: Buffer, { bits, width, masks }: BmpHeader, rgb: Uint8Array): ReadRow {
  const size = bits / 8;
  const [red, green, blue] = masks.map(colourBy) as [ColourOf, ColourOf, ColourOf];
  return (from, start) => {
    for (let x = 0, to = start, at = from; x < width; ++x, at += size, to += 3) {
      const pixel = bytes.readUIntLE(at, size);
      rgb[to] = red(pixel);
      rgb[to + 1] = green(pixel);
      rgb[to + 2] = blue(pixel);
    }
  };
}

/** Returns what reads a row of pixels of 16 bits, by a table of their colours. */
function shortRow(bytes: Buffer, { width, masks }: BmpHeader, rgb: Uint8Array): ReadRow {
  const [red, green, blue] = masks.map((mask) => {
    const colour = colourBy(mask);
    const table = new Uint8Array(65_536);
    for (let pixel = 0; pixel < table.length; ++pixel) table[pixel] = colour(pixel);
    return table;
  }) as [Uint8Array, Uint8Array, Uint8Array];
  return (from, start) => {
    for (let x = 0, to = start, at = from; x < width; ++x, at += 2, to += 3) {
      const pixel = bytes[at]! | (bytes[at + 1]! << 8);
      rgb[to] = red[pixel]!;
      rgb[to + 1] = green[pixel]!;
      rgb[to + 2] = blue[pixel]!;
    }
  };
}

/** Returns what reads a row of the file to `rgb`. */
function rowOf(bytes: Buffer, header: BmpHeader, rgb: Uint8Array): ReadRow {
  if (header.bits <= 8) return indexRow(bytes, header, rgb);
  if (header.bits === 16) return shortRow(bytes, header, rgb);
  return byteRow(bytes, header, rgb) ?? maskedRow(bytes, header, rgb);
}

function* readRows(bytes: Buffer, header: BmpHeader): Slices<Uint8Array> {
  const { width, height, bits, from, isTopDown } = header;
  const stride = Math.ceil((width * bits) / 32) * 4;
  // The last row may lack its padding.
  const needed = from + (height - 1) * stride + Math.ceil((width * bits) / 8);
  if (bytes.length < needed)
    throw new Damaged(`its pixels need ${needed} bytes and it has ${bytes.length}`);
  const rgb = new Uint8Array(width * height * 3);
  const row = rowOf(bytes, header, rgb);
  const each = (begin: number, end: number) => {
    for (let y = begin; y < end; ++y)
      row(from + y * stride, (isTopDown ? y : height - 1 - y) * width * 3);
  };
  yield* ranges(height, each, Math.ceil(slice / width));
  return rgb;
}

/** A place among the pixels, in the order of the file, and what writes there. */
class Cursor {
  readonly #header: BmpHeader;
  readonly rgb: Uint8Array;
  x = 0;
  y = 0;

  constructor(header: BmpHeader) {
    this.#header = header;
    this.rgb = new Uint8Array(header.width * header.height * 3);
  }

  get isAtEnd(): boolean {
    const { width, height } = this.#header;
    return this.y >= height || (this.y === height - 1 && this.x >= width);
  }

  /** Writes `count` pixels. What exceeds the row is dropped. */
  put(count: number, indexOf: (i: number) => number): void {
    const { width, height, isTopDown, palette } = this.#header;
    const room = this.y < height ? Math.min(count, width - this.x) : 0;
    const row = isTopDown ? this.y : height - 1 - this.y;
    for (let i = 0, to = (row * width + this.x) * 3; i < room; ++i, to += 3) {
      const index = 3 * indexOf(i);
      this.rgb[to] = palette[index]!;
      this.rgb[to + 1] = palette[index + 1]!;
      this.rgb[to + 2] = palette[index + 2]!;
    }
    this.x += count;
  }
}

/** Reads runs. Pixels that the file skips have the palette's first colour. */
function* readRuns(bytes: Buffer, header: BmpHeader): Slices<Uint8Array> {
  const isNibbles = header.compression === rle4;
  const cursor = new Cursor(header);
  const { rgb } = cursor;
  const first = header.palette.subarray(0, 3);
  if (first.some((value) => value !== 0)) yield* ranges(rgb.length, (from, to) => fill(from, to));
  function fill(from: number, to: number): void {
    for (let i = from; i < to; ++i) rgb[i] = first[i % 3]!;
  }
  let codes = 0;
  let at = header.from;
  while (!cursor.isAtEnd) {
    if (++codes % 1024 === 0) yield;
    if (at + 2 > bytes.length) throw new Damaged("its runs end before its last pixel");
    const count = bytes[at]!;
    const value = bytes[at + 1]!;
    at += 2;
    if (count > 0) {
      const [high, low] = [value >> 4, value & 15];
      cursor.put(count, isNibbles ? (i) => ((i & 1) === 0 ? high : low) : () => value);
    } else if (value === 0) {
      cursor.x = 0;
      ++cursor.y;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      if (at + 2 > bytes.length) throw new Damaged("its runs end before its last pixel");
      cursor.x += bytes[at]!;
      cursor.y += bytes[at + 1]!;
      at += 2;
    } else {
      const length = isNibbles ? Math.ceil(value / 2) : value;
      if (at + length > bytes.length) throw new Damaged("its runs end before its last pixel");
      const start = at;
      const nibble = (i: number) => (bytes[start + (i >> 1)]! >> ((i & 1) === 0 ? 4 : 0)) & 15;
      cursor.put(value, isNibbles ? nibble : (i) => bytes[start + i]!);
      // Such pixels end at an even place.
      at += length + (length % 2);
    }
  }
  return rgb;
}

/** Reads the header. @throws {Damaged} @throws {Unsupported} */
export function openBmp(bytes: Buffer): Raster {
  const header = readBmpHeader(bytes);
  return {
    width: header.width,
    height: header.height,
    read: () =>
      (header.compression === plain || header.bits >= 16 ? readRows : readRuns)(bytes, header),
  };
}
