// Finds this user's cache folders: for downloaded weights, and for measurements and compiled kernels of GPUs.
import { lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix, resolve, win32 } from "node:path";
import { bare } from "../check.js";
import { VggError } from "../errors.js";
import { type Machine, machineOf } from "./home.js";

/**
 * Makes this user's folder in the system's temporary folder. Anyone may have created something with its name there, so a
 * link or a folder that others can write to is not used.
 * @throws {VggError} FOLDER_UNUSABLE
 */
function temporaryFolder(): string {
  const user = process.getuid?.();
  const path = resolve(tmpdir(), `vgg-cudnn-${user ?? "cache"}`);
  const unusable = (reason: string, cause?: unknown) =>
    new VggError(
      "FOLDER_UNUSABLE",
      `Expected a folder that only this user can write to, for lack of a home folder, at ${path} but ${reason}; set ${process.platform === "win32" ? "LOCALAPPDATA" : "HOME"} or XDG_CACHE_HOME`,
      { cause },
    );
  try {
    mkdirSync(path, bare({ mode: 0o700 }));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "EEXIST") throw unusable(`received ${code}`, cause);
  }
  const stats = lstatSync(path, bare({ throwIfNoEntry: false as const }));
  // Windows has no user ids, and each user has a separate temporary folder.
  const isOwn = user === undefined || (stats?.uid === user && (stats.mode & 0o022) === 0);
  if (!stats?.isDirectory() || !isOwn) throw unusable("it belongs to others or is none");
  return path;
}

/** Returns $XDG_CACHE_HOME if it is absolute. Else it counts as unset, by the XDG specification. */
function chosenFolder({ platform, environment }: Machine): string | undefined {
  const { XDG_CACHE_HOME: chosen = "" } = environment;
  return (platform === "win32" ? win32 : posix).isAbsolute(chosen) ? chosen : undefined;
}

/**
 * Returns the folder for caches of all programs: $XDG_CACHE_HOME if it is absolute, else ~/.cache, on Windows
 * %LOCALAPPDATA%; else this user's folder in the temporary folder.
 * @throws {VggError} FOLDER_UNUSABLE: none of these can be used
 */
export function userCacheFolder(machine: Machine = machineOf()): string {
  const { platform, environment, home } = machine;
  const chosen = chosenFolder(machine);
  if (platform !== "win32" || chosen !== undefined) return torchCacheFolder(machine);
  const { LOCALAPPDATA: local = "" } = environment;
  if (win32.isAbsolute(local)) return local;
  return home === undefined ? temporaryFolder() : win32.join(home, "AppData", "Local");
}

/**
 * Returns the folder in which torch has its cache: $XDG_CACHE_HOME if it is absolute, else ~/.cache, also on Windows; else
 * this user's folder in the temporary folder.
 * @throws {VggError} FOLDER_UNUSABLE: none of these can be used
 */
export function torchCacheFolder(machine: Machine = machineOf()): string {
  const { platform, home } = machine;
  const chosen = chosenFolder(machine);
  if (chosen !== undefined) return chosen;
  if (home === undefined) return temporaryFolder();
  return (platform === "win32" ? win32 : posix).join(home, ".cache");
}

/** Returns this package's folder in the user's cache folder. @throws {VggError} FOLDER_UNUSABLE */
export function cacheFolder(): string {
  return join(userCacheFolder(), "vgg-cudnn");
}

/** Returns the folder for GPU plans and kernels, or "" if there is none. A GPU then works without a cache. */
export function gpuCacheFolder(): string {
  try {
    return join(cacheFolder(), "cuda");
  } catch {
    return "";
  }
}
