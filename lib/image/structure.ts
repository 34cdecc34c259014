// Reduces a file to the parts that its first image needs, and rejects it if decoding costs more than its pixels justify.
import { imageError } from "./errors.js";
import type { ImageFormat } from "./format.js";
import { codedPixelsOf } from "./structure/avif.js";
import { cutGif } from "./structure/gif.js";
import { checkJpeg } from "./structure/jpeg.js";
import { ExcessiveWork } from "./structure/pieces.js";
import { cutPng } from "./structure/png.js";
import { cutTiff } from "./structure/tiff.js";
import { cutWebp } from "./structure/webp.js";

const readers: Readonly<Record<ImageFormat, (bytes: Buffer) => Buffer>> = {
  JPEG: checkJpeg,
  PNG: cutPng,
  GIF: cutGif,
  WebP: cutWebp,
  TIFF: cutTiff,
  AVIF: (bytes) => bytes,
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
 * Returns a file of the same format with only the first image.
 * @param bytes may be changed
 * @throws {VggError} IMAGE_LIMIT
 */
export function firstImageOf(bytes: Uint8Array, format: ImageFormat, name: string): Buffer {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return limited(name, () => readers[format](buffer));
}

/**
 * Checks an AVIF's tiles. A decoder decodes each whole tile, whether or not all of it is used, at 30 ms a megapixel.
 * @throws {VggError} IMAGE_LIMIT
 */
export function checkTiles(image: Buffer, format: ImageFormat, pixels: number, name: string): void {
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
