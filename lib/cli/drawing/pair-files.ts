// Finds the pairs of images of two paths: two files, or the files of two folders that have the same name.
import { stat } from "node:fs/promises";
import { relative } from "node:path";
import { rangeError } from "../../check.js";
import { imagesBelow, type LeftOut } from "../images/walk.js";

export interface FoundPairs {
  readonly isFolders: boolean;
  /** `name` is the path below both folders, or the path of b. */
  readonly pairs: readonly { readonly name: string; readonly a: string; readonly b: string }[];
  /** Files that only one of the folders has. */
  readonly unpaired: readonly string[];
  /** What lies in the folders and is no image. */
  readonly leftOut: readonly LeftOut[];
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() === true;
}

/** Finds the pairs, sorted by name. @throws {RangeError} a folder and a file, or folders without images */
export async function findPairs(a: string, b: string): Promise<FoundPairs> {
  const [isA, isB] = await Promise.all([isFolder(a), isFolder(b)]);
  if (isA !== isB) throw rangeError(isA ? "a folder, as A is," : "a file, as A is,", "B", b);
  if (!isA) return { isFolders: false, pairs: [{ name: b, a, b }], unpaired: [], leftOut: [] };
  const [ofA, ofB] = await Promise.all([imagesBelow(a), imagesBelow(b)]);
  const leftOut = [...ofA.leftOut, ...ofB.leftOut];
  const byName = new Map(ofB.files.map((path) => [relative(b, path), path]));
  const pairs: { name: string; a: string; b: string }[] = [];
  const unpaired: string[] = [];
  for (const path of ofA.files) {
    const name = relative(a, path);
    const other = byName.get(name);
    if (other === undefined) unpaired.push(path);
    else pairs.push({ name, a: path, b: other });
    byName.delete(name);
  }
  unpaired.push(...byName.values());
  if (pairs.length + unpaired.length === 0)
    throw rangeError("folders with images", "A and B", `${a} and ${b}`);
  return { isFolders: true, pairs, unpaired, leftOut };
}
