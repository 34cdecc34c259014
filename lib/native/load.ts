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
      const addon = place.load() as NativeAddon;
      if (typeof addon.halt !== "function") throw new Error("Expected the addon of vgg-cudnn");
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
