// Where this user's caches are: downloaded weights, and what was measured and compiled for GPUs.
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The folder for caches of all programs: $XDG_CACHE_HOME, else ~/.cache. */
export function userCacheFolder(): string {
  return resolve(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"));
}

/** The folder of this package in it. */
export function cacheFolder(): string {
  return join(userCacheFolder(), "vgg-cudnn");
}
