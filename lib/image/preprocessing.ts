// How an image becomes a network's input: size, interpolation, channels, normalisation. Kept with a model.
import {
  checkInteger,
  checkOneOf,
  isInteger,
  rangeError,
  readOptions,
  typeError,
} from "../check.js";
import type { GraphBuilder } from "../graph/builder.js";
import type { Value } from "../graph/value.js";
import { type Interpolation, interpolations } from "./interpolation.js";

/**
 * How an image becomes a network's input. The steps run in this order: the EXIF orientation, the conversion to grey if
 * there is one channel, the resize, the crop of the centre, the division by 255, the normalisation.
 * @example
 * // A network that was trained with Resize((224, 224)) and Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)):
 * const squash = { resize: "squash", mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } as const;
 * const model = await Vgg.load("vgg11", "ants-and-bees.pth", { preprocess: squash });
 */
export interface Preprocessing {
  /**
   * The mean of each channel, for samples in [0, 1]; one number counts for all channels. Default ImageNet's: 0.485,
   * 0.456, 0.406. Default for one channel: 0.5.
   */
  readonly mean: readonly number[];
  /** The standard deviation, like `mean`. Default ImageNet's: 0.229, 0.224, 0.225. Default for one channel: 0.5. */
  readonly std: readonly number[];
  /**
   * The length of the shorter side after the resize, in pixels, 1 … 16,384. "squash" resizes to crop × crop and does
   * not keep the proportions, as torchvision's `Resize((s, s))`. Default 256 for a crop of 224, else in proportion.
   */
  readonly resize: number | "squash";
  /** The side of the square that is cropped from the centre, in pixels, at most `resize`. Default: the image size. */
  readonly crop: number;
  /** The filter of the resize. Default "bilinear". */
  readonly interpolation: Interpolation;
  /**
   * 3: red, green and blue. 1: grey, as PIL's `convert("L")` makes it of these (ITU-R 601-2) before the resize.
   * Default: the channels of the network.
   */
  readonly channels: 1 | 3;
  /** The limit of width times height of an image. Default 178,956,970, above which PIL refuses an image. */
  readonly maxPixels: number;
  /** Whether the EXIF orientation is applied. Default true. torchvision's own loaders do not apply it. */
  readonly orientation: boolean;
}

/** Parts of `Preprocessing`. The others have their defaults. */
export type PreprocessingOptions = {
  readonly [Part in keyof Preprocessing]?: Preprocessing[Part] | undefined;
};

export const preprocessingNames = [
  "mean",
  "std",
  "resize",
  "crop",
  "interpolation",
  "channels",
  "maxPixels",
  "orientation",
] as const satisfies readonly (keyof Preprocessing)[];

export const imageNetMean: readonly number[] = Object.freeze([0.485, 0.456, 0.406]);
export const imageNetStd: readonly number[] = Object.freeze([0.229, 0.224, 0.225]);
/** torchvision has no default for grey. These map samples to [-1, 1], and PyTorch's tutorials use them. */
const greyMean: readonly number[] = Object.freeze([0.5]);
const greyStd: readonly number[] = Object.freeze([0.5]);

/** PIL's limit: twice Image.MAX_IMAGE_PIXELS. */
const usualMaxPixels = 178_956_970;
const maxSize = 16_384;

/** Returns the transforms of torchvision's weights in proportion: for a crop of 224 pixels, the shorter side is 256. */
export function defaultPreprocessing(crop: number, channels: 1 | 3): Preprocessing {
  return Object.freeze({
    mean: channels === 3 ? imageNetMean : greyMean,
    std: channels === 3 ? imageNetStd : greyStd,
    resize: Math.round((crop * 256) / 224),
    crop,
    interpolation: "bilinear",
    channels,
    maxPixels: usualMaxPixels,
    orientation: true,
  });
}

