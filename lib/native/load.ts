// Loads the addon on first use. If that fails, the error says what was tried and what to do.
import { isMainThread } from "node:worker_threads";
import { translated, VggError } from "../errors.js";
import { isError } from "../realm.js";
import { version } from "../version.js";
import type { AddonReport, NativeAddon } from "./addon.js";
import { addonMissingText } from "./missing.js";
import { type Place, places } from "./places.js";

/** Halts GPUs at exit. NVIDIA's libraries crash if a thread is inside a call while they are destroyed at process exit. */
function haltAtExit({ halt }: NativeAddon): void {
  // When a worker ends, other threads keep the devices. This module may be loaded more than once, the addon only once.
  if (isMainThread && !process.listeners("exit").includes(halt)) process.on("exit", halt);
}

/** The names that the addon exports. The compiler compares them with the interface. */
export const addonNames = Object.keys({
  Places: true,
  openCpu: true,
  openCuda: true,
  cudaDevices: true,
  cudaReport: true,
  cudaDriver: true,
  setCudaSets: true,
  planConvolutions: true,
  stepCosts: true,
  compileKernels: true,
  poolThreads: true,
  cpuInfo: true,
  halt: true,
  randomNormal: true,
  resizeCrop: true,
} satisfies Record<keyof NativeAddon, true>) as (keyof NativeAddon)[];

/** @throws {Error} not the addon of these sources: an older build, or another package's */
function checkAddon(value: unknown): asserts value is NativeAddon {
  const isObject = typeof value === "object" && value !== null;
  const addon = (isObject ? value : Object.create(null)) as Partial<NativeAddon>;
  const isThere = (name: keyof NativeAddon) =>
    Object.hasOwn(addon, name) && typeof addon[name] === "function";
  const absent = addonNames.filter((name) => !isThere(name));
  if (absent.length === 0) return;
  if (absent.length === addonNames.length)
    throw new Error("Expected the addon of vgg-cudnn but it is another one");
  throw new Error(
    `Expected the addon of vgg-cudnn ${version} but it is of another version: it lacks ${absent.join(", ")}`,
  );
}

interface Loaded {
  readonly addon: NativeAddon | null;
  readonly report: AddonReport;
  /** Set if the addon was found but there was no memory to start it. */
  readonly failure: VggError | undefined;
}

let loaded: Loaded | undefined;

/** Node's sentence without the stack of requires that it appends. */
const firstLine = (error: unknown) =>
  (isError(error) ? error.message : String(error)).split("\n", 1)[0] ?? "";

function found(place: Place, tried: AddonReport["tried"]): AddonReport {
  const { kind, name } = place;
  const holder = kind === "prebuilt" ? { name, version } : null;
  return { path: place.path(), kind, package: holder, tried };
}

function load(): Loaded {
  const tried: { path: string; error: string | null }[] = [];
  let failure: VggError | undefined;
  for (const place of places()) {
    try {
      const addon = place.load();
      checkAddon(addon);
      haltAtExit(addon);
      tried.push({ path: place.name, error: null });
      return { addon, report: found(place, tried), failure: undefined };
    } catch (error) {
      const typed = translated(error);
      if (typed instanceof VggError) failure = typed;
      tried.push({ path: place.name, error: firstLine(error) });
    }
  }
  const report = { path: null, kind: null, package: null, tried };
  return { addon: null, report, failure };
}

/** Returns what `diagnose` says about the addon. Tries to load it; never throws. */
export function addonReport(): AddonReport {
  loaded ??= load();
  return loaded.report;
}

/**
 * Returns the addon, which is loaded on first use.
 * @throws {VggError} ADDON_MISSING, with every file tried and what to do; OUT_OF_MEMORY
 */
export function native(): NativeAddon {
  // A failure is not cached: `vgg build` may fix it while this process runs.
  if (!loaded?.addon) loaded = load();
  if (loaded.addon) return loaded.addon;
  if (loaded.failure) throw loaded.failure;
  throw new VggError("ADDON_MISSING", addonMissingText(loaded.report));
}
