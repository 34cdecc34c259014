// Reads the pixels of a BMP.
import { type BmpHeader, plain, readBmpHeader, rle4 } from "./bmp-header.js";
import { Damaged, type Raster } from "./raster.js";
import { ranges, type Slices, slice } from "./slices.js";

/** Writes one row of the file to `rgb` from `to`. */
type ReadRow = (from: number, to: number) => void;

/** Returns what reads a row of palette indices of 1, 2, 4 or 8 bits. */
function indexRow(bytes: Buffer, { bits, width, palette }: BmpHeader, rgb: Uint8Array): ReadRow {
  const last = 2 ** bits - 1;
  // The first pixel has the highest bits of a byte.
  const perByte = 8 / bits;
  return (from, start) => {
    for (let x = 0, to = start; x < width; ++x, to += 3) {
      const byte = bytes[from + Math.floor(x / perByte)]!;
      const index = (byte >> (8 - bits * ((x % perByte) + 1))) & last;
      rgb[to] = palette[3 * index]!;
      rgb[to + 1] = palette[3 * index + 1]!;
      rgb[to + 2] = palette[3 * index + 2]!;
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

/** Returns what reads a row of pixels of 16, 24 or 32 bits with any masks. A colour's highest value becomes 255. */
function maskedRow(bytes: Buffer, { bits, width, masks }: BmpHeader, rgb: Uint8Array): ReadRow {
  const size = bits / 8;
  const colours = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { mask, shift, most: Math.max(1, mask >>> shift) };
  });
  return (from, start) => {
    for (let x = 0, to = start, at = from; x < width; ++x, at += size) {
      const pixel = bytes.readUIntLE(at, size);
      for (const { mask, shift, most } of colours)
        rgb[to++] = Math.trunc((((pixel & mask) >>> shift) * 255) / most);
    }
  };
}

function* readRows(bytes: Buffer, header: BmpHeader): Slices<Uint8Array> {
  const { width, height, bits, from, isTopDown } = header;
  const stride = Math.ceil((width * bits) / 32) * 4;
  // The last row may lack its padding.
  const needed = from + (height - 1) * stride + Math.ceil((width * bits) / 8);
  if (bytes.length < needed)
    throw new Damaged(`its pixels need ${needed} bytes and it has ${bytes.length}`);
  const rgb = new Uint8Array(width * height * 3);
  const row =
    bits <= 8
      ? indexRow(bytes, header, rgb)
      : (byteRow(bytes, header, rgb) ?? maskedRow(bytes, header, rgb));
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

  /** Writes one pixel. What exceeds the row is dropped. */
  put(index: number): void {
    const { width, height, isTopDown, palette } = this.#header;
    const x = this.x++;
    if (x >= width || this.y >= height) return;
    const to = ((isTopDown ? this.y : height - 1 - this.y) * width + x) * 3;
    for (let channel = 0; channel < 3; ++channel)
      this.rgb[to + channel] = palette[3 * index + channel]!;
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
      for (let i = 0; i < count; ++i)
        cursor.put(isNibbles ? (i % 2 === 0 ? value >> 4 : value & 15) : value);
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
      for (let i = 0; i < value; ++i) {
        const byte = bytes[at + (isNibbles ? i >> 1 : i)]!;
        cursor.put(isNibbles ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte);
      }
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
