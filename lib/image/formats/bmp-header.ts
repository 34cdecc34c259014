// Reads the header, the masks and the palette of a BMP: Windows's of all versions, and OS/2's.
import { Damaged, Unsupported } from "./raster.js";

/** Compression, by its number in the file. */
export const plain = 0;
export const rle8 = 1;
export const rle4 = 2;
const bitfields = 3;
const alphaBitfields = 6;

/** Sizes of the header after the file's first 14 bytes. They tell the version. */
export const headerSizes: readonly number[] = [12, 16, 40, 52, 56, 64, 108, 124];

export interface BmpHeader {
  readonly width: number;
  readonly height: number;
  /** Whether the first row of the file is the upper one. */
  readonly isTopDown: boolean;
  /** Bits per pixel: 1, 2, 4, 8, 16, 24 or 32. */
  readonly bits: number;
  readonly compression: number;
  /** Where the pixels begin. */
  readonly from: number;
  /** 256 colours, red first, of up to 8 bits per pixel. Those that the file lacks are black. */
  readonly palette: Uint8Array;
  /** Masks of red, green and blue within a pixel of 16 bits or more. */
  readonly masks: readonly [red: number, green: number, blue: number];
}

const usualMasks = (bits: number) =>
  bits === 16 ? ([0x7c00, 0x3e0, 0x1f] as const) : ([0xff0000, 0xff00, 0xff] as const);

function checkKind(bits: number, compression: number, size: number): void {
  const isRle = compression === rle8 || compression === rle4;
  const hasMasks = compression === bitfields || compression === alphaBitfields;
  if (compression !== plain && !isRle && (!hasMasks || size === 64))
    throw new Unsupported(`is a BMP of compression ${compression}`);
  if (![1, 2, 4, 8, 16, 24, 32].includes(bits))
    throw new Unsupported(`is a BMP of ${bits} bits per pixel`);
  const fits = isRle ? bits === (compression === rle8 ? 8 : 4) : !hasMasks || bits >= 16;
  if (!fits) throw new Damaged(`it has ${bits} bits per pixel in compression ${compression}`);
}

function readMasks(bytes: Buffer, size: number, bits: number, compression: number) {
  if (compression !== bitfields && compression !== alphaBitfields) return usualMasks(bits);
  if (bytes.length < 66) throw new Damaged("it ends before its masks");
  // They are a part of the header, or follow a header of version 3: the same place.
  const masks = [54, 58, 62].map((at) => bytes.readUInt32LE(at)) as [number, number, number];
  const isEmpty = masks.every((mask) => mask === 0);
  if (isEmpty && size >= 40) return usualMasks(bits);
  return masks;
}

function readPalette(bytes: Buffer, from: number, entry: 3 | 4, colours: number): Uint8Array {
  const palette = new Uint8Array(3 * 256);
  const count = Math.min(colours, 256, Math.floor((bytes.length - from) / entry));
  for (let i = 0; i < count; ++i) {
    for (let channel = 0; channel < 3; ++channel)
      palette[3 * i + channel] = bytes[from + i * entry + 2 - channel]!;
  }
  return palette;
}

/** Reads the header. @throws {Damaged} @throws {Unsupported} */
export function readBmpHeader(bytes: Buffer): BmpHeader {
  const size = bytes.readUInt32LE(14);
  if (bytes.length < 14 + size) throw new Damaged("it ends within its header");
  const isCore = size === 12;
  const width = isCore ? bytes.readUInt16LE(18) : bytes.readInt32LE(18);
  const signed = isCore ? bytes.readUInt16LE(20) : bytes.readInt32LE(22);
  const bits = bytes.readUInt16LE(isCore ? 24 : 28);
  const isLong = size >= 40;
  const compression = isLong ? bytes.readUInt32LE(30) : plain;
  checkKind(bits, compression, size);
  if (width <= 0 || signed === 0) throw new Damaged(`it has ${width} × ${signed} pixels`);
  const isIndexed = bits <= 8;
  const colours = ((isLong && bytes.readUInt32LE(46)) || 2 ** Math.min(bits, 8)) as number;
  const hasMasksBehind = size === 40 && compression === bitfields;
  const hasAlphaMask = size === 40 && compression === alphaBitfields;
  const afterHeader = 14 + size + (hasMasksBehind ? 12 : 0) + (hasAlphaMask ? 16 : 0);
  const given = bytes.readUInt32LE(10);
  const entry = isCore ? 3 : 4;
  const paletteBytes = isIndexed ? entry * colours : 0;
  // Some files leave the palette out of the offset, or have no offset.
  const isOffsetWrong = given === 0 || (isIndexed && given === 14 + size);
  return {
    width,
    height: Math.abs(signed),
    isTopDown: signed < 0,
    bits,
    compression,
    from: isOffsetWrong ? afterHeader + paletteBytes : given,
    palette: isIndexed ? readPalette(bytes, afterHeader, entry, colours) : new Uint8Array(),
    masks: readMasks(bytes, size, bits, compression),
  };
}
