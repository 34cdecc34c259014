// Finds the image files of a command line: files, all images below folders, and patterns, in order and without repeats.
import { stat } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { rangeError } from "../check.js";
import { countKinds } from "./run.js";
import { type Found, imagesBelow, type LeftOut } from "./walk.js";

async function foundBy(word: string, isUrl: boolean): Promise<Found> {
  const stats = isUrl ? undefined : await stat(word).catch(() => undefined);
  if (stats?.isDirectory()) return imagesBelow(word);
  if (stats === undefined && !isUrl && isDynamicPattern(word)) {
    const options = { expandDirectories: false, absolute: isAbsolute(word) };
    return { files: (await glob(word, options)).sort(), leftOut: [] };
  }
  return { files: [word], leftOut: [] };
}

/**
 * Expands files, folders, patterns and URLs to paths. Below a folder, files are chosen by their content; files that are
 * named or that a pattern finds are all taken.
 * @throws {RangeError} a folder or pattern without images
 */
export async function expandImages(words: readonly string[]): Promise<Found> {
  const found = new Map<string, string>();
  const leftOut = new Map<string, LeftOut>();
  for (const word of words) {
    const isUrl = /^(https?|file|data):/.test(word);
    const { files, leftOut: others } = await foundBy(word, isUrl);
    if (files.length === 0) {
      const error = rangeError("a file, or a folder or pattern with images,", "IMAGE", word);
      if (others.length > 0) error.message += `, which has only ${countKinds(others)}`;
      throw error;
    }
    for (const path of files) found.set(isUrl ? path : resolve(path), path);
    for (const each of others) leftOut.set(resolve(each.path), each);
  }
  return { files: [...found.values()], leftOut: [...leftOut.values()] };
}
