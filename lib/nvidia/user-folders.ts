// Where a system keeps the settings of users and of the machine, by the environment's variables.
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Environment } from "./types.js";

/** Returns the home folder by HOME or, on Windows, USERPROFILE; else the system's. Undefined if there is none. */
export function homeOf(
  environment: Environment,
  system: NodeJS.Platform = process.platform,
): string | undefined {
  const named = system === "win32" ? environment.USERPROFILE : environment.HOME;
  if (named && isAbsolute(named)) return named;
  try {
    const home = homedir();
    return isAbsolute(home) ? home : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces a leading ~ with the home folder. */
export function expandUser(path: string, environment: Environment): string {
  const home = homeOf(environment);
  return home !== undefined && /^~(?=[/\\]|$)/.test(path) ? join(home, path.slice(1)) : path;
}
