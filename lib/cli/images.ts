// Finds the image files of a command line: files, all images below folders, and patterns, in order and without repeats.
import { stat } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { rangeError } from "../check.js";

const extensions = ["jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "avif"];

/** Finds image files below a folder by their extensions, sorted by name. */
export async function imagesBelow(folder: string): Promise<string[]> {
  const pattern = `**/*.{${extensions.join(",")}}`;
  const found = await glob(pattern, { cwd: folder, caseSensitiveMatch: false, dot: false });
  return found.sort().map((name) => join(folder, name));
}

/** Expands files, folders, patterns and URLs to paths. @throws {RangeError} a folder or pattern without images */
export async function expandImages(words: readonly string[]): Promise<string[]> {
  const found = new Map<string, string>();
  for (const word of words) {
    const isUrl = /^(https?|file|data):/.test(word);
    const stats = isUrl ? undefined : await stat(word).catch(() => undefined);
    let paths = [word];
    if (stats?.isDirectory()) paths = await imagesBelow(word);
    else if (stats === undefined && !isUrl && isDynamicPattern(word))
      paths = (await glob(word, { expandDirectories: false, absolute: isAbsolute(word) })).sort();
    if (paths.length === 0)
      throw rangeError("a file, or a folder or pattern with images,", "IMAGE", word);
    for (const path of paths) found.set(isUrl ? path : resolve(path), path);
  }
  return [...found.values()];
}
