// Decodes an image to 8-bit RGB pixels with sharp (libvips).
import type { Metadata, Sharp, SharpOptions } from "sharp";
import { bare, optionOf } from "../check.js";
import { VggError } from "../errors.js";
import { imageError, reasonOfDecoder } from "./errors.js";
import { describeFormat, formatOf, type ImageFormat } from "./format.js";
import { checkTiles, firstImageOf } from "./structure.js";

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

type MakeSharp = (input: Uint8Array, options: SharpOptions) => Sharp;

/** Loads sharp on first use: most of this package needs no decoder. */
async function loadSharp(): Promise<MakeSharp> {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    throw new VggError(
      "ADDON_MISSING",
      `Expected the package sharp, which decodes images, but it could not be loaded: ${(cause as Error).message}`,
      { cause },
    );
  }
}

// sharp.block() would disable libvips's other loaders too, but in the whole process, also for the caller's use of sharp.
function checkFormat(bytes: Uint8Array, name: string): ImageFormat {
  const format = formatOf(bytes);
  if (format !== null) return format;
  throw imageError(
    name,
    "IMAGE_FORMAT",
    `Expected a JPEG, PNG, WebP, GIF, TIFF or AVIF image but ${describeFormat(bytes)}`,
  );
}

/**
 * The limit of JPEG. Besides its pixels, each row costs a decoder 0.5 µs, and each column costs memory in the rows that
 * libvips holds.
 */
export const maxSide = 65_535;

function checkSize(width: number, height: number, name: string, maxPixels: number): void {
  const refuse = (code: "IMAGE_TOO_LARGE" | "IMAGE_LIMIT", expected: string) => {
    throw imageError(name, code, `Expected ${expected} but it has ${width} × ${height}`);
  };
  if (width * height > maxPixels) refuse("IMAGE_TOO_LARGE", `at most ${maxPixels} pixels`);
  if (Math.max(width, height) > maxSide)
    refuse("IMAGE_LIMIT", `sides of at most ${maxSide} pixels`);
}

/** A decoder's peak memory in bytes per pixel, with the 3 of the result. Measured with libvips 8.18. */
const bytesPerPixel: Readonly<Record<ImageFormat, number>> = {
  JPEG: 4,
  PNG: 4,
  WebP: 10,
  GIF: 8,
  TIFF: 6,
  AVIF: 16,
};
/** Additional bytes per pixel: coefficients of a progressive JPEG, rows of an interlaced PNG. */
const progressiveBytesPerPixel = 6;
/** Rows that libvips holds between its steps, and bytes per pixel of these. Measured with libvips 8.18. */
const heldRows = 512;
const heldBytesPerPixel = 4;

/** Returns the EXIF orientation, 1 to 8; any other value counts as 1. */
function orientationOf(header: Metadata): number {
  const orientation = optionOf(header, "orientation") ?? 1;
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
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
   * colour profiles are ignored. 16-bit samples keep their high byte (PIL clips). CMYK is converted with libvips's
   * profile (PIL computes (255 - c)(255 - k) / 255).
   *
   * @param timeoutMs stops decoders that decode row by row; others run to their end
   * @throws {VggError} IMAGE_FORMAT, IMAGE_CORRUPT, OUT_OF_MEMORY
   */
  decode(timeoutMs?: number): Promise<Pixels>;
}

/**
 * Reads an image's header and checks its size.
 * @param bytes owned by this package: changed here, and read by another thread until the promises settle
 * @throws {VggError} IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_LIMIT, IMAGE_TOO_LARGE, OUT_OF_MEMORY, ADDON_MISSING
 */
export async function openImage(
  bytes: Uint8Array,
  name: string,
  maxPixels: number,
): Promise<OpenedImage> {
  const format = checkFormat(bytes, name);
  const image = firstImageOf(bytes, format, name);
  const makeSharp = await loadSharp();
  const options: SharpOptions = bare({
    limitInputPixels: false,
    ignoreIcc: true,
    // libjpeg reports damaged data as a warning, and only some of it. Other decoders warn about files that PIL accepts.
    failOn: format === "JPEG" ? "warning" : "error",
  });
  const decoded = <T>(promise: Promise<T>) =>
    promise.catch((error: Error) => {
      const { code, reason } = reasonOfDecoder(error.message);
      const needed = code === "IMAGE_CORRUPT" ? `a whole ${format} image` : "memory and threads";
      throw imageError(name, code, `Expected ${needed} but received ${reason}`, error);
    });
  const header = await decoded(makeSharp(image, options).metadata());
  const { width, height } = header;
  checkSize(width, height, name, maxPixels);
  const pixels = width * height;
  checkTiles(image, format, pixels, name);
  if (header.depth !== "uchar" && header.depth !== "ushort") {
    throw imageError(
      name,
      "IMAGE_FORMAT",
      `Expected at most 16 bits for each sample but its samples are ${header.depth}`,
    );
  }
  const orientation = orientationOf(header);
  const perPixel = bytesPerPixel[format] + (header.isProgressive ? progressiveBytesPerPixel : 0);
  return {
    width,
    height,
    peakBytes: pixels * perPixel + width * Math.min(height, heldRows) * heldBytesPerPixel,
    decode: async (timeoutMs) => {
      const pipeline = makeSharp(image, options).removeAlpha().toColourspace("srgb").raw();
      if (timeoutMs !== undefined) {
        // sharp takes at most an hour.
        const seconds = Math.min(Math.ceil(timeoutMs / 1000), 3600);
        pipeline.timeout(bare({ seconds }));
      }
      const { data, info } = await decoded(
        pipeline.toBuffer(bare({ resolveWithObject: true as const })),
      );
      if (info.channels !== 3) {
        const message = `Expected a grey or colour image but it has ${info.channels} channels`;
        throw imageError(name, "IMAGE_FORMAT", message);
      }
      const [width, height] =
        orientation < 5 ? [info.width, info.height] : [info.height, info.width];
      return { width, height, orientation, data };
    },
  };
}
