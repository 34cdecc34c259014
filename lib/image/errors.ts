// Errors about an image: a VggError whose message begins with the image's source.
import { optionOf } from "../check.js";
import { type ErrorCode, VggError } from "../errors.js";
import { isError } from "../realm.js";
import type { DecodedFormat } from "./format.js";

/** Longest name in a message, in characters. */
const maxName = 200;

/** Omits the middle of a long name: a string that is no path may have megabytes. */
export function shortName(name: string): string {
  const half = maxName / 2;
  return name.length <= maxName ? name : `${name.slice(0, half - 1)}…${name.slice(-half)}`;
}

/** @param name the path, the URL, or "a buffer of N bytes"; it is cut at 200 characters */
export function imageError(
  name: string,
  code: Extract<ErrorCode, `IMAGE_${string}` | "OUT_OF_MEMORY">,
  message: string,
  cause?: unknown,
): VggError {
  return new VggError(
    code,
    `${shortName(name)}: ${message}`,
    cause === undefined ? undefined : { cause },
  );
}

/** Describes a system or network error for a message: its code or its cause's code if there is one, else its message. */
export function reasonOf(error: unknown): string {
  for (let at = error; isError(at); at = optionOf(at, "cause")) {
    const code = optionOf(at as NodeJS.ErrnoException, "code");
    if (typeof code === "string") return code;
    if (optionOf(at, "cause") === undefined) return at.message;
  }
  return String(error);
}

/**
 * Messages of GLib, libvips, libjpeg, zlib, libaom, C++ and the system when memory or a thread cannot be allocated.
 * libtiff's "Out of memory reading of" and libheif's "Security limit exceeded" are absent: their cause is the file.
 */
const lacks =
  /Error creating thread|unable to create thread|Resource temporarily unavailable|Cannot allocate memory|out of memory -- size|Insufficient memory|Memory allocation error \(|bad_alloc/i;

/** How libvips and its decoders name a format in their messages. */
const decoderNames: Readonly<Record<DecodedFormat, RegExp>> = {
  JPEG: /jpe?g/i,
  PNG: /png/i,
  WebP: /webp/i,
  GIF: /gif/i,
  TIFF: /tiff/i,
  AVIF: /heif|avif|aom|dav1d/i,
};

/** Whether a line can be about an image of a format. All threads write into one buffer of libvips. */
function canBeOf(line: string, format: DecodedFormat): boolean {
  const named = Object.entries(decoderNames).filter(([, pattern]) => pattern.test(line));
  return named.length === 0 || named.some(([name]) => name === format);
}

/**
 * Reduces a decoder's message to one line and its code. A line about a lack of memory or threads is preferred, since
 * that is not the image's fault; otherwise the first line that can be about this image is taken.
 * @returns no reason if each line is about an image of another format, or says nothing
 */
export function reasonOfDecoder(
  message: string,
  format: DecodedFormat,
): {
  readonly code: "OUT_OF_MEMORY" | "IMAGE_CORRUPT";
  readonly reason: string | undefined;
} {
  const lines = message.trim().split("\n");
  const lack = lines.find((line) => lacks.test(line));
  const own = lines.find(
    (line) => canBeOf(line, format) && !/^(unknown error)?[.:\s]*$/i.test(line),
  );
  return {
    code: lack === undefined ? "IMAGE_CORRUPT" : "OUT_OF_MEMORY",
    reason: (lack ?? own)?.replace(/:$/, ""),
  };
}