/** Checks one number for each channel, or one for all. */
function checkNumbers(value: unknown, name: string, channels: number): readonly number[] {
  const expected = channels === 1 ? "one finite number" : "one or three finite numbers";
  const list = Array.isArray(value) ? [...value] : undefined;
  if (list === undefined || list.some((number) => typeof number !== "number"))
    throw typeError(`an array of ${expected}`, name, value);
  if (!list.every((number) => Number.isFinite(Math.fround(number))))
    throw rangeError(expected, name, list);
  if (list.length !== 1 && list.length !== channels) throw rangeError(expected, name, list);
  return Object.freeze(list.length === channels ? list : new Array(channels).fill(list[0]));
}

function checkResize(value: unknown, name: string): number | "squash" {
  if (value === "squash" || isInteger(value, 1, maxSize)) return value;
  const expected = `an integer from 1 to ${maxSize} or "squash"`;
  throw (typeof value === "number" ? rangeError : typeError)(expected, name, value);
}

function checkCrop(value: unknown, name: string, resize: number | "squash"): number {
  if (resize === "squash") return checkInteger(value, name, 1, maxSize);
  if (isInteger(value, 1, resize)) return value;
  const expected = `an integer from 1 to ${resize}, the side after the resize,`;
  throw (typeof value === "number" ? rangeError : typeError)(expected, name, value);
}

/**
 * Checks the parts that were given, and takes the others from `usual`.
 * @param given was read by readOptions, so that it takes nothing from Object.prototype
 * @param nameOf returns a part's name for messages
 * @throws {TypeError|RangeError} a wrong part, or parts that do not fit together
 */
export function completePreprocessing(
  given: PreprocessingOptions,
  usual: Preprocessing,
  nameOf: (part: keyof Preprocessing) => string,
): Preprocessing {
  const part = <Name extends keyof Preprocessing>(name: Name): Preprocessing[Name] =>
    given[name] === undefined ? usual[name] : given[name];
  const channels = part("channels");
  if (channels !== 1 && channels !== 3)
    throw (typeof channels === "number" ? rangeError : typeError)(
      "1 or 3",
      nameOf("channels"),
      channels,
    );
  const of = channels === usual.channels ? usual : defaultPreprocessing(usual.crop, channels);
  const { mean: givenMean = of.mean, std: givenStd = of.std } = given;
  const mean = checkNumbers(givenMean, nameOf("mean"), channels);
  const std = checkNumbers(givenStd, nameOf("std"), channels);
  if (std.some((deviation) => Math.fround(deviation) === 0))
    throw rangeError("numbers other than zero", nameOf("std"), std);
  const resize = checkResize(part("resize"), nameOf("resize"));
  const crop = checkCrop(part("crop"), nameOf("crop"), resize);
  const orientation = part("orientation");
  if (typeof orientation !== "boolean")
    throw typeError("a boolean", nameOf("orientation"), orientation);
  return Object.freeze({
    mean,
    std,
    resize,
    crop,
    interpolation: checkOneOf(part("interpolation"), nameOf("interpolation"), interpolations),
    channels,
    maxPixels: checkInteger(part("maxPixels"), nameOf("maxPixels"), 1, 2 ** 31 - 1),
    orientation,
  });
}

/**
 * Reads a caller's option `preprocess` and merges it over `usual`. The result and its lists are frozen.
 * @param name the option's name for messages
 * @throws {TypeError|RangeError} not an object, an unknown or wrong part, parts that do not fit together
 */
export function resolvePreprocessing(
  given: PreprocessingOptions | undefined,
  usual: Preprocessing,
  name: string,
): Preprocessing {
  if (given === undefined) return usual;
  const read = readOptions(given, name, preprocessingNames);
  return completePreprocessing(read, usual, (part) => `${name}.${part}`);
}

/**
 * Records the input `pixels` (N, height, width, channels) uint8 and its normalisation.
 * @returns the normalised image (N, channels, height, width) float32
 */
export function recordPixels(
  builder: GraphBuilder,
  { channels, mean, std, crop }: Preprocessing,
  height: number = crop,
  width: number = crop,
): Value {
  const pixels = builder.input("pixels", [height, width, channels], "uint8");
  return builder.normalize(pixels, { mean, std });
}
