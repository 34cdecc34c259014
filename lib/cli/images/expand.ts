// Finds the image files of a command line: files, all images below folders, and patterns, in order and without repeats;
// and all lines of a list.
import { stat } from "node:fs/promises";
import { isAbsolute, resolve, win32 } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { rangeError } from "../../check.js";
import type { ImageSource } from "../../image/source.js";
import { readText, standardInput, takeInput } from "../input.js";
import { countKinds } from "../run.js";
import { type Found, imagesBelow, type LeftOut } from "./walk.js";

/** Whether a word is a URL. `C:` is a drive of Windows. */
export const isAnUrl = (word: string) => /^(https?|file|data):/.test(word);

interface Pattern {
  readonly pattern: string;
  /** The folder that the pattern is relative to. */
  readonly cwd: string;
  /** Whether the paths that match are absolute. */
  readonly absolute: boolean;
}

/**
 * Returns a word as a pattern. On Windows a backslash separates the parts of a path; elsewhere it takes a character's
 * special meaning from it. A pattern with a drive is made relative to it, because the current folder may be on another.
 */
export function patternOf(word: string, platform: NodeJS.Platform = process.platform): Pattern {
  if (platform !== "win32")
    return { pattern: word, cwd: process.cwd(), absolute: isAbsolute(word) };
  const { root } = win32.parse(word);
  const pattern = word.slice(root.length).replaceAll("\\", "/");
  return { pattern, cwd: win32.resolve(root), absolute: root !== "" };
}

async function foundBy(word: string, isUrl: boolean): Promise<Found> {
  if (word === standardInput) return { files: [word], leftOut: [] };
  const stats = isUrl ? undefined : await stat(word).catch(() => undefined);
  if (stats?.isDirectory()) return imagesBelow(word);
  if (stats !== undefined || isUrl) return { files: [word], leftOut: [] };
  const { pattern, ...place } = patternOf(word);
  if (isDynamicPattern(pattern)) {
    // The file systems of Windows do not tell a.JPG from a.jpg.
    const caseSensitiveMatch = process.platform !== "win32";
    const options = { expandDirectories: false, caseSensitiveMatch, ...place };
    return { files: (await glob(pattern, options)).sort(), leftOut: [] };
  }
  return { files: [word], leftOut: [] };
}

/**
 * Expands files, folders, patterns and URLs to paths. Below a folder, files are chosen by their content; files that are
 * named or that a pattern finds are all taken, once each.
 * @param list a file with one path or URL per line, which are all taken, repeats too; "-" is standard input
 * @throws {RangeError} no images, a folder or pattern without images, a list that is missing or empty
 */
export async function expandImages(words: readonly string[], list?: string): Promise<Found> {
  const found = new Map<string, string>();
  const leftOut = new Map<string, LeftOut>();
  let listed: string[] = [];
  if (words.length === 0 && list === undefined)
    throw rangeError("an image, or --list,", "IMAGE", words);
  if (list === standardInput && words.includes(standardInput))
    throw rangeError("standard input once", "--list", list);
  for (const word of words) {
    const isUrl = isAnUrl(word);
    const { files, leftOut: others } = await foundBy(word, isUrl);
    if (files.length === 0) {
      const error = rangeError("a file, or a folder or pattern with images,", "IMAGE", word);
      const isFolder = !isUrl && (await stat(word).catch(() => undefined))?.isDirectory();
      if (isFolder === true && others.length === 0) error.message += ", which is empty";
      if (others.length > 0) error.message += `, which has only ${countKinds(others)}`;
      throw error;
    }
    for (const path of files) found.set(isUrl ? path : resolve(path), path);
    for (const each of others) leftOut.set(resolve(each.path), each);
  }
  if (list !== undefined) {
    const paths = (await readText(list, "--list")).split(/\r?\n/).filter((line) => line !== "");
    if (paths.length === 0) throw rangeError("a list of images", "--list", list);
    listed = paths;
  }
  return { files: [...found.values(), ...listed], leftOut: [...leftOut.values()] };
}

/** Returns the image that a word of `expandImages` stands for. */
export function sourceOf(word: string): ImageSource {
  return word === standardInput ? takeInput("IMAGE") : word;
}
