// Reads, decodes, resizes and crops images to 8-bit pixels, several at a time within the process's limits.
import { checkInteger, checkSignal, readOptions } from "../check.js";
import { awaitNative } from "../errors.js";
import type { ResizeGeometry } from "../native/addon.js";
import { native } from "../native/load.js";
import { follow, unlessAborted } from "../signal.js";
import { openImage } from "./decode.js";
import { imageError } from "./errors.js";
import { type Claim, decodedBytes, decoders } from "./limiter.js";
import type { OwnPixels, Pixels } from "./pixels.js";
import type { Preprocessing } from "./preprocessing.js";
import { discardAll, type OpenedSource } from "./read.js";
import { roundHalfEven } from "./round.js";

/** Options of `preprocess` that concern reading and waiting. */
export interface ReadingOptions {
  /** Stops reading and waiting. The promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Limit of the encoded image's size. Default 256 MiB. */
  maxBytes?: number | undefined;
  /** Time limit for http and https URLs, from the request to the last byte, in ms. Default 30,000. */
  timeoutMs?: number | undefined;
  /**
   * Time limit in ms for decoding and resizing one image, and for waiting while no decoder or no memory becomes free.
   * Default 30,000.
   */
  decodeTimeoutMs?: number | undefined;
}

export const readingOptionNames = ["signal", "maxBytes", "timeoutMs", "decodeTimeoutMs"] as const;

/** Options of ReadingOptions after the check. */
export interface Reading {
  readonly signal: AbortSignal | undefined;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly decodeTimeoutMs: number;
}

/** @param given was read by readOptions @throws {TypeError|RangeError} a wrong option */
export function checkReading(given: ReadingOptions): Reading {
  const integer = (name: Exclude<keyof ReadingOptions, "signal">, usual: number) => {
    const { [name]: value = usual } = given;
    return checkInteger(value, `options.${name}`, 1, 2 ** 31 - 1);
  };
  const { signal } = given;
  checkSignal(signal);
  return {
    signal,
    maxBytes: integer("maxBytes", 256 * 2 ** 20),
    timeoutMs: integer("timeoutMs", 30_000),
    decodeTimeoutMs: integer("decodeTimeoutMs", 30_000),
  };
}

/** What is made of each image, besides its resize. */
type Decoding = Pick<Preprocessing, "interpolation" | "channels" | "maxPixels" | "orientation">;

/** Sizes in pixels of an upright image. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size of the resized image, and the window of it that is wanted. */
type Window = Omit<
  ResizeGeometry,
  "width" | "height" | "orientation" | "interpolation" | "channels"
>;

/** Returns torchvision's window. Sizes fit an int32 if openImage accepts the image: the longest resized side is 65,535 × 16,384. */
export function cropWindow(
  { width, height }: Size,
  { resize, crop }: Pick<Preprocessing, "resize" | "crop">,
): Window {
  const short = Math.min(width, height);
  const resized = (side: number) =>
    resize === "squash" ? crop : Math.trunc((resize * side) / short);
  const middle = (side: number) => roundHalfEven((resized(side) - crop) / 2);
  return {
    resizedWidth: resized(width),
    resizedHeight: resized(height),
    left: middle(width),
    top: middle(height),
    cropWidth: crop,
    cropHeight: crop,
  };
}

/** 8-bit pixels (height, width, channels) of an upright image. */
export interface CroppedPixels extends Size {
  readonly data: Uint8Array;
}

/** Makes the pixels of one image. `decodeTimeoutMs` bounds the wait for a decoder, and then the decode and the crop. */
async function cropOne(
  source: OpenedSource,
  decoding: Decoding,
  windowOf: (size: Size) => Window,
  reading: Reading,
  signal: AbortSignal,
  call: object,
): Promise<CroppedPixels> {
  const { timeoutMs, decodeTimeoutMs } = reading;
  const late = (expected: string) => () =>
    imageError(source.name, "IMAGE_TIMEOUT", `Expected ${expected} within ${decodeTimeoutMs} ms`);
  const { stop, unfollow } = follow(signal);
  const claim = (expected: string): Claim => ({
    call,
    signal: stop.signal,
    patienceMs: decodeTimeoutMs,
    stalled: late(expected),
  });
  const isLate = late("the image to be decoded");
  const timed = async <T>(work: () => Promise<T>): Promise<T> => {
    const timer = setTimeout(() => stop.abort(isLate()), decodeTimeoutMs);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
    }
  };
  // Holds its units until it really ends, which may be after the promise of its caller has settled.
  const work = async () => {
    const forDecoder = claim("a decoder to be free");
    // An image that holds a place may take this long to be read and to get a decoder.
    const patienceMs = Math.min(timeoutMs + decodeTimeoutMs, 2 ** 31 - 1);
    const stalled = () =>
      imageError(
        source.name,
        "IMAGE_TIMEOUT",
        `Expected a place among the open files and requests within ${patienceMs} ms`,
      );
    const leave = await source.places?.acquire(1, { ...forDecoder, patienceMs, stalled });
    let encoded: Uint8Array | OwnPixels;
    let free: () => void;
    try {
      encoded = await source.read({ ...reading, signal: stop.signal });
      free = await decoders.acquire(1, forDecoder);
    } finally {
      leave?.();
    }
    try {
      const image = await timed(() => openImage(encoded, source.name, decoding.maxPixels));
      const forPixels = claim("memory for its pixels to be free");
      const { cropWidth, cropHeight } = windowOf(image);
      const bytes = image.peakBytes + cropWidth * cropHeight * decoding.channels;
      const giveBack = await decodedBytes.acquire(bytes, forPixels);
      try {
        return await timed(async () => {
          const decoded = await image.decode(decodeTimeoutMs);
          stop.signal.throwIfAborted();
          return resizeAndCrop(decoded, decoding, windowOf);
        });
      } finally {
        giveBack();
      }
    } finally {
      free();
    }
  };
  try {
    return await unlessAborted(work(), stop.signal);
  } catch (error) {
    source.discard();
    throw error;
  } finally {
    unfollow();
  }
}

