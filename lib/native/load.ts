// Finds the addon and loads it on first use. Without an addon the error says what was tried and how to build one.
import { createRequire } from "node:module";
import { arch, platform } from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { translated, VggError } from "../errors.js";
import { isError } from "../realm.js";
import type { AddonReport, NativeAddon } from "./addon.js";

const packageRoot = fileURLToPath(new URL("../..", import.meta.url));

/** `VGG_ADDON` names the file to load, and the only one; otherwise the two places where cmake-js leaves it. */
function candidates(): string[] {
  const chosen = process.env.VGG_ADDON;
  if (chosen) return [chosen];
  return ["Release", "Debug"].map((config) => `${packageRoot}build/${config}/vgg_cudnn.node`);
}

/** NVIDIA's libraries crash where a thread is in a call of theirs while they destroy what they hold, at the end of the process. */
function haltAtExit({ halt }: NativeAddon): void {
  // A worker's end leaves the devices to the others. This module may be loaded more than once; the addon is one.
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
      // The first line: Node appends the stack of requires to it.
      tried.push({
        path,
        error: (isError(error) ? error.message : String(error)).split("\n", 1)[0] ?? "",
      });
    }
  }
  return { addon: null, report: { path: null, tried }, ...(failure && { failure }) };
}

/** What `diagnose` says about the addon. Tries to load it; throws nothing. */
export function addonReport(): AddonReport {
  loaded ??= load();
  return loaded.report;
}

/**
 * The addon, loaded on first use.
 * @throws {VggError} ADDON_MISSING, with every path tried and the command that mends it; OUT_OF_MEMORY
 */
export function native(): NativeAddon {
  // A failure is not kept: `vgg build` may mend it while this process lives.
  if (!loaded?.addon) loaded = load();
  if (loaded.addon) return loaded.addon;
  if (loaded.failure) throw loaded.failure;
  const tries = loaded.report.tried.map(({ path, error }) => `  ${path}: ${error}`).join("\n");
  throw new VggError(
    "ADDON_MISSING",
    `Expected the native addon for ${platform}-${arch} but it could not be loaded:\n${tries}\n` +
      "Build it with: npx vgg build\n" +
      "(needs CMake ≥ 3.18 and a C++20 compiler; package managers that skip install scripts leave this step out)",
  );
}
