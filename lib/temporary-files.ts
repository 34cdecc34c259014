// The temporary files of this process: what is still there when it exits, or a signal ends it, is removed then.
import { unlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { onExit } from "signal-exit";
import { bare } from "./check.js";

const removals = new Set<() => void>();
let stopListening: (() => void) | undefined;

/** Removes what is there, as far as the system lets it; whoever works on it meets an error. */
function removeAll(): void {
  for (const remove of removals) {
    try {
      remove();
    } catch {
      // It is gone, or stays: the process ends.
    }
  }
  removals.clear();
}

/**
 * Has `remove`, which may not wait, called when the process exits, until the result is called. A signal that would end the
 * process does so, after that; if the program listens to the signal itself, nothing happens but what it does.
 */
export function removeAtExit(remove: () => void): () => void {
  removals.add(remove);
  stopListening ??= onExit(removeAll);
  return () => {
    removals.delete(remove);
    if (removals.size > 0) return;
    stopListening?.();
    stopListening = undefined;
  };
}

/** Removes a file now, or when the process exits. */
export async function removeTemporary(path: string): Promise<void> {
  await rm(path, bare({ force: true })).catch(() => void removeAtExit(() => unlinkSync(path)));
}
