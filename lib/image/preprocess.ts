// torchvision's ImageNet preprocessing: shorter side to 256, crop of the central 224 × 224, ImageNet's mean and deviation.
import { checkInteger, checkSignal, rangeError, readOptions, typeError } from "../check.js";
import { awaitNative } from "../errors.js";
import type { ResizeGeometry } from "../native/addon.js";
import { native } from "../native/load.js";
import { follow, unlessAborted } from "../signal.js";
import { Tensor } from "../tensor.js";
import { openImage } from "./decode.js";
import { imageError } from "./errors.js";
import { type Claim, decodedBytes, decoders } from "./limiter.js";
import { type ImageSource, type OpenedSource, openSource, openSources } from "./source.js";

/** Options of `preprocess` that concern reading, resizing and cropping. */
export interface CropOptions {
  /** Length of the shorter side before cropping, in pixels. Default 256. */
  resizeSize?: number;
  /** Side of the square that is cropped from the centre, in pixels, at most resizeSize. Default 224. */
  cropSize?: number;
  /** Stops reading and waiting. The promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Limit of width times height of the image, in pixels. Default 100 million. */
  maxPixels?: number;
  /** Limit of the encoded image's size. Default 256 MiB. */
  maxBytes?: number;
  /** Time limit for http and https URLs, from the request to the last byte, in ms. Default 30,000. */
  timeoutMs?: number;
  /**
   * Time limit in ms for decoding and resizing one image, and for waiting while no decoder or no memory becomes free.
   * Default 30,000.
   */
  decodeTimeoutMs?: number;
}

/** Options of `preprocess`. */
export interface PreprocessOptions extends CropOptions {
  /** Mean of red, green and blue, for samples in [0, 1]. Default ImageNet's: 0.485, 0.456, 0.406. */
  mean?: readonly number[];
  /** Standard deviation. Default ImageNet's: 0.229, 0.224, 0.225. */
  std?: readonly number[];
}

export const imageNetMean: readonly number[] = [0.485, 0.456, 0.406];
export const imageNetStd: readonly number[] = [0.229, 0.224, 0.225];

/** The names of CropOptions, for callers that accept further options. */
export const cropOptionNames = [
  "resizeSize",
  "cropSize",
  "signal",
  "maxPixels",
  "maxBytes",
  "timeoutMs",
  "decodeTimeoutMs",
] as const;

type CheckedCropOptions = Required<Omit<CropOptions, "signal">> & {
  readonly signal: AbortSignal | undefined;
};

function checkCropOptions(options: CropOptions): CheckedCropOptions {
  const integer = (
    name: Exclude<keyof CropOptions, "signal">,
    usual: number,
    min: number,
    max: number,
  ) => {
    const { [name]: value = usual } = options;
    return checkInteger(value, `options.${name}`, min, max);
  };
  const { signal } = options;
  checkSignal(signal);
  const resizeSize = integer("resizeSize", 256, 1, 16_384);
  return {
    resizeSize,
    cropSize: integer("cropSize", Math.min(224, resizeSize), 1, resizeSize),
    signal,
    maxPixels: integer("maxPixels", 100_000_000, 1, 2 ** 31 - 1),
    maxBytes: integer("maxBytes", 256 * 2 ** 20, 1, 2 ** 31 - 1),
    timeoutMs: integer("timeoutMs", 30_000, 1, 2 ** 31 - 1),
    decodeTimeoutMs: integer("decodeTimeoutMs", 30_000, 1, 2 ** 31 - 1),
  };
}

/** Rounds as Python's round() does: halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor + (floor % 2);
  return rest < 0.5 ? floor : floor + 1;
}

/** Returns what the addon resizes and crops. Sizes fit an int32 if openImage accepts the image: the longest resized side is 65,535 × 16,384. */
export function resizeGeometry(
  width: number,
  height: number,
  resizeSize: number,
  cropSize: number,
  orientation: number,
): ResizeGeometry {
  const short = Math.min(width, height);
  const resized = (side: number) => Math.trunc((resizeSize * side) / short);
  const middle = (side: number) => roundHalfEven((resized(side) - cropSize) / 2);
  return {
    width,
    height,
    resizedWidth: resized(width),
    resizedHeight: resized(height),
    left: middle(width),
    top: middle(height),
    cropSize,
    orientation,
  };
}

