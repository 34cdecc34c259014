// From an encoded image to 8-bit RGB pixels, by sharp (libvips).
import type { OutputInfo, Sharp, SharpOptions } from "sharp";
import { VggError } from "../errors.js";
import { imageError } from "./errors.js";
import { describeFormat, formatOf, type ImageFormat } from "./format.js";

/** `data` is (height, width, 3), red first, in rows without gaps. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

type MakeSharp = (input: Uint8Array, options: SharpOptions) => Sharp;

/** On first use: most of what this package does needs no decoder. */
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

// sharp.block() would keep libvips's other loaders away too, but for the whole process, the caller's own sharp included.
function checkFormat(bytes: Uint8Array, name: string): ImageFormat {
  const format = formatOf(bytes);
  if (format !== null) return format;
  throw imageError(
    name,
    "IMAGE_FORMAT",
    `Expected a JPEG, PNG, WebP, GIF, TIFF or AVIF image but ${describeFormat(bytes)}`,
  );
}

function checkPixels(width: number, height: number, name: string, maxPixels: number): void {
  if (width * height <= maxPixels) return;
  throw imageError(
    name,
    "IMAGE_TOO_LARGE",
    `Expected at most ${maxPixels} pixels but it has ${width} × ${height}`,
  );
}

/**
 * The first frame or page, turned upright by its EXIF orientation, as PIL's convert("RGB") sees it: alpha is dropped,
 * grey and palettes are expanded, colour profiles are ignored. Of 16 bits the high byte is kept (PIL clips). CMYK goes
 * through libvips's own profile (PIL computes (255 - c)(255 - k) / 255).
 *
 * @param bytes owned by this package: another thread reads them until the promise settles
 * @throws {VggError} IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_TOO_LARGE, ADDON_MISSING
 */
export async function decode(bytes: Uint8Array, name: string, maxPixels: number): Promise<Pixels> {
  const format = checkFormat(bytes, name);
  const sharp = await loadSharp();
  const options: SharpOptions = {
    limitInputPixels: false,
    ignoreIcc: true,
    // libjpeg calls damaged data a warning, and finds only some of it; others so call what PIL reads without a word.
    failOn: format === "JPEG" ? "warning" : "error",
  };
  let decoded: { data: Buffer; info: OutputInfo };
  try {
    const { width, height, depth } = await sharp(bytes, options).metadata();
    checkPixels(width, height, name, maxPixels);
    if (depth !== "uchar" && depth !== "ushort") {
      throw imageError(
        name,
        "IMAGE_FORMAT",
        `Expected at most 16 bits for each sample but its samples are ${depth}`,
      );
    }
    decoded = await sharp(bytes, options)
      .autoOrient()
      .removeAlpha()
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true });
  } catch (error) {
    if (error instanceof VggError) throw error;
    const reason = (error as Error).message.trim().split("\n", 1)[0]!.replace(/:$/, "");
    throw imageError(
      name,
      "IMAGE_CORRUPT",
      `Expected a whole ${format} image but received ${reason}`,
      error,
    );
  }
  const { width, height, channels } = decoded.info;
  if (channels !== 3) {
    throw imageError(name, "IMAGE_FORMAT", `Expected colours but it has ${channels} channels`);
  }
  return { width, height, data: decoded.data };
}
