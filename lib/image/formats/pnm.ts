// Reads PBM, PGM and PPM (Netpbm's P1 to P6), plain and binary, as PIL does.
import { roundHalfEven } from "../round.js";
import { greyToRgb } from "./convert.js";
import { Damaged, type Raster } from "./raster.js";
import { ranges, type Slices, slice } from "./slices.js";

const newline = 0x0a;
const carriage = 0x0d;
const hash = 0x23;
const zero = 0x30;
const nine = 0x39;
const isSpace = (byte: number) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

/** Digits of a number in the file, as PIL limits them. */
const maxDigits = 10;

/** Bytes of a header with its comments. */
const maxHeader = 1_000_000;

interface Header {
  readonly isPlain: boolean;
  readonly channels: 1 | 3;
  /** 1 in a bitmap. */
  readonly maxval: number;
  readonly isBitmap: boolean;
  readonly width: number;
  readonly height: number;
  /** Where the samples begin. */
  readonly from: number;
}

/** Reads a number of the header and the byte after it. */
function readNumber(bytes: Uint8Array, from: number, what: string): [value: number, next: number] {
  let value = 0;
  let digits = 0;
  const end = Math.min(bytes.length, maxHeader);
  for (let at = from; at < end; ++at) {
    const byte = bytes[at]!;
    if (byte === hash) {
      while (at < end && bytes[at] !== newline && bytes[at] !== carriage) ++at;
      if (digits > 0) return [value, at + 1];
    } else if (isSpace(byte)) {
      if (digits > 0) return [value, at + 1];
    } else if (byte < zero || byte > nine || ++digits > maxDigits) {
      throw new Damaged(`its ${what} is no number of at most ${maxDigits} digits`);
    } else value = value * 10 + byte - zero;
  }
  if (digits === 0) throw new Damaged(`it has no ${what} in its first ${end} bytes`);
  return [value, end];
}

function readHeader(bytes: Uint8Array): Header {
  const kind = bytes[1]! - zero;
  const isBitmap = kind === 1 || kind === 4;
  const [width, afterWidth] = readNumber(bytes, 2, "width");
  const [height, afterHeight] = readNumber(bytes, afterWidth, "height");
  if (width === 0 || height === 0) throw new Damaged(`it has ${width} × ${height} pixels`);
  const [maxval, from] = isBitmap ? [1, afterHeight] : readNumber(bytes, afterHeight, "maximum");
  if (maxval === 0 || maxval > 65_535) throw new Damaged(`its maximum is ${maxval}`);
  const channels = kind === 3 || kind === 6 ? 3 : 1;
  return { isPlain: kind < 4, channels, maxval, isBitmap, width, height, from };
}

/**
 * The 8-bit value of each sample. PIL opens grey of more than 8 bits as integers up to 65,535, and its convert("RGB")
 * makes all from 255 on white.
 */
function levelsOf({ maxval, channels }: Header): Uint8Array {
  const most = channels === 1 && maxval > 255 ? 65_535 : 255;
  return Uint8Array.from({ length: maxval > 255 ? 65_536 : 256 }, (_, sample) =>
    Math.min(255, roundHalfEven((sample / maxval) * most)),
  );
}

/** Reads (height, rows of whole bytes) of bits. 1 is black. */
function* readBits(bytes: Uint8Array, { width, height, from }: Header): Slices<Uint8Array> {
  const stride = (width + 7) >> 3;
  checkLength(bytes, from + stride * height);
  const grey = new Uint8Array(width * height);
  const row = (y: number) => {
    const start = from + y * stride;
    for (let x = 0, to = y * width; x < width; ++x, ++to)
      grey[to] = (bytes[start + (x >> 3)]! >> (7 - (x & 7))) & 1 ? 0 : 255;
  };
  const each = (begin: number, end: number) => {
    for (let y = begin; y < end; ++y) row(y);
  };
  yield* ranges(height, each, Math.ceil(slice / width));
  return grey;
}

function checkLength(bytes: Uint8Array, needed: number): void {
  if (bytes.length >= needed) return;
  throw new Damaged(`its samples need ${needed} bytes and it has ${bytes.length}`);
}

function* readBinary(bytes: Uint8Array, header: Header): Slices<Uint8Array> {
  const { channels, maxval, width, height, from } = header;
  const count = width * height * channels;
  const size = maxval > 255 ? 2 : 1;
  checkLength(bytes, from + count * size);
  if (maxval === 255) return bytes.subarray(from, from + count);
  const levels = levelsOf(header);
  const samples = new Uint8Array(count);
  yield* ranges(count, (begin, end) => {
    if (size === 1) for (let i = begin; i < end; ++i) samples[i] = levels[bytes[from + i]!]!;
    else
      for (let i = begin, at = from + 2 * begin; i < end; ++i, at += 2)
        samples[i] = levels[bytes[at]! * 256 + bytes[at + 1]!]!;
  });
  return samples;
}

/** Reads samples in decimal digits. In a bitmap each digit is one sample, and white space is optional. */
function* readPlain(bytes: Uint8Array, header: Header): Slices<Uint8Array> {
  const { channels, maxval, isBitmap, width, height, from } = header;
  const count = width * height * channels;
  // A bitmap's sample has at least a digit, another one also white space, but the last.
  checkLength(bytes, from + (isBitmap ? count : 2 * count - 1));
  const levels = isBitmap ? Uint8Array.of(255, 0) : levelsOf(header);
  const samples = new Uint8Array(count);
  let at = from;
  for (let i = 0; i < count; ++i) {
    let value = 0;
    let digits = 0;
    for (; at < bytes.length; ++at) {
      // White space and comments may be long.
      if (at % slice === 0) yield;
      const byte = bytes[at]!;
      if (byte === hash) {
        while (at < bytes.length && bytes[at] !== newline && bytes[at] !== carriage)
          if (++at % slice === 0) yield;
        if (digits > 0) break;
      } else if (isSpace(byte)) {
        if (digits > 0) break;
      } else if (byte < zero || byte > nine || ++digits > maxDigits) {
        throw new Damaged(`its sample ${i} is no number of at most ${maxDigits} digits`);
      } else {
        value = value * 10 + byte - zero;
        if (isBitmap) break;
      }
    }
    if (digits === 0) throw new Damaged(`it has ${i} samples of ${count}`);
    if (value > maxval) throw new Damaged(`its sample ${i} is ${value}, above ${maxval}`);
    samples[i] = levels[value]!;
    ++at;
  }
  return samples;
}

/** Reads the header. @throws {Damaged} */
export function openPnm(bytes: Uint8Array): Raster {
  const header = readHeader(bytes);
  return {
    width: header.width,
    height: header.height,
    *read() {
      const read = header.isPlain ? readPlain : header.isBitmap ? readBits : readBinary;
      const samples = yield* read(bytes, header);
      return header.channels === 3 ? samples : yield* greyToRgb(samples);
    },
  };
}