/** Crops one image. `decodeTimeoutMs` bounds the wait for a decoder, and then the decode and the crop. */
async function cropOne(
  source: OpenedSource,
  options: CheckedCropOptions,
  signal: AbortSignal,
  call: object,
): Promise<Uint8Array> {
  const { maxPixels, timeoutMs, decodeTimeoutMs } = options;
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
    let bytes: Uint8Array;
    let free: () => void;
    try {
      bytes = await source.read({ ...options, signal: stop.signal });
      free = await decoders.acquire(1, forDecoder);
    } finally {
      leave?.();
    }
    try {
      const image = await timed(() => openImage(bytes, source.name, maxPixels));
      const forPixels = claim("memory for its pixels to be free");
      const giveBack = await decodedBytes.acquire(image.peakBytes, forPixels);
      try {
        return await timed(async () => {
          const { width, height, orientation, data } = await image.decode(decodeTimeoutMs);
          stop.signal.throwIfAborted();
          const { resizeSize, cropSize } = options;
          const geometry = resizeGeometry(width, height, resizeSize, cropSize, orientation);
          return new Uint8Array(await awaitNative(() => native().resizeCrop(data, geometry)));
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
  } finally {
    unfollow();
  }
}

/** The number of images of an array that are read and decoded at a time. */
const maxConcurrent = 4;

async function cropAll(
  sources: readonly OpenedSource[],
  options: CheckedCropOptions,
  call: object,
): Promise<Uint8Array> {
  const { cropSize, signal } = options;
  const cropBytes = cropSize * cropSize * 3;
  const crops = new Uint8Array(sources.length * cropBytes);
  // The first failure stops the others.
  const { stop, unfollow } = follow(signal);
  const remaining = sources.entries();
  const cropSome = async () => {
    for (const [index, source] of remaining) {
      stop.signal.throwIfAborted();
      crops.set(await cropOne(source, options, stop.signal, call), index * cropBytes);
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
  } finally {
    unfollow();
  }
}

/**
 * Returns the cropped image as 8-bit pixels (cropSize, cropSize, 3), which the device normalises.
 * @param call identifies the user's call that this image belongs to; calls take turns
 * @throws {TypeError|RangeError} an unknown or wrong option
 * @throws {VggError} IMAGE_…, OUT_OF_MEMORY; or the reason of `signal`
 */
export async function cropPixels(
  source: OpenedSource,
  options: CropOptions = {},
  call: object = {},
): Promise<Uint8Array> {
  const checked = checkCropOptions(readOptions(options, "options", cropOptionNames));
  return cropAll([source], checked, call);
}

function checkThree(
  value: readonly number[] | undefined,
  name: string,
  usual: readonly number[],
): readonly number[] {
  if (value === undefined) return usual;
  const expected = "three finite numbers";
  if (!Array.isArray(value) || value.some((number) => typeof number !== "number")) {
    throw typeError(expected, name, value);
  }
  if (value.length !== 3 || !value.every(Number.isFinite)) throw rangeError(expected, name, value);
  return [...value];
}

/** Normalises with each step rounded to float32. The results have the same bits as torchvision's ToTensor and Normalize. */
function normalize(
  crops: Uint8Array,
  count: number,
  mean: readonly number[],
  std: readonly number[],
): Float32Array {
  const { fround } = Math;
  const levels = mean.map((average, channel) =>
    Float32Array.from(
      { length: 256 },
      (_, level) => fround(fround(level / 255) - fround(average)) / fround(std[channel]!),
    ),
  );
  const area = crops.length / 3 / count;
  const values = new Float32Array(crops.length);
  for (let image = 0; image < count; ++image) {
    for (const [channel, level] of levels.entries()) {
      const to = (image * 3 + channel) * area;
      const from = image * 3 * area + channel;
      for (let i = 0; i < area; ++i) values[to + i] = level[crops[from + 3 * i]!]!;
    }
  }
  return values;
}

/**
 * Applies torchvision's ImageNet preprocessing to one image or to each image of an array: resizes (bilinear,
 * antialiased), crops the centre and normalises. Returns (N, 3, cropSize, cropSize) float32. Images given as bytes are
 * copied before this returns.
 * @throws {TypeError|RangeError} not an image source, an unknown or wrong option
 * @throws {VggError} IMAGE_…, OUT_OF_MEMORY; or the reason of `signal`
 * @example const images = await preprocess(["cat.jpg", "dog.png"]); // (2, 3, 224, 224)
 */
export async function preprocess(
  source: ImageSource | readonly ImageSource[],
  options: PreprocessOptions = {},
): Promise<Tensor> {
  const given = readOptions(options, "options", [...cropOptionNames, "mean", "std"]);
  const checked = checkCropOptions(given);
  const mean = checkThree(given.mean, "options.mean", imageNetMean);
  const std = checkThree(given.std, "options.std", imageNetStd);
  if (std.some((deviation) => Math.fround(deviation) === 0))
    throw rangeError("numbers other than zero", "options.std", std);
  const isArray = Array.isArray(source);
  if (isArray && source.length === 0) throw rangeError("at least one image", "source", source);
  const sources = isArray ? openSources(source, "source") : [openSource(source, "source")];
  const crops = await cropAll(sources, checked, {});
  const { cropSize } = checked;
  return new Tensor(
    [sources.length, 3, cropSize, cropSize],
    normalize(crops, sources.length, mean, std),
  );
}
