// Errors about an image: a VggError whose message opens with where the image came from.
import { optionOf } from "../check.js";
import { type ErrorCode, VggError } from "../errors.js";
import { isError } from "../realm.js";

/** @param name the path, the URL, or "a buffer of N bytes" */
export function imageError(
  name: string,
  code: Extract<ErrorCode, `IMAGE_${string}` | "OUT_OF_MEMORY">,
  message: string,
  cause?: unknown,
): VggError {
  return new VggError(code, `${name}: ${message}`, cause === undefined ? undefined : { cause });
}

/** What a system or network error is called, for a message: its code if it has one, or its cause has. */
export function reasonOf(error: unknown): string {
  for (let at = error; isError(at); at = optionOf(at, "cause")) {
    const code = optionOf(at as NodeJS.ErrnoException, "code");
    if (typeof code === "string") return code;
    if (optionOf(at, "cause") === undefined) return at.message;
  }
  return String(error);
}

/**
 * What GLib, libvips, libjpeg, zlib, libaom, C++ and the system say where memory or a thread cannot be had. libtiff's
 * "Out of memory reading of" and libheif's "Security limit exceeded" are about what a file asks for.
 */
const lacks =
  /Error creating thread|unable to create thread|Resource temporarily unavailable|Cannot allocate memory|out of memory -- size|Insufficient memory|Memory allocation error \(|bad_alloc/i;

/**
 * A decoder's message as one line: the one that says what the system lacks if there is one, since that is no fault of
 * the image; else the first.
 */
export function reasonOfDecoder(message: string): {
  readonly code: "OUT_OF_MEMORY" | "IMAGE_CORRUPT";
  readonly reason: string;
} {
  const lines = message.trim().split("\n");
  const lack = lines.find((line) => lacks.test(line));
  return {
    code: lack === undefined ? "IMAGE_CORRUPT" : "OUT_OF_MEMORY",
    reason: (lack ?? lines[0]!).replace(/:$/, ""),
  };
}
