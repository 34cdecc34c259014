// The function `preprocess`: images become the float32 input of a network, as torchvision's transforms make it.
import { bare, rangeError, readOptions, typeError } from "../check.js";
import { Tensor } from "../tensor.js";
import { checkReading, cropAll, type ReadingOptions, readingOptionNames } from "./crop.js";
import {
  completePreprocessing,
  defaultPreprocessing,
  type Preprocessing,
  type PreprocessingOptions,
  preprocessingNames,
} from "./preprocessing.js";
import { type ImageSource, openSource, openSources } from "./source.js";

/** Options of `preprocess`. `resize` is 256 by default, and `crop` 224, or `resize` if that is less. */
export interface PreprocessOptions extends PreprocessingOptions, ReadingOptions {
  /** The earlier name of `resize`: the shorter side in pixels. Default 256. */
  resizeSize?: number | undefined;
  /** The earlier name of `crop`: the side in pixels. Default 224, or `resize` if that is less. */
  cropSize?: number | undefined;
}

/** Reads an option that has an earlier name too. @throws {TypeError} both names are given */
function eitherOf<Value>(now: Value | undefined, before: Value | undefined, names: string) {
  if (now !== undefined && before !== undefined)
    throw typeError("one option", names, [now, before]);
  return now === undefined ? before : now;
}

/** Checks what `options` says about the images themselves. */
function preprocessingOf(given: PreprocessOptions): Preprocessing {
  const { resizeSize, cropSize, channels = 3 } = given;
  const names: Partial<Record<keyof Preprocessing, string>> = bare({
    ...(resizeSize === undefined ? {} : { resize: "resizeSize" }),
    ...(cropSize === undefined ? {} : { crop: "cropSize" }),
  });
  const resize = eitherOf(given.resize, resizeSize, "options.resize and options.resizeSize");
  const crop = eitherOf(given.crop, cropSize, "options.crop and options.cropSize");
  const usual = defaultPreprocessing(224, channels);
  const most = typeof resize === "number" ? Math.min(224, resize) : 224;
  return completePreprocessing(
    Object.assign(Object.create(null), given, { resize, crop: crop === undefined ? most : crop }),
    usual,
    (part) => `options.${names[part] ?? part}`,
  );
}

/** Normalises with each step rounded to float32. The results have the same bits as torchvision's ToTensor and Normalize. */
function normalize(
  crops: Uint8Array,
  count: number,
  { mean, std, channels }: Preprocessing,
): Float32Array {
  const { fround } = Math;
  const levels = mean.map((average, channel) =>
    Float32Array.from(
      { length: 256 },
      (_, level) => fround(fround(level / 255) - fround(average)) / fround(std[channel]!),
    ),
  );
  const area = crops.length / channels / count;
  const values = new Float32Array(crops.length);
  for (let image = 0; image < count; ++image) {
    for (const [channel, level] of levels.entries()) {
      const to = (image * channels + channel) * area;
      const from = image * channels * area + channel;
      for (let i = 0; i < area; ++i) values[to + i] = level[crops[from + channels * i]!]!;
    }
  }
  return values;
}

/**
 * Applies torchvision's ImageNet preprocessing, or another, to one image or to each image of an array: resizes
 * (bilinear, antialiased), crops the centre and normalises. Returns (N, channels, crop, crop) float32. Images given as
 * bytes are copied before this returns.
 * @param options may be a model's `preprocessing`
 * @throws {TypeError|RangeError} not an image source, an unknown or wrong option
 * @throws {VggError} IMAGE_…, OUT_OF_MEMORY; or the reason of `signal`
 * @example const images = await preprocess(["cat.jpg", "dog.png"]); // (2, 3, 224, 224)
 * @example const grey = await preprocess("digit.png", { channels: 1, resize: "squash", crop: 32 }); // (1, 1, 32, 32)
 */
export async function preprocess(
  source: ImageSource | readonly ImageSource[],
  options: PreprocessOptions = {},
): Promise<Tensor> {
  const known = [...preprocessingNames, ...readingOptionNames, "resizeSize", "cropSize"];
  const given = readOptions(options, "options", known);
  const reading = checkReading(given);
  const preprocessing = preprocessingOf(given);
  const isArray = Array.isArray(source);
  if (isArray && source.length === 0) throw rangeError("at least one image", "source", source);
  const sources = isArray ? openSources(source, "source") : [openSource(source, "source")];
  const crops = await cropAll(sources, preprocessing, reading, {});
  const { channels, crop } = preprocessing;
  return new Tensor(
    [sources.length, channels, crop, crop],
    normalize(crops, sources.length, preprocessing),
  );
}
