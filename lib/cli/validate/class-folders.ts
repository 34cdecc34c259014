// Finds the class folders of a data set and the images in them.
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { rangeError } from "../../check.js";
import { imagesBelow, isAbove, type LeftOut } from "../images/walk.js";

export interface ClassFolders {
  /** The names of the folders. */
  readonly folders: readonly string[];
  /** What else lies beside them. */
  readonly leftOut: readonly LeftOut[];
}

/** Says what keeps an entry from being a class folder, or returns undefined. Links to folders count as folders. */
async function refuse(path: string, name: string, above: string): Promise<LeftOut | undefined> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => cause);
  if (stats instanceof Error)
    return { path, kind: "broken link", why: `it cannot be read (${stats.code})` };
  if (name.startsWith(".")) return { path, kind: "hidden", why: "its name begins with a dot" };
  if (!stats.isDirectory())
    return { path, kind: "outside a class", why: "it lies in no class folder" };
  if (isAbove(await realpath(path), above))
    return { path, kind: "looping link", why: "it leads to a folder above it" };
  return undefined;
}

/** Finds the class folders. Hidden ones, as .ipynb_checkpoints, are none. @throws {RangeError} there is none */
export async function classFoldersOf(dir: string): Promise<ClassFolders> {
  const names = await readdir(dir).catch((cause: NodeJS.ErrnoException) => {
    throw rangeError("a folder", "DIR", `${dir} (${cause.code})`);
  });
  const above = await realpath(dir);
  const refused = await Promise.all(names.map((name) => refuse(join(dir, name), name, above)));
  const folders = names.filter((_, i) => refused[i] === undefined);
  if (folders.length === 0) throw rangeError("a folder with a folder for each class", "DIR", dir);
  return { folders, leftOut: refused.filter((each) => each !== undefined) };
}

export interface ClassImages {
  /** The true class of each image's path. */
  readonly truth: ReadonlyMap<string, number>;
  readonly leftOut: readonly LeftOut[];
  /** Folders without an image. */
  readonly empty: readonly string[];
}

/** Finds the images of each class. @throws {RangeError} there is no image */
export async function classImagesOf(
  dir: string,
  classes: ReadonlyMap<string, number>,
): Promise<ClassImages> {
  const truth = new Map<string, number>();
  const leftOut: LeftOut[] = [];
  const empty: string[] = [];
  for (const [folder, index] of classes) {
    const found = await imagesBelow(join(dir, folder));
    for (const file of found.files) truth.set(file, index);
    for (const each of found.leftOut) leftOut.push(each);
    if (found.files.length === 0) empty.push(folder);
  }
  if (truth.size === 0) throw rangeError("a folder with images", "DIR", dir);
  return { truth, leftOut, empty };
}
