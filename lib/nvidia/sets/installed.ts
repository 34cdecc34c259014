// The sets of NVIDIA's libraries on this machine: where they are, what is in them, and whether each is whole.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { bare, isPlainObject } from "../../check.js";
import { cacheFolder } from "../../files/cache-folder.js";
import { isMissing } from "../../files/errors.js";
import { jsonOf } from "../../files/json.js";
import { checkPath } from "../../files/replace.js";
import { type CudaMajor, cudaOf, type LibrarySet, setName, thisPlatform } from "./set.js";

/** The file in a set's folder that says what the folder holds. It is written last. */
export const receiptName = "set.json";

const maxReceiptBytes = 2 ** 20;
const fileName = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/;

/** A file of an installed set. */
export interface InstalledFile {
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
}

interface Receipt {
  readonly platform: string;
  readonly isTested: boolean;
  /** The packages with their versions, such as "nvidia-cudnn-cu13 9.28.1.4". */
  readonly packages: readonly string[];
  readonly files: readonly InstalledFile[];
}

/** A folder with a set. Without a receipt it has no packages and no files. */
export interface InstalledSet extends Receipt {
  readonly name: string;
  readonly cuda: CudaMajor;
  readonly folder: string;
  /** Why the set cannot be used; null if each file is there with its size. */
  readonly problem: string | null;
}

/**
 * Returns the folder for sets: `folder`, or the one in this user's cache folder.
 * @throws {RangeError} `folder` is no path, such as "" @throws {VggError} FOLDER_UNUSABLE
 */
export function setsFolder(folder?: string): string {
  return folder === undefined ? join(cacheFolder(), "cuda") : resolve(checkPath(folder, "folder"));
}

/** Returns the text of a set's receipt. */
export function receiptOf({ name, platform, isTested, wheels }: LibrarySet): string {
  const packages = wheels.map((wheel) => `${wheel.name} ${wheel.version}`);
  const files = wheels.flatMap(({ members }) =>
    members.map(({ to, sha256, size }) => ({ name: to, sha256, size })),
  );
  return `${JSON.stringify({ name, platform, isTested, packages, files }, null, 2)}\n`;
}

function isFile(value: unknown): value is InstalledFile {
  if (!isPlainObject(value)) return false;
  const { name, sha256, size } = value;
  return (
    typeof name === "string" &&
    fileName.test(name) &&
    typeof sha256 === "string" &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    Number.isSafeInteger(size) &&
    (size as number) >= 0
  );
}

/** Reads a receipt. Undefined for a text that `receiptOf` does not write. @throws the system's error */
function readReceipt(folder: string): Receipt | undefined {
  const path = join(folder, receiptName);
  if (statSync(path).size > maxReceiptBytes) return undefined;
  const value = jsonOf(readFileSync(path, "utf8"));
  if (!isPlainObject(value)) return undefined;
  const { platform, isTested, packages, files } = value;
  if (typeof platform !== "string" || typeof isTested !== "boolean") return undefined;
  if (!Array.isArray(packages) || !packages.every((each) => typeof each === "string"))
    return undefined;
  if (!Array.isArray(files) || files.length === 0 || !files.every(isFile)) return undefined;
  return { platform, isTested, packages, files };
}

/** Says what is wrong with a file of a set, or returns undefined. */
function problemOf(folder: string, { name, size }: InstalledFile): string | undefined {
  const stats = statSync(join(folder, name), bare({ throwIfNoEntry: false as const }));
  if (stats === undefined) return `${name} is missing`;
  if (!stats.isFile()) return `${name} is no regular file`;
  return stats.size === size ? undefined : `${name} has ${stats.size} bytes instead of ${size}`;
}

/** Looks at a folder whose name is a set's. Never throws. */
export function readSet(folder: string, name: string): InstalledSet {
  const unknown = { platform: "", isTested: false, packages: [], files: [] };
  const found = { name, cuda: cudaOf(name), folder };
  try {
    const receipt = readReceipt(folder);
    if (receipt === undefined)
      return { ...found, ...unknown, problem: `${receiptName} does not list the files of a set` };
    const isOther = receipt.platform !== thisPlatform();
    const problem = isOther
      ? `it is for ${receipt.platform}`
      : receipt.files.map((file) => problemOf(folder, file)).find((text) => text !== undefined);
    return { ...found, ...receipt, problem: problem ?? null };
  } catch (error) {
    const { message } = error as Error;
    const problem = isMissing(error) ? `${receiptName} is missing` : message;
    return { ...found, ...unknown, problem };
  }
}

const numbersOf = (name: string) => name.match(/\d+/g)!.map(Number);

/** Orders names of sets: the newest CUDA first, then the newest versions. */
function byNewest(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (right[i] ?? -1) - (left[i] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Returns the sets in a folder of sets, the newest first; none if there is no folder. @throws the system's error */
export function listSets(folder: string): InstalledSet[] {
  let entries: string[];
  try {
    entries = readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const names = entries.filter((name) => setName.test(name)).sort(byNewest);
  return names.map((name) => readSet(join(folder, name), name));
}

/** Returns the folders whose sets are looked for: the folders of VGG_CUDA_PATH, then the one in the cache folder. */
function searchedFolders(): string[] {
  const named = (process.env.VGG_CUDA_PATH ?? "").split(delimiter).filter((path) => path !== "");
  try {
    return [...named, setsFolder()];
  } catch {
    return named; // this user has no cache folder
  }
}

/** Returns the sets in all folders that are searched, in the order in which they are tried. Never throws. */
function searchedSets(): InstalledSet[] {
  return searchedFolders().flatMap((folder) => {
    try {
      return listSets(folder);
    } catch {
      return []; // the folder cannot be read
    }
  });
}

/** Returns the whole sets that a GPU may use, in the order in which they are tried. Never throws. */
export function usableSets(): { readonly cuda: CudaMajor; readonly folder: string }[] {
  return searchedSets()
    .filter(({ problem }) => problem === null)
    .map(({ cuda, folder }) => ({ cuda, folder }));
}

/** A set that is not used, because something is wrong with it. */
export interface DamagedSet {
  /** The name, such as "cu13-9.28.1.4". */
  readonly name: string;
  /** The set's folder. */
  readonly folder: string;
  /** What is wrong. */
  readonly problem: string;
}

/** Returns the sets that would be searched for libraries if they were whole. Never throws. */
export function damagedSets(): DamagedSet[] {
  return searchedSets().flatMap(({ name, folder, problem }) =>
    problem === null ? [] : [{ name, folder, problem }],
  );
}