/** Resizes and crops decoded pixels, which the addon frees. */
async function resizeAndCrop(
  decoded: Pixels,
  { interpolation, channels, orientation: isTurned }: Decoding,
  windowOf: (size: Size) => Window,
): Promise<CroppedPixels> {
  const orientation = isTurned ? decoded.orientation : 1;
  // The decoder gives the size of the upright image.
  const isSwapped = decoded.orientation >= 5 && !isTurned;
  const width = isSwapped ? decoded.height : decoded.width;
  const height = isSwapped ? decoded.width : decoded.height;
  const window = windowOf({ width, height });
  const geometry = { width, height, ...window, orientation, interpolation, channels };
  const data = new Uint8Array(await awaitNative(() => native().resizeCrop(decoded.data, geometry)));
  return { width: window.cropWidth, height: window.cropHeight, data };
}

/** The number of images of an array that are read and decoded at a time. */
const maxConcurrent = 4;

/** Makes the pixels (N, crop, crop, channels) of several images. The first failure stops the others. */
export async function cropAll(
  sources: readonly OpenedSource[],
  preprocessing: Preprocessing,
  reading: Reading,
  call: object,
): Promise<Uint8Array> {
  const { crop, channels } = preprocessing;
  const cropBytes = crop * crop * channels;
  const crops = new Uint8Array(sources.length * cropBytes);
  const windowOf = (size: Size) => cropWindow(size, preprocessing);
  const { stop, unfollow } = follow(reading.signal);
  const remaining = sources.entries();
  const cropSome = async () => {
    for (const [index, source] of remaining) {
      stop.signal.throwIfAborted();
      const { data } = await cropOne(source, preprocessing, windowOf, reading, stop.signal, call);
      crops.set(data, index * cropBytes);
    }
  };
  try {
    await Promise.all(
      Array.from({ length: maxConcurrent }, () =>
        cropSome().catch((error) => {
          stop.abort(error);
          throw error;
        }),
      ),
    );
    return crops;
  } catch (error) {
    discardAll(sources);
    throw error;
  } finally {
    unfollow();
  }
}

/**
 * Returns the cropped image as 8-bit pixels (crop, crop, channels), which the device normalises.
 * @param call identifies the user's call that this image belongs to; calls take turns
 * @throws {TypeError|RangeError} an unknown or wrong option
 * @throws {VggError} IMAGE_…, OUT_OF_MEMORY; or the reason of `signal`
 */
export async function cropPixels(
  source: OpenedSource,
  preprocessing: Preprocessing,
  options: ReadingOptions = {},
  call: object = {},
): Promise<Uint8Array> {
  const reading = checkReading(readOptions(options, "options", readingOptionNames));
  return cropAll([source], preprocessing, reading, call);
}

/**
 * Returns a whole image as 8-bit pixels (height, width, channels), upright and in its own size or another one.
 * @param call identifies the user's call that this image belongs to; calls take turns
 * @param sizeOf returns the size to which an image is resized, bilinear and antialiased
 * @throws {TypeError|RangeError} an unknown or wrong option
 * @throws {VggError} IMAGE_…, OUT_OF_MEMORY; or the reason of `signal`; the errors of `sizeOf`
 */
export async function wholePixels(
  source: OpenedSource,
  { channels, maxPixels, orientation }: Omit<Decoding, "interpolation">,
  options: ReadingOptions = {},
  call: object = {},
  sizeOf: (size: Size) => Size = (size) => size,
): Promise<CroppedPixels> {
  const reading = checkReading(readOptions(options, "options", readingOptionNames));
  const decoding = { channels, maxPixels, orientation, interpolation: "bilinear" } as const;
  const whole = (size: Size): Window => {
    const { width, height } = sizeOf(size);
    return {
      resizedWidth: width,
      resizedHeight: height,
      left: 0,
      top: 0,
      cropWidth: width,
      cropHeight: height,
    };
  };
  const signal = reading.signal ?? new AbortController().signal;
  return cropOne(source, decoding, whole, reading, signal, call);
}
