// Finds the home folder, and replaces a leading ~ with it.
import { homedir } from "node:os";
import { isAbsolute } from "node:path";

/** What decides where a user's folders lie. Tests give another system's. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Undefined for a user without HOME and without an entry in passwd, as in containers, or with an empty HOME. */
  readonly home: string | undefined;
}

/** Returns the home folder from HOME or, on Windows, USERPROFILE; else the system's. */
function homeOf({ environment, platform }: Omit<Machine, "home">): string | undefined {
  const named = platform === "win32" ? environment.USERPROFILE : environment.HOME;
  if (named && isAbsolute(named)) return named;
  try {
    const home = homedir();
    return isAbsolute(home) ? home : undefined;
  } catch {
    return undefined;
  }
}

export function machineOf(
  environment: Machine["environment"] = process.env,
  platform: NodeJS.Platform = process.platform,
): Machine {
  return { platform, environment, home: homeOf({ platform, environment }) };
}

/** Replaces a leading ~ with the home folder. On Windows a backslash may follow it too. */
export function expandHome(path: string, { platform, home }: Machine = machineOf()): string {
  const tilde = platform === "win32" ? /^~(?=[\\/]|$)/ : /^~(?=\/|$)/;
  return path.replace(tilde, (found) => home ?? found);
}
