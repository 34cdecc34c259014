// The addon for calls that load NVIDIA's libraries: it is told first which sets are installed.
import type { NativeAddon } from "../../native/addon.js";
import { native } from "../../native/load.js";
import { usableSets } from "./installed.js";

/** Returns the addon, which looks for libraries in the sets that are installed now. @throws {VggError} as `native` */
export function nvidiaAddon(): NativeAddon {
  const addon = native();
  addon.setCudaSets(usableSets());
  return addon;
}
