// torchvision's ImageNet preprocessing: shorter side to 256, the middle 224 × 224, mean and deviation of ImageNet.
import { checkInteger, checkSignal, rangeError, readOptions, typeError } from "../check.js";
import { awaitNative } from "../errors.js";
import type { ResizePlan } from "../native/addon.js";
import { native } from "../native/load.js";
import { follow, unlessAborted } from "../signal.js";
import { Tensor } from "../tensor.js";
import { openImage } from "./decode.js";
import { imageError } from "./errors.js";
import { type Claim, decodedBytes, decoders } from "./limiter.js";
import { type ImageSource, type OpenedSource, openSource, openSources } from "./source.js";

export interface CropOptions {
  /** Length of the shorter side before cropping, in pixels. Default 256. */
  resizeSize?: number;
  /** Sides of the square that is cut from the middle, at most resizeSize. Default 224. */
  cropSize?: number;
  /** Stops reading and waiting; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Width times height of the image. Default 100 million. */
  maxPixels?: number;
  /** Of the encoded image. Default 256 MiB. */
  maxBytes?: number;
  /** For http and https URLs, from the request to the last byte. Default 30,000. */
  timeoutMs?: number;
  /** For decoding and resizing one image, and for waiting while no decoder or no memory becomes free. Default 30,000. */
  decodeTimeoutMs?: number;
}

export interface PreprocessOptions extends CropOptions {
  /** For red, green and blue, of samples in [0, 1]. Default ImageNet's: 0.485, 0.456, 0.406. */
  mean?: readonly number[];
  /** Standard deviation. Default ImageNet's: 0.229, 0.224, 0.225. */
  std?: readonly number[];
}

export const imageNetMean: readonly number[] = [0.485, 0.456, 0.406];
export const imageNetStd: readonly number[] = [0.229, 0.224, 0.225];

/** The names of CropOptions, for callers that have options of their own beside them. */
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

/** As Python's round(): halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor + (floor % 2);
  return rest < 0.5 ? floor : floor + 1;
}

/** Within an int32 for each size that openImage lets through: 65,535 × 16,384 is the longest resized side. */
export function planResize(
  width: number,
  height: number,
  resizeSize: number,
  cropSize: number,
  orientation: number,
): ResizePlan {
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
  // Holds its places until it really ends, which may be after its caller was let go.
  const work = async () => {
    const forDecoder = claim("a decoder to be free");
    // Those who have a place may take as long as this to read and to get a decoder.
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
          const plan = planResize(width, height, resizeSize, cropSize, orientation);
          return new Uint8Array(await awaitNative(() => native().resizeCrop(data, plan)));
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

/** How many images of an array are read and decoded at a time. */
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
 * The image as 8-bit pixels (cropSize, cropSize, 3): what a device normalises itself.
 * @param call stands for the call of a user that this is a part of: calls take turns
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

/** Rounded to float32 after each step, as torchvision's ToTensor and Normalize are: the results are theirs to the bit. */
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
 * torchvision's ImageNet preprocessing of one image, or of each image of an array: (N, 3, cropSize, cropSize) float32,
 * resized (bilinear, antialiased), cropped from the middle and normalised. Bytes at hand are copied before this returns.
 * @throws {TypeError|RangeError} no source of an image, an unknown or wrong option
 * @throws {VggError} IMAGE_…, OUT_OF_MEMORY; or the reason of `signal`
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
