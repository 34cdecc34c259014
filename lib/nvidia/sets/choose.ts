// Chooses the set of NVIDIA's libraries that fits this machine: its system and its driver.
import { rangeError } from "../../check.js";
import { callNative, VggError } from "../../errors.js";
import { native } from "../../native/load.js";
import { type CudaMajor, type LibrarySet, testedSets, thisPlatform } from "./set.js";

/** The driver as this process sees it. */
export interface Driver {
  /** 13000 for CUDA 13.0; 0 if there is no driver that starts. */
  readonly version: number;
  /** Why there is none. */
  readonly problem: string | null;
}

/** Returns this machine's driver. Never throws: without the addon the driver is unknown. */
export function findDriver(): Driver {
  try {
    return callNative(() => native().cudaDriver());
  } catch (error) {
    if (!(error instanceof VggError)) throw error;
    return { version: 0, problem: error.message };
  }
}

/** Formats a driver's version: "CUDA 12.4". */
export function shownVersion(version: number): string {
  return `CUDA ${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

/**
 * Returns the CUDA major whose libraries the driver runs.
 * @throws {RangeError} no driver tells it, so --cuda must @throws {VggError} UNSUPPORTED: the driver is too old
 */
export function cudaOfDriver({ version, problem }: Driver): CudaMajor {
  if (version >= 13_000) return 13;
  if (version >= 12_000) return 12;
  if (version > 0) {
    throw new VggError(
      "UNSUPPORTED",
      `Expected a driver for CUDA 12 or newer but received ${shownVersion(version)}: update the driver ` +
        "(525 or newer for CUDA 12, 580 or newer for CUDA 13)",
    );
  }
  throw new RangeError(
    `Expected --cuda 12 or --cuda 13, because no driver says which one fits (${problem ?? "none found"})`,
  );
}

/** Whether this process uses glibc, for which NVIDIA builds its libraries. Systems other than Linux count as such. */
function hasGlibc(): boolean {
  if (process.platform !== "linux") return true;
  // Newer than these types: without it the report looks up the names of all open connections.
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean };
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header?.glibcVersionRuntime !== undefined;
  } finally {
    report.excludeNetwork = before ?? false;
  }
}

/** @throws {VggError} UNSUPPORTED: NVIDIA has no libraries for this system */
export function checkPlatform(platform = thisPlatform()): void {
  const platforms = [...new Set(testedSets().map((set) => set.platform))];
  const isMusl = platforms.includes(platform) && !hasGlibc();
  if (platforms.includes(platform) && !isMusl) return;
  throw new VggError(
    "UNSUPPORTED",
    `Expected a system that NVIDIA's libraries exist for (${platforms.join(", ")}, on Linux with glibc) ` +
      `but this is ${platform}${isMusl ? " with musl" : ""}`,
  );
}

/** Returns the tested set of this platform for a CUDA major. @throws {VggError} UNSUPPORTED @throws {RangeError} none */
export function testedSet(cuda: CudaMajor): LibrarySet {
  const platform = thisPlatform();
  const sets = testedSets().filter((set) => set.platform === platform);
  const found = sets.find((set) => set.cuda === cuda);
  if (found !== undefined) return found;
  const majors = [...new Set(sets.map((set) => set.cuda))];
  throw rangeError(`${majors.join(" or ")}, which exist for ${platform},`, "--cuda", cuda);
}
