// Reads the preprocessing that timm's config.json states: timm.data.resolve_data_config and transforms_imagenet_eval.
import { isPlainObject } from "../../check.js";
import type { Architecture } from "../topology.js";
import { type Fields, field, isPositive, objectField, problem, stated } from "./fields.js";
import type { Part, StatedPart, Statement } from "./statement.js";

/** timm's defaults (timm/data/constants.py, timm/data/config.py). */
const usual = {
  input_size: [3, 224, 224],
  interpolation: "bicubic",
  crop_pct: 0.875,
  crop_mode: "center",
} as const;

/** Whether an object is timm's: other programs call files config.json too. */
export function isOfTimm(config: unknown): config is Fields {
  if (!isPlainObject(config)) return false;
  if (objectField(config, "pretrained_cfg") !== undefined) return true;
  const isNamed = typeof field(config, "architecture") === "string";
  return (
    Array.isArray(field(config, "input_size")) || (isNamed && Array.isArray(field(config, "mean")))
  );
}

/** Returns the image size, or undefined if it is not that of square images. */
function sizeOf(inputSize: unknown): number | undefined {
  if (!Array.isArray(inputSize) || inputSize.length !== 3) return undefined;
  const [, height, width] = inputSize;
  return height === width && isPositive(height) ? height : undefined;
}

/** Returns the resize of transforms_imagenet_eval. */
function resizeOf(cropMode: unknown, cropPct: unknown, size: number): StatedPart {
  if (!isPositive(cropPct) || cropPct > 1)
    return problem("crop_pct", "a number above 0 and at most 1", cropPct);
  if (cropMode === "center") return stated("crop_pct", Math.floor(size / cropPct));
  if (cropMode !== "squash")
    return problem("crop_mode", '"center" or "squash", since borders are not drawn,', cropMode);
  if (Math.floor(size / cropPct) !== size)
    return problem("crop_pct", 'the crop_mode "squash" only with 1', cropPct);
  return stated("crop_mode", "squash");
}

/**
 * Reads an object of timm's config.json.
 * @returns undefined if it is not timm's, or of another architecture
 */
export function readTimm(config: unknown, path: string, arch: Architecture): Statement | undefined {
  if (!isOfTimm(config)) return undefined;
  const pretrained = objectField(config, "pretrained_cfg") ?? {};
  // A variant has a tag behind a full stop: "vgg16.tv_in1k".
  const named = field(config, "architecture") ?? field(pretrained, "architecture");
  if (typeof named === "string" && named.split(".")[0] !== arch) return undefined;
  const read = (name: string) => field(pretrained, name) ?? field(config, name);
  const inputSize = read("input_size") ?? usual.input_size;
  const crop = sizeOf(inputSize);
  const resize =
    crop === undefined
      ? problem("input_size", "[channels, size, size]", inputSize)
      : resizeOf(read("crop_mode") ?? usual.crop_mode, read("crop_pct") ?? usual.crop_pct, crop);
  const interpolation = read("interpolation") ?? usual.interpolation;
  const parts = new Map<Part, StatedPart>([
    ["resize", resize],
    ["interpolation", stated("interpolation", interpolation)],
  ]);
  for (const name of ["mean", "std"] as const) {
    const value = read(name);
    if (value !== undefined) parts.set(name, stated(name, value));
  }
  return { path, crop, parts };
}
