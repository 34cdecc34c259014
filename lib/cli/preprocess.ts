// The options of commands that read images: how an image becomes the network's input.
import { type Command, InvalidArgumentError, Option } from "commander";
import { interpolations } from "../image/interpolation.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { integer } from "./options.js";

/** The options that `withPreprocess` adds. Each but `orientation` is undefined unless it was given. */
export interface PreprocessFlags {
  mean?: number[];
  std?: number[];
  resize?: number | "squash";
  crop?: number;
  interpolation?: Preprocessing["interpolation"];
  maxPixels?: number;
  /** False with --no-orientation, otherwise true: commander gives no other default for such an option. */
  orientation?: boolean;
}

/** Parses "0.485,0.456,0.406". */
function numbers(value: string): number[] {
  const parts = value.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  if (parts.some((part) => !Number.isFinite(part)))
    throw new InvalidArgumentError("Expected numbers with commas between them.");
  return parts;
}

function resize(value: string): number | "squash" {
  if (value === "squash") return value;
  if (/^\d+$/.test(value)) return Number(value);
  throw new InvalidArgumentError("Expected a whole number or squash.");
}

/** Adds the options. Their defaults are what the file of weights says, or else what torchvision's weights take. */
export function withPreprocess(of: Command): Command {
  return of
    .option("--mean <numbers>", "mean of each channel in [0, 1] (default: the file's)", numbers)
    .option("--std <numbers>", "deviation of each channel (default: the file's)", numbers)
    .option(
      "--resize <pixels>",
      "the shorter side, or squash: to the crop's size (default: the file's)",
      resize,
    )
    .option(
      "--crop <pixels>",
      "side of the square that is cropped from the centre (default: the image size)",
      integer,
    )
    .addOption(
      new Option("--interpolation <name>", "filter of the resize (default: the file's)").choices(
        interpolations,
      ),
    )
    .option(
      "--max-pixels <count>",
      "limit of an image's width × height (default: 178956970)",
      integer,
    )
    .option("--no-orientation", "ignore the EXIF orientation");
}

const names = ["mean", "std", "resize", "crop", "interpolation", "maxPixels"] as const;

/** Returns the parts that were given. The orientation of a file stays unless the flag is given. */
export function preprocessOf(flags: PreprocessFlags): Partial<Preprocessing> {
  const given = names.filter((name) => flags[name] !== undefined);
  return {
    ...Object.fromEntries(given.map((name) => [name, flags[name]])),
    ...(flags.orientation === false ? { orientation: false } : {}),
  };
}
