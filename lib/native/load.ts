// Finds the addon and loads it on first use. If that fails, the error says what was tried and how to build it.
import { createRequire } from "node:module";
import { arch, platform } from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { translated, VggError } from "../errors.js";
import { isError } from "../realm.js";
import type { AddonReport, NativeAddon } from "./addon.js";

const packageRoot = fileURLToPath(new URL("../..", import.meta.url));

/** Returns the paths to try: only `VGG_ADDON` if it is set, otherwise the two output paths of cmake-js. */
function candidates(): string[] {
  const chosen = process.env.VGG_ADDON;
  if (chosen) return [chosen];
  return ["Release", "Debug"].map((config) => `${packageRoot}build/${config}/vgg_cudnn.node`);
}

/** Halts GPUs at exit. NVIDIA's libraries crash if a thread is inside a call while they are destroyed at process exit. */
function haltAtExit({ halt }: NativeAddon): void {
  // When a worker ends, other threads keep the devices. This module may be loaded more than once, the addon only once.
  if (isMainThread && !process.listeners("exit").includes(halt)) process.on("exit", halt);
}

interface Loaded {
  readonly addon: NativeAddon | null;
  readonly report: AddonReport;
  /** Set if the addon was found but there was no memory to start it. */
  readonly failure?: VggError;
}

let loaded: Loaded | undefined;

function load(): Loaded {
  const require = createRequire(import.meta.url);
  const tried: { path: string; error: string | null }[] = [];
  let failure: VggError | undefined;
  for (const path of candidates()) {
    try {
      const addon = require(path) as NativeAddon;
      haltAtExit(addon);
      tried.push({ path, error: null });
      return { addon, report: { path, tried } };
    } catch (error) {
      const typed = translated(error);
      if (typed instanceof VggError) failure = typed;
      // Keeps the first line only: Node appends the stack of requires.
      tried.push({
        path,
        error: (isError(error) ? error.message : String(error)).split("\n", 1)[0] ?? "",
      });
    }
  }
  return { addon: null, report: { path: null, tried }, ...(failure && { failure }) };
}

/** Returns what `diagnose` says about the addon. Tries to load it; never throws. */
export function addonReport(): AddonReport {
  loaded ??= load();
  return loaded.report;
}

/**
 * Returns the addon, which is loaded on first use.
 * @throws {VggError} ADDON_MISSING, with every path tried and the command that builds it; OUT_OF_MEMORY
 */
export function native(): NativeAddon {
  // A failure is not cached: `vgg build` may fix it while this process runs.
  if (!loaded?.addon) loaded = load();
  if (loaded.addon) return loaded.addon;
  if (loaded.failure) throw loaded.failure;
  const tries = loaded.report.tried.map(({ path, error }) => `  ${path}: ${error}`).join("\n");
  throw new VggError(
    "ADDON_MISSING",
    `Expected the native addon for ${platform}-${arch} but it could not be loaded:\n${tries}\n` +
      "Build it with: npx vgg-cudnn build\n" +
      "(needs CMake ≥ 3.18 and a C++20 compiler; package managers that skip install scripts leave this step out)",
  );
}
