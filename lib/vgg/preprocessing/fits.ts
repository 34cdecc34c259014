// The preprocessing of a network and of a call: options over defaults, checked against the network.
import { bare, checkInteger, rangeError, readOptions } from "../../check.js";
import {
  defaultPreprocessing,
  type Preprocessing,
  type PreprocessingOptions,
  preprocessingNames,
  resolvePreprocessing,
} from "../../image/preprocessing.js";
import { minExtent } from "../record.js";
import { isImageSize, type Topology } from "../topology.js";

const maxCrop = 16_384;

type Sizes = Pick<Topology, "inChannels" | "imageSize">;

interface SizedOptions {
  readonly imageSize?: number | undefined;
  readonly preprocess?: PreprocessingOptions | undefined;
}

/**
 * Reads the parts of the option `preprocess`. Without the option `imageSize`, its crop is the image size.
 * @param given was read by readOptions
 * @throws {TypeError} `preprocess` is not an object, or has an unknown part
 */
export function readPreprocess<Options extends SizedOptions>(given: Options): Options {
  if (given.preprocess === undefined) return given;
  const preprocess = readOptions(given.preprocess, "preprocess", preprocessingNames);
  const { imageSize = isImageSize(preprocess.crop) ? preprocess.crop : undefined } = given;
  return bare({ ...given, preprocess, imageSize });
}

/**
 * Returns how images become a network's input: the given parts over what torchvision's weights take.
 * @param given was read by readOptions
 * @returns undefined for a network with other than 1 or 3 channels, which takes no images
 * @throws {TypeError|RangeError} a wrong part, or one that does not fit the network
 */
export function modelPreprocessing(
  { inChannels, imageSize }: Sizes,
  given: PreprocessingOptions | undefined,
): Preprocessing | undefined {
  if (inChannels === 1 || inChannels === 3) {
    const usual = defaultPreprocessing(imageSize, inChannels);
    return overDefaults(usual, given, { inChannels, imageSize });
  }
  if (given === undefined) return undefined;
  const expected = "no preprocess for a network with other than 1 or 3 channels";
  throw rangeError(expected, "inChannels", inChannels);
}

/** Merges a model's options, read by readOptions, over its defaults. @throws {TypeError|RangeError} as `modelPreprocessing` */
export function overDefaults(
  usual: Preprocessing,
  given: PreprocessingOptions | undefined,
  { inChannels, imageSize }: Sizes,
): Preprocessing {
  // Before the crop is compared with the resize, which follows from the image size.
  if (typeof given?.crop === "number" && given.crop !== imageSize) {
    const expected = `${imageSize}, the network's image size,`;
    throw rangeError(expected, "preprocess.crop", given.crop);
  }
  const resolved = resolvePreprocessing(given, usual, "preprocess");
  checkChannels(resolved, inChannels, "preprocess.channels");
  return resolved;
}

/**
 * Merges a call's options over the model's preprocessing. The network takes a crop of any size from 32 pixels.
 * @throws {TypeError|RangeError} a wrong part, or one that does not fit the network
 */
export function callPreprocessing(
  { inChannels }: Topology,
  usual: Preprocessing,
  given: PreprocessingOptions | undefined,
): Preprocessing {
  const resolved = resolvePreprocessing(given, usual, "options.preprocess");
  checkInteger(resolved.crop, "options.preprocess.crop", minExtent, maxCrop);
  checkChannels(resolved, inChannels, "options.preprocess.channels");
  return resolved;
}

function checkChannels({ channels }: Preprocessing, inChannels: number, name: string): void {
  if (channels !== inChannels)
    throw rangeError(`${inChannels}, the channels of the network,`, name, channels);
}
