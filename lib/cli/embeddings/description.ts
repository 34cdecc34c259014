// What a file of embeddings says about them, beside the numbers.

import { bare, isPlainObject } from "../../check.js";
import type { PreprocessingOptions } from "../../image/preprocessing.js";

/** How embeddings were made, and the images that they belong to. */
export interface Description {
  readonly arch: string;
  /** The file of the weights, without its folder. Undefined in files of an earlier version. */
  readonly weights?: string | undefined;
  /** How the images became the network's input. Undefined in files of an earlier version. */
  readonly preprocessing?: PreprocessingOptions | undefined;
  readonly layer: string;
  /** null: not pooled. */
  readonly pool: "mean" | "max" | null;
  readonly normalize: boolean;
  /** The image of each row. */
  readonly files: readonly string[];
}

/** Returns the file beside a .npy file that has its description as JSON. */
export const descriptionPath = (npy: string) => `${npy}.json`;

/** Reads a description from parsed JSON. Returns undefined if it is none. The user of `preprocessing` checks its values. */
export function readDescription(json: unknown): Description | undefined {
  if (!isPlainObject(json)) return undefined;
  const { arch, layer, pool, normalize, files, weights, preprocessing } = bare(json);
  const isDescription =
    typeof arch === "string" &&
    typeof layer === "string" &&
    (pool === null || pool === "mean" || pool === "max") &&
    typeof normalize === "boolean" &&
    Array.isArray(files) &&
    files.every((file) => typeof file === "string") &&
    (weights === undefined || typeof weights === "string") &&
    (preprocessing === undefined || isPlainObject(preprocessing));
  return isDescription
    ? { arch, layer, pool, normalize, files, weights, preprocessing }
    : undefined;
}
