// The temporary files of this process: what is still there when it exits is removed then.
import { unlinkSync } from "node:fs";
import { rm } from "node:fs/promises";

const removals = new Set<() => void>();
let isListening = false;

/** Removes what is there, as far as the system lets it; whoever works on it meets an error. */
export function removeTemporaryFiles(): void {
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
 * Has `remove`, which may not wait, called when the process exits, until the result is called. Signals are the program's
 * own affair: by default they end a process without this.
 */
export function removeAtExit(remove: () => void): () => void {
  if (!isListening) process.on("exit", removeTemporaryFiles);
  isListening = true;
  removals.add(remove);
  return () => void removals.delete(remove);
}

/** Removes a file now, or when the process exits. */
export async function removeTemporary(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => void removeAtExit(() => unlinkSync(path)));
}
