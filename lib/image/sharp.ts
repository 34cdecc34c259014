// Decodes images with sharp (libvips).
import type { Metadata, OutputInfo, Sharp, SharpOptions } from "sharp";
import { bare, optionOf } from "../check.js";
import { VggError } from "../errors.js";
import { imageError, reasonOfDecoder } from "./errors.js";
import type { DecodedFormat } from "./format.js";
import { clipToRgb, cmykToRgb, divideByAlpha, fillAround } from "./formats/convert.js";
import { inSlices, type Slices } from "./formats/slices.js";
import { checkSize, type OpenedImage } from "./pixels.js";
import { hasAdobeMarker } from "./structure/jpeg.js";
import { unsupportedTiff } from "./structure/tiff.js";
import { checkTiles, type FirstImage, firstImageOf } from "./structure.js";

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

/** A decoder's peak memory in bytes per pixel, with the 3 of the result. Measured with libvips 8.18. */
const bytesPerPixel: Readonly<Record<DecodedFormat, number>> = {
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

/** How the samples that libvips decodes become RGB. */
interface Conversion {
  /** Bytes per pixel of the samples. */
  readonly bytesPerPixel: number;
  /** What libvips has to do. */
  readonly request: (image: Sharp) => Sharp;
  /** What is left to do. */
  readonly convert: ((data: Buffer, info: OutputInfo) => Slices<Uint8Array>) | undefined;
}

const wide = bare({ depth: "ushort" as const });

/** The samples of 16 bits in a Buffer. sharp aligns it; a pool of Node's may not. */
const samplesOf = (data: Buffer) =>
  data.byteOffset % 2 === 0
    ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
    : new Uint16Array(Uint8Array.from(data).buffer);

/** Whether a PNG is grey without alpha. Its header says so; libvips adds an alpha for a transparent grey. */
const isPlainGrey = (image: Buffer, format: DecodedFormat, channels: number) =>
  format === "PNG" ? image[25] === 0 : channels === 1;

/** Chooses what PIL's convert("RGB") does with such samples. */
function conversionOf(
  { image, frame, isMultiplied }: FirstImage,
  format: DecodedFormat,
  { space, depth, channels, hasAlpha }: Metadata,
): Conversion {
  const isWide = depth === "ushort";
  if (space === "cmyk") {
    // PIL takes each CMYK JPEG as inverted. libvips turns those with Adobe's marker.
    const isInverted = format === "JPEG" && !hasAdobeMarker(image);
    return {
      bytesPerPixel: channels * (isWide ? 2 : 1),
      request: (pipeline) =>
        pipeline
          .pipelineColourspace("cmyk")
          .toColourspace("cmyk")
          .raw(isWide ? wide : undefined),
      convert: (data, { channels }) =>
        cmykToRgb(isWide ? samplesOf(data) : data, channels, isInverted),
    };
  }
  if (isWide && space === "grey16" && isPlainGrey(image, format, channels)) {
    return {
      bytesPerPixel: 2,
      request: (pipeline) => pipeline.removeAlpha().toColourspace("grey16").raw(wide),
      convert: (data) => clipToRgb(samplesOf(data)),
    };
  }
  // More extra samples than the alpha are left to libvips, which drops them all.
  if (isMultiplied && hasAlpha && channels === 4) {
    return {
      bytesPerPixel: 4,
      request: (pipeline) => pipeline.toColourspace("srgb").raw(),
      convert: (data) => divideByAlpha(data),
    };
  }
  const plain: Conversion = {
    bytesPerPixel: 0,
    request: (pipeline) => pipeline.removeAlpha().toColourspace("srgb").raw(),
    convert: undefined,
  };
  return frame === undefined
    ? plain
    : { ...plain, convert: (data, { width }) => fillAround(data, width, frame) };
}

/** Converts a decoder's error. */
function refused(error: Error, format: DecodedFormat, image: Buffer, name: string): VggError {
  const { code, reason } = reasonOfDecoder(error.message, format);
  const unsupported =
    code === "IMAGE_CORRUPT" && format === "TIFF" ? unsupportedTiff(image) : undefined;
  if (unsupported !== undefined) {
    const message = `Expected a TIFF of a kind that can be decoded but it has ${unsupported}`;
    return imageError(name, "IMAGE_FORMAT", message, error);
  }
  const what = code === "IMAGE_CORRUPT" ? "is cut off or damaged" : "needs more memory or threads";
  const because = reason === undefined ? "" : ` (libvips: ${reason})`;
  return imageError(name, code, `the ${format} image ${what}${because}`, error);
}

/** @throws {VggError} IMAGE_FORMAT */
function checkChannels({ channels }: OutputInfo, expected: boolean, name: string): void {
  if (expected) return;
  const message = `Expected a grey or colour image but it has ${channels} channels`;
  throw imageError(name, "IMAGE_FORMAT", message);
}

/**
 * Reads the header of an image that sharp decodes.
 * @param bytes owned by this package: changed here, and read by another thread until the promises settle
 * @throws {VggError} IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_LIMIT, IMAGE_TOO_LARGE, OUT_OF_MEMORY, ADDON_MISSING
 */
export async function openWithSharp(
  bytes: Uint8Array,
  format: DecodedFormat,
  name: string,
  maxPixels: number,
): Promise<OpenedImage> {
  const first = firstImageOf(bytes, format, name);
  const { image } = first;
  const makeSharp = await loadSharp();
  const options: SharpOptions = bare({
    limitInputPixels: false,
    ignoreIcc: true,
    // Warnings are about files that PIL reads: junk between markers, Samsung's JPEGs.
    failOn: "error",
  });
  const decoded = <T>(promise: Promise<T>) =>
    promise.catch((error: Error) => {
      throw refused(error, format, image, name);
    });
  const header = await decoded(makeSharp(image, options).metadata());
  const { width, height, depth } = header;
  checkSize(width, height, name, maxPixels);
  const pixels = width * height;
  checkTiles(image, format, pixels, name);
  if (depth !== "uchar" && depth !== "ushort") {
    const expected = "Expected at most 16 bits for each sample";
    throw imageError(name, "IMAGE_FORMAT", `${expected} but its samples are ${depth}`);
  }
  const orientation = orientationOf(header);
  const { bytesPerPixel: extra, request, convert } = conversionOf(first, format, header);
  const perPixel =
    bytesPerPixel[format] + (header.isProgressive ? progressiveBytesPerPixel : 0) + extra;
  return {
    width,
    height,
    peakBytes: pixels * perPixel + width * Math.min(height, heldRows) * heldBytesPerPixel,
    decode: async (timeoutMs) => {
      const pipeline = request(makeSharp(image, options));
      if (timeoutMs !== undefined) {
        // sharp takes at most an hour.
        const seconds = Math.min(Math.ceil(timeoutMs / 1000), 3600);
        pipeline.timeout(bare({ seconds }));
      }
      const { data, info } = await decoded(
        pipeline.toBuffer(bare({ resolveWithObject: true as const })),
      );
      checkChannels(info, convert !== undefined || info.channels === 3, name);
      const rgb = convert === undefined ? data : await inSlices(convert(data, info), timeoutMs);
      const [width, height] =
        orientation < 5 ? [info.width, info.height] : [info.height, info.width];
      return { width, height, orientation, data: rgb };
    },
  };
}
