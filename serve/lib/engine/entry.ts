// The versions of one model and their states, and which of them takes a request.
import { ServeError } from "../errors.js";
import type { ModelOptions } from "../settings/options.js";
import type { LayerShapes } from "./outputs.js";
import type { ServedModel } from "./served-model.js";
import type { ModelState } from "./types.js";

/** A version that takes requests. */
export interface Loaded {
  readonly model: ServedModel;
  readonly shapes: LayerShapes;
}

/** One version of a model. */
export interface Slot {
  state: ModelState;
  reason: string;
  /** Absent while it is not loaded. */
  loaded: Loaded | undefined;
}

/** A configured model. */
export interface Entry {
  readonly name: string;
  readonly options: ModelOptions;
  /** By version. */
  readonly slots: Map<string, Slot>;
  /** Ends when the last load or unload that was asked for has ended. */
  turn: Promise<void>;
}

/** The reason of a version that was unloaded on request. */
export const unloaded = "unloaded";

/** Compares versions, which are numbers of any length. */
export const byNumber = (a: string, b: string) => a.length - b.length || (a < b ? -1 : 1);

/** Returns the slot of the greatest version that is loaded, otherwise of the greatest. */
export function newest({ slots }: Entry): Slot | undefined {
  const versions = [...slots.keys()].sort(byNumber).reverse();
  const ready = versions.find((version) => slots.get(version)!.loaded !== undefined);
  return slots.get(ready ?? versions[0] ?? "");
}

/**
 * Returns what takes requests.
 * @param version undefined: the newest
 * @throws {ServeError} NOT_FOUND, or UNAVAILABLE while the model is loaded or if that failed
 */
export function loadedOf(entry: Entry, version: string | undefined): Loaded {
  const { name, slots } = entry;
  const slot = version === undefined ? newest(entry) : slots.get(version);
  if (slot?.loaded !== undefined) return slot.loaded;
  if (version !== undefined && slot === undefined && slots.size > 0)
    throw new ServeError(
      "NOT_FOUND",
      `Request for unknown model: '${name}' version ${version.slice(0, 40)} is not found`,
    );
  if (slot?.reason === unloaded)
    throw new ServeError(
      "NOT_FOUND",
      `Request for unknown model: '${name}' has no available versions`,
    );
  const isLoading = slot === undefined || slot.state === "LOADING";
  throw new ServeError(
    "UNAVAILABLE",
    isLoading ? `Model '${name}' is being loaded` : `Model '${name}' is not ready`,
    { retryAfterSeconds: isLoading ? 2 : 30 },
  );
}
