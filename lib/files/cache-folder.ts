// Where this user's caches are: downloaded weights, and what was measured and compiled for GPUs.
import { lstatSync, mkdirSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { bare } from "../check.js";
import { VggError } from "../errors.js";

/** Undefined for a user without HOME and without an entry in passwd, as containers run them, or with an empty HOME. */
function homeFolder(): string | undefined {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A folder of this user's in the system's for temporary files. Anyone may have made something of its name there: a link, or
 * a folder that others can write to, is not used.
 * @throws {VggError} FOLDER_UNUSABLE
 */
function temporaryFolder(): string {
  const user = process.getuid?.();
  const path = resolve(tmpdir(), `vgg-cudnn-${user ?? "cache"}`);
  const unusable = (reason: string, cause?: unknown) =>
    new VggError(
      "FOLDER_UNUSABLE",
      `Expected a folder that only this user can write to, for lack of a home folder, at ${path} but ${reason}; set HOME or XDG_CACHE_HOME`,
      { cause },
    );
  try {
    mkdirSync(path, bare({ mode: 0o700 }));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "EEXIST") throw unusable(`received ${code}`, cause);
  }
  const stats = lstatSync(path, bare({ throwIfNoEntry: false as const }));
  // Windows has no such numbers, and the folder for temporary files is the user's own.
  const isOwn = user === undefined || (stats?.uid === user && (stats.mode & 0o022) === 0);
  if (!stats?.isDirectory() || !isOwn) throw unusable("it belongs to others or is none");
  return path;
}

/** Replaces a leading ~ with the home folder. */
export function expandHome(path: string): string {
  return path.replace(/^~(?=\/|$)/, (tilde) => homeFolder() ?? tilde);
}

/**
 * The folder for caches of all programs: $XDG_CACHE_HOME if it is absolute (else it counts as unset, by the XDG
 * specification), else ~/.cache, else one for this user in the folder for temporary files.
 * @throws {VggError} FOLDER_UNUSABLE: none of them
 */
export function userCacheFolder(): string {
  const chosen = process.env.XDG_CACHE_HOME ?? "";
  if (isAbsolute(chosen)) return chosen;
  const home = homeFolder();
  return home === undefined ? temporaryFolder() : join(home, ".cache");
}

/** The folder of this package in it. @throws {VggError} FOLDER_UNUSABLE */
export function cacheFolder(): string {
  return join(userCacheFolder(), "vgg-cudnn");
}

/** Where plans and kernels for GPUs are kept; "" if there is no folder: then none are kept, and a GPU works without. */
export function gpuCacheFolder(): string {
  try {
    return join(cacheFolder(), "cuda");
  } catch {
    return "";
  }
}
