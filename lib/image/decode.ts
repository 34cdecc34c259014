// Decodes an image to 8-bit RGB pixels: sharp (libvips) does, and for BMP, PNM and raw pixels this package itself.
import { types } from "node:util";
import { imageError } from "./errors.js";
import { describeFormat, formatOf } from "./format.js";
import { openBmp } from "./formats/bmp.js";
import { dropAlpha, greyToRgb } from "./formats/convert.js";
import { openPnm } from "./formats/pnm.js";
import { Damaged, type Raster, Unsupported } from "./formats/raster.js";
import { inSlices } from "./formats/slices.js";
import { checkSize, type OpenedImage, type OwnPixels } from "./pixels.js";
import { openWithSharp } from "./sharp.js";

/** Converts a reader's errors. */
function refused(error: unknown, format: "BMP" | "PNM", name: string): unknown {
  if (error instanceof Damaged) {
    const message = `the ${format} image is cut off or damaged: ${error.message}`;
    return imageError(name, "IMAGE_CORRUPT", message);
  }
  if (error instanceof Unsupported) {
    const message = `Expected an image of a kind that can be decoded but it ${error.message}`;
    return imageError(name, "IMAGE_FORMAT", message);
  }
  return withoutMemory(error, name);
}

/** The error of an ArrayBuffer that cannot be allocated, or that would be longer than V8 permits. */
function withoutMemory(error: unknown, name: string): unknown {
  const isLack = /allocation failed|invalid typed array length/i;
  if (!(error instanceof RangeError) || !isLack.test(error.message)) return error;
  const message = `Expected memory for its pixels but received ${error.message}`;
  return imageError(name, "OUT_OF_MEMORY", message, error);
}

function openRaster(
  open: () => Raster,
  format: "BMP" | "PNM",
  name: string,
  maxPixels: number,
): OpenedImage {
  const translated = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw refused(error, format, name);
    }
  };
  const { width, height, read } = translated(open);
  checkSize(width, height, name, maxPixels);
  return {
    width,
    height,
    // The pixels, and grey or the samples of a PNM before they are.
    peakBytes: width * height * 4,
    decode: async (timeoutMs) => {
      const data = await inSlices(translated(read), timeoutMs).catch((error) => {
        throw refused(error, format, name);
      });
      return { width, height, orientation: 1, data };
    },
  };
}

function openRaw(image: OwnPixels, name: string, maxPixels: number): OpenedImage {
  const { data, width, height, channels } = image;
  checkSize(width, height, name, maxPixels);
  const convert = channels === 1 ? greyToRgb : dropAlpha;
  const read = channels === 3 ? async () => data : (ms?: number) => inSlices(convert(data), ms);
  return {
    width,
    height,
    peakBytes: width * height * (channels === 3 ? 0 : 3),
    decode: async (timeoutMs) => {
      const rgb = await read(timeoutMs).catch((error) => {
        throw withoutMemory(error, name);
      });
      return { width, height, orientation: 1, data: rgb };
    },
  };
}

/**
 * Reads an image's header and checks its size.
 * @param bytes owned by this package: changed here, and read by another thread until the promises settle
 * @throws {VggError} IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_LIMIT, IMAGE_TOO_LARGE, OUT_OF_MEMORY, ADDON_MISSING
 */
export async function openImage(
  bytes: Uint8Array | OwnPixels,
  name: string,
  maxPixels: number,
): Promise<OpenedImage> {
  if (!types.isUint8Array(bytes)) return openRaw(bytes, name, maxPixels);
  const format = formatOf(bytes);
  if (format === null) {
    const expected = "Expected a JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP or PNM image";
    throw imageError(name, "IMAGE_FORMAT", `${expected} but ${describeFormat(bytes)}`);
  }
  if (format !== "BMP" && format !== "PNM") return openWithSharp(bytes, format, name, maxPixels);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open = format === "BMP" ? openBmp : openPnm;
  return openRaster(() => open(buffer), format, name, maxPixels);
}
