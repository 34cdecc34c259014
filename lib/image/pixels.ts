// Decoded images: their form, and the limits of their size.
import { onCommandLine } from "../errors.js";
import { imageError } from "./errors.js";
import type { RawPixels } from "./objects.js";

/**
 * 8-bit pixels. `data` is (height, width, 3), red first, in rows without gaps. The pixels have the file's order, which
 * is (width, height, 3) from orientation 5 on.
 */
export interface Pixels {
  /** The size of the upright image, in pixels. */
  readonly width: number;
  readonly height: number;
  /** The EXIF orientation, 1 to 8. 1 means upright. */
  readonly orientation: number;
  readonly data: Uint8Array;
}

/** A copy of pixels that the caller decoded. */
export interface OwnPixels extends RawPixels {
  readonly data: Uint8Array;
}

/** An image whose header was read. */
export interface OpenedImage {
  /** Estimate of the memory that decoding takes, with the pixels. */
  readonly peakBytes: number;
  /** The size in the file's order, in pixels. */
  readonly width: number;
  readonly height: number;
  /**
   * Decodes the first frame or page as PIL's convert("RGB") does: alpha is dropped, grey and palettes are expanded,
   * colour profiles are ignored, CMYK becomes (255 - c)(255 - k) / 255. Grey of 16 bits is white from 255 on; other
   * 16-bit samples keep their high byte.
   *
   * @param timeoutMs stops decoders that decode row by row; others run to their end
   * @throws {VggError} IMAGE_FORMAT, IMAGE_CORRUPT, OUT_OF_MEMORY
   */
  decode(timeoutMs?: number): Promise<Pixels>;
}

/**
 * The limit of JPEG. Besides its pixels, each row costs a decoder 0.5 µs, and each column costs memory in the rows that
 * libvips holds.
 */
export const maxSide = 65_535;

/** @throws {VggError} IMAGE_TOO_LARGE, IMAGE_LIMIT */
export function checkSize(width: number, height: number, name: string, maxPixels: number): void {
  if (width * height > maxPixels) {
    const message = `Expected at most ${maxPixels} pixels but it has ${width} × ${height}`;
    const error = imageError(name, "IMAGE_TOO_LARGE", `${message}; maxPixels sets the limit`);
    throw onCommandLine(error, `${name}: ${message}; --max-pixels sets the limit`);
  }
  if (Math.max(width, height) > maxSide) {
    const message = `Expected sides of at most ${maxSide} pixels but it has ${width} × ${height}`;
    throw imageError(name, "IMAGE_LIMIT", message);
  }
}
