// Reads the preprocessing that the image processors of Hugging Face's transformers state in preprocessor_config.json.
import { isPlainObject } from "../../check.js";
import { type Fields, field, isPositive, problem, stated } from "./fields.js";
import type { Part, StatedPart, Statement } from "./statement.js";

/** PIL's numbers of the filters. 5, Hamming's, is not offered. */
const filters = ["nearest", "lanczos", "bilinear", "bicubic", "box"] as const;

/** Below this side, ConvNeXt's processor crops; from it on, it squashes (ConvNextImageProcessor). */
const convNextSquash = 384;

/** Returns the side of a square: 224, [224, 224] or { height: 224, width: 224 }. */
function squareOf(size: unknown): number | undefined {
  if (isPositive(size)) return size;
  const [height, width] = isPlainObject(size)
    ? [field(size, "height"), field(size, "width")]
    : Array.isArray(size) && size.length === 2
      ? size
      : [];
  return height === width && isPositive(height) ? height : undefined;
}

/** The resize, and the side of the crop. */
interface Sizes {
  readonly resize: StatedPart;
  readonly crop: number | undefined;
}

function sizesOf(config: Fields): Sizes {
  const size = field(config, "size");
  const cropSize = field(config, "crop_size");
  const refused = (name: string, expected: string, received: unknown): Sizes => ({
    resize: problem(name, expected, received),
    crop: undefined,
  });
  if (field(config, "do_resize") === false) return refused("do_resize", "true", false);
  if (field(config, "do_pad") === true) return refused("do_pad", "false", true);
  const longest = isPlainObject(size) ? field(size, "longest_edge") : undefined;
  if (longest !== undefined) return refused("longest_edge", "nothing", longest);
  const shortest = isPlainObject(size) ? field(size, "shortest_edge") : undefined;
  const cropPct = field(config, "crop_pct");
  if (isPositive(cropPct) && isPositive(shortest)) {
    const isSquashed = shortest >= convNextSquash;
    const value = isSquashed ? "squash" : Math.trunc(shortest / cropPct);
    return { resize: stated("size", value), crop: shortest };
  }
  const isCropped = field(config, "do_center_crop") ?? cropSize !== undefined;
  const crop = squareOf(cropSize);
  if (isCropped && crop === undefined)
    return refused("crop_size", "the side of a square", cropSize);
  // Before transformers 4.26 a number was the shorter side if a crop followed.
  const shorter = isPositive(size) && isCropped ? size : shortest;
  if (isPositive(shorter)) {
    if (!isCropped)
      return refused("do_center_crop", "true after a resize of the shorter side", isCropped);
    return { resize: stated("size", shorter), crop };
  }
  const side = squareOf(size);
  if (side === undefined) return refused("size", "shortest_edge, or the sides of a square,", size);
  if (isCropped && crop !== side)
    return refused("crop_size", `${side}, the side of the squashed image,`, crop);
  return { resize: stated("size", "squash"), crop: side };
}

/** Returns the mean or the deviation. */
function normalization(config: Fields, name: "image_mean" | "image_std"): StatedPart {
  const factor = field(config, "rescale_factor") ?? 1 / 255;
  if (field(config, "do_rescale") === false) return problem("do_rescale", "true", false);
  if (typeof factor !== "number" || Math.abs(factor * 255 - 1) > 1e-6)
    return problem("rescale_factor", "1 / 255", factor);
  if (field(config, "rescale_offset") === true) return problem("rescale_offset", "false", true);
  if (field(config, "do_normalize") === false)
    return stated("do_normalize", [name === "image_mean" ? 0 : 1]);
  const value = field(config, name);
  return value === undefined
    ? problem(name, "a number for each channel", value)
    : stated(name, value);
}

function interpolationOf(config: Fields): StatedPart {
  const resample = field(config, "resample");
  const value = typeof resample === "number" ? filters[resample] : undefined;
  if (value === undefined)
    return problem("resample", "one of 0, 1, 2, 3, 4, a filter of PIL's,", resample);
  return stated("resample", value);
}

/** Every image processor has one of these fields. Processors of sound and text have none. */
const imageFields = [
  ...["image_mean", "image_std", "size", "crop_size", "resample", "do_resize"],
  ...["image_processor_type", "do_center_crop", "do_rescale", "rescale_factor"],
];

/**
 * Reads an object of preprocessor_config.json.
 * @returns undefined if it is not about images
 */
export function readHuggingFace(config: Fields, path: string): Statement | undefined {
  if (!imageFields.some((name) => Object.hasOwn(config, name))) return undefined;
  const { resize, crop } = sizesOf(config);
  const mean = field(config, "do_flip_channel_order")
    ? problem("do_flip_channel_order", "false", true)
    : normalization(config, "image_mean");
  const parts = new Map<Part, StatedPart>([
    ["resize", resize],
    ["interpolation", interpolationOf(config)],
    ["mean", mean],
    ["std", normalization(config, "image_std")],
  ]);
  return { path, crop, parts };
}
