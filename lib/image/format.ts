// Detects a file's format by its first bytes, never by its name. Files of other formats never reach a decoder.
import { describeFile } from "../files/kind.js";
import { headerSizes } from "./formats/bmp-header.js";

/** Formats that sharp decodes. */
export type DecodedFormat = "JPEG" | "PNG" | "WebP" | "GIF" | "TIFF" | "AVIF";
/** PNM stands for PBM, PGM and PPM. */
export type ImageFormat = DecodedFormat | "BMP" | "PNM";

const signatures: readonly (readonly [format: ImageFormat, latin1: string])[] = [
  ["JPEG", "\xff\xd8\xff"],
  ["PNG", "\x89PNG\r\n\x1a\n"],
  ["GIF", "GIF87a"],
  ["GIF", "GIF89a"],
  ["TIFF", "II*\0"],
  ["TIFF", "MM\0*"],
  ["TIFF", "II+\0"],
  ["TIFF", "MM\0+"],
];

/** Detects the format. @returns null if it is not supported */
export function formatOf(bytes: Uint8Array): ImageFormat | null {
  const head = headOf(bytes);
  const found = signatures.find(([, begin]) => head.startsWith(begin));
  if (found !== undefined) return found[0];
  if (/^RIFF....WEBP/s.test(head)) return "WebP";
  if (isBmp(head, bytes)) return "BMP";
  if (/^P[1-6][\t-\r ]\s*[#\d]/.test(head)) return "PNM";
  return isAvif(head, bytes) ? "AVIF" : null;
}

/** Text may begin with BM too, but has no such size of a header. */
function isBmp(head: string, bytes: Uint8Array): boolean {
  if (!head.startsWith("BM") || bytes.byteLength < 26) return false;
  return headerSizes.includes(new DataView(bytes.buffer, bytes.byteOffset).getUint32(14, true));
}

/**
 * Reads the brands of the file type box. A file is AVIF by its major brand, or by a compatible brand if the major one is
 * the general brand of the family.
 */
function isAvif(head: string, bytes: Uint8Array): boolean {
  if (head.slice(4, 8) !== "ftyp" || bytes.byteLength < 16) return false;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const compatible: string[] = head.slice(16, size).match(/.{4}/gs) ?? [];
  const major = head.slice(8, 12);
  if (major === "avif" || major === "avis") return true;
  return (
    (major === "mif1" || major === "miaf") &&
    compatible.includes("avif") &&
    !compatible.includes("heic")
  );
}

/** Describes a file of an unsupported format, as far as it can be recognised. */
export function describeFormat(bytes: Uint8Array): string {
  return describeFile(bytes, "image");
}

function headOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 256)).toString("latin1");
}
