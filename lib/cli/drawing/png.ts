// Writes pixels as a PNG.
import { rangeError } from "../../check.js";
import { VggError } from "../../errors.js";
import { checkPath, replaceFile } from "../../files/replace.js";

/** 8-bit pixels (height, width, 3), red first. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Checks the name of a PNG. @throws {RangeError} another extension, or no path */
export function checkPng(path: string, flag: string): string {
  checkPath(path, flag);
  if (!/\.png$/i.test(path)) throw rangeError("a name that ends in .png", flag, path);
  return path;
}

/** Loads sharp on first use. @throws {VggError} ADDON_MISSING */
export async function importSharp() {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    const message = "Expected sharp, which draws PNGs: npm install sharp";
    throw new VggError("ADDON_MISSING", message, { cause });
  }
}

/** Writes a file whole or not at all. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE, ADDON_MISSING */
export async function writePng(path: string, { width, height, data }: Drawing): Promise<void> {
  const sharp = await importSharp();
  const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  await replaceFile(path, (file) => file.write(bytes));
}
