// Errors other than wrong arguments: one class, a closed set of codes, and the translation of native errors to it.
import { isError } from "./realm.js";

/** Every code that a `VggError` may have, and when. docs/api.md says what to do about each. */
export const errorCodes = Object.freeze({
  ADDON_MISSING: "the native addon, or sharp for images, was not built or cannot be loaded",
  LIBRARY_MISSING: "a library of NVIDIA's that a GPU needs was not found, or cannot be used",
  DEVICE_UNAVAILABLE: "the device asked for does not exist or does not work here",
  DEVICE_LOST:
    "the GPU stopped after a fatal error: it stays so for this process; other devices go on",
  UNSUPPORTED: "the device cannot do this (a precision, an instruction set)",
  OUT_OF_MEMORY: "memory or a thread cannot be had; nothing changed, a smaller request may succeed",
  QUEUE_FULL:
    "more images or bytes wait for the model or its device than may; nothing changed, try again when earlier calls have ended",
  TIMED_OUT:
    "a call waited for its `timeoutMs`, or would have; of a call that needs several runs, some may have run",
  DISPOSED: "the model, graph, device or device tensor was disposed",
  ABORTED: "the work was stopped before it finished",
  MISSING_PARAMETER: "a graph ran before each of its parameters had a value",
  STATE_DICT_MISMATCH:
    "a state dict does not fit the model, or a file has no single network; nothing was loaded",
  CHECKPOINT_UNREADABLE:
    "a checkpoint is missing, no regular file, too large, changed while it was read, or its disk fails",
  CHECKPOINT_FORMAT: "a file is no checkpoint of a known format, or has no single state dict",
  CHECKPOINT_CORRUPT: "a checkpoint is cut off, damaged or contradicts itself",
  CHECKPOINT_UNSAFE: "a state dict has an object that only code could make; nothing was run",
  CHECKPOINT_LIMIT: "a checkpoint asks for more than its size justifies",
  CHECKPOINT_UNSUPPORTED:
    "a checkpoint uses a dtype, compression, byte order or preprocessing that is not supported",
  IMAGE_UNREADABLE: "an image is missing, no regular file, or its server or stream failed",
  IMAGE_FORMAT:
    "the bytes are no JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP or PNM image, or of a kind that is not supported",
  IMAGE_CORRUPT: "an image is cut off or damaged",
  IMAGE_TOO_LARGE: "an image has more bytes or pixels than its limit",
  IMAGE_LIMIT:
    "an image asks for more work than its pixels justify, or has a side above 65,535; it was not decoded",
  IMAGE_TIMEOUT:
    "an image was not decoded in time, or no decoder or memory for it became free in time",
  DOWNLOAD_FAILED: "weights or libraries could not be downloaded",
  OFFLINE: "weights or libraries are not on this machine, and the network may not be used",
  HASH_MISMATCH: "a file is not what its hash promises; a download of it is removed",
  DISK_FULL: "no room for a file; what came of a download is kept",
  FOLDER_UNUSABLE: "a folder or file cannot be made, read or written",
  BUILD_FAILED: "`vgg build` could not build the addon",
  INTERNAL: "a defect of this package; please report it",
} as const);

/** A key of `errorCodes`. */
export type ErrorCode = keyof typeof errorCodes;

/**
 * An error of this package. Wrong argument types are `TypeError`, wrong values `RangeError`.
 * @example
 * try {
 *   await model.classify("cat.jpg");
 * } catch (error) {
 *   if (error instanceof VggError && error.code === "IMAGE_UNREADABLE") console.error(error.message);
 *   else throw error;
 * }
 */
export class VggError extends Error {
  /** The name of the class. */
  override readonly name = "VggError";
  /** What went wrong. `errorCodes` says when each code occurs. */
  readonly code: ErrorCode;
  /** With QUEUE_FULL of a model: the time in ms in which the images that wait now are expected to have run. */
  declare readonly retryAfterMs?: number;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A VggError QUEUE_FULL with its `retryAfterMs`. */
export function queueFull(message: string, retryAfterMs: number): VggError {
  return Object.assign(new VggError("QUEUE_FULL", message), { retryAfterMs });
}

/** What an error says on the command line, if this differs from its message: it names flags, not options. */
const commandLineMessages = new WeakMap<Error, string>();

/** Gives an error another message for the command line, and returns it. */
export function onCommandLine<E extends Error>(error: E, message: string): E {
  commandLineMessages.set(error, message);
  return error;
}

/** Returns what an error says on the command line. */
export function commandLineMessage(error: Error): string {
  return commandLineMessages.get(error) ?? error.message;
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(errorCodes, code);
}

/** Converts a native error, a plain Error with a `code`, to a VggError with the caller's stack. Returns others as they are. */
export function translated(error: unknown): unknown {
  if (!isError(error) || error instanceof VggError) return error;
  // If the addon had no memory for the call itself, the C++ exception arrives unconverted.
  if (error.message === "std::bad_alloc")
    return new VggError("OUT_OF_MEMORY", "The host is out of memory");
  if (!Object.hasOwn(error, "code") || !("code" in error)) return error;
  return isErrorCode(error.code) ? new VggError(error.code, error.message) : error;
}

/** Calls into the addon. @throws {VggError} the addon's error, translated */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translated(error);
  }
}

/** Does what `callNative` does for a promise. */
export async function awaitNative<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw translated(error);
  }
}
