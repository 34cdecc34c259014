// What a file states about the preprocessing of a network, and how statements and options become one preprocessing.
import { onCommandLine, VggError } from "../../errors.js";
import {
  completePreprocessing,
  defaultPreprocessing,
  type Preprocessing,
  type PreprocessingOptions,
  preprocessingNames,
} from "../../image/preprocessing.js";
import type { Topology } from "../topology.js";
import { overDefaults } from "./fits.js";

/** A part that a file states: its value, or why this package cannot do it. */
export interface StatedPart {
  /** The part's name in the file. */
  readonly name: string;
  readonly value: unknown;
  /** A sentence: Expected … but received … */
  readonly problem: string | undefined;
}

/** The parts that files state. A file decides neither the channels nor the limit of pixels. */
export type Part = Exclude<keyof Preprocessing, "crop" | "channels" | "maxPixels">;

/** What one file states. */
export interface Statement {
  /** The path of the file. */
  readonly path: string;
  readonly parts: ReadonlyMap<Part, StatedPart>;
  /** The image size; undefined if the file does not state it. */
  readonly crop: number | undefined;
}

const partNames = preprocessingNames.filter(
  (name): name is Part => name !== "crop" && name !== "channels" && name !== "maxPixels",
);

/** The error names the option that overrides the part, or the flag. */
function unsupported(path: string, message: string, part: Part, cause?: unknown): VggError {
  const whole = (override: string) => `${path}: ${message}; ${override} overrides it`;
  const error = new VggError("CHECKPOINT_UNSUPPORTED", whole(`the option preprocess.${part}`), {
    cause,
  });
  return onCommandLine(error, whole(part === "orientation" ? "--no-orientation" : `--${part}`));
}

/** Returns the length of the shorter side in proportion, if the image size is another than the statement's. */
function scaled(resize: unknown, stated: number | undefined, imageSize: number): unknown {
  if (typeof resize !== "number" || stated === undefined || stated === imageSize) return resize;
  return Math.round((resize * imageSize) / stated);
}

/** Takes one part over the default. A statement that cannot be followed is an error that says how to override it. */
function follow(
  usual: Preprocessing,
  part: Part,
  { path, parts, crop }: Statement,
  imageSize: number,
): Preprocessing {
  const { name, value, problem } = parts.get(part)!;
  if (problem !== undefined) throw unsupported(path, problem, part);
  const given = Object.assign(Object.create(null) as object, {
    [part]: part === "resize" ? scaled(value, crop, imageSize) : value,
  });
  try {
    return completePreprocessing(given, usual, (of) => (of === part ? name : of));
  } catch (cause) {
    throw unsupported(path, (cause as Error).message, part, cause);
  }
}

/**
 * Returns how images become a network's input: the given parts, over what the statements say, over what torchvision's
 * weights.
 * @param statements the first one that has a part decides it
 * @returns undefined for a network with other than 1 or 3 channels
 * @throws {TypeError|RangeError} a wrong part in `given`
 * @throws {VggError} CHECKPOINT_UNSUPPORTED a file states what this package cannot do
 */
export function combine(
  given: PreprocessingOptions | undefined,
  statements: readonly Statement[],
  { inChannels, imageSize }: Pick<Topology, "inChannels" | "imageSize">,
): Preprocessing | undefined {
  if (inChannels !== 1 && inChannels !== 3) return undefined;
  let usual = defaultPreprocessing(imageSize, inChannels);
  for (const part of partNames) {
    if (given?.[part] !== undefined) continue;
    const statement = statements.find(({ parts }) => parts.has(part));
    if (statement !== undefined) usual = follow(usual, part, statement, imageSize);
  }
  return overDefaults(usual, given, { inChannels, imageSize });
}
