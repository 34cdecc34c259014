// Reduces a file to the parts that its first image needs, and rejects it if decoding costs more than its pixels justify.
import { imageError } from "./errors.js";
import type { DecodedFormat } from "./format.js";
import { codedPixelsOf } from "./structure/avif.js";
import { cutGif, type Frame } from "./structure/gif.js";
import { checkJpeg } from "./structure/jpeg.js";
import { ExcessiveWork } from "./structure/pieces.js";
import { cutPng } from "./structure/png.js";
import { cutTiff, declarePlainAlpha } from "./structure/tiff.js";
import { cutWebp } from "./structure/webp.js";

/** A file of the same format with only the first image, and what its decoder does not tell. */
export interface FirstImage {
  readonly image: Buffer;
  /** The frame of a GIF, if it does not cover the canvas. */
  readonly frame: Frame | undefined;
  /** Whether colours were multiplied with alpha, and the decoder does not know it. */
  readonly isMultiplied: boolean;
}

const whole = (image: Buffer): FirstImage => ({
  image,
  frame: undefined,
  isMultiplied: false,
});

const readers: Readonly<Record<DecodedFormat, (bytes: Buffer) => FirstImage>> = {
  JPEG: (bytes) => whole(checkJpeg(bytes)),
  PNG: (bytes) => whole(cutPng(bytes)),
  GIF: (bytes) => ({ ...whole(bytes), ...cutGif(bytes) }),
  WebP: (bytes) => whole(cutWebp(bytes)),
  TIFF: (bytes) => ({ ...whole(cutTiff(bytes)), isMultiplied: declarePlainAlpha(bytes) }),
  AVIF: whole,
};

function limited<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ExcessiveWork) throw imageError(name, "IMAGE_LIMIT", error.message);
    throw error;
  }
}

/**
 * Reduces a file to its first image.
 * @param bytes may be changed
 * @throws {VggError} IMAGE_LIMIT
 */
export function firstImageOf(bytes: Uint8Array, format: DecodedFormat, name: string): FirstImage {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return limited(name, () => readers[format](buffer));
}

/**
 * Checks an AVIF's tiles. A decoder decodes each whole tile, whether or not all of it is used, at 30 ms a megapixel.
 * @throws {VggError} IMAGE_LIMIT
 */
export function checkTiles(
  image: Buffer,
  format: DecodedFormat,
  pixels: number,
  name: string,
): void {
  if (format !== "AVIF") return;
  const most = 3 * pixels + 4_000_000;
  limited(name, () => {
    const coded = codedPixelsOf(image);
    if (coded > most) {
      const expected = `tiles of at most ${most} pixels for an image of ${pixels}`;
      throw new ExcessiveWork(expected, `${coded}`);
    }
  });
}
