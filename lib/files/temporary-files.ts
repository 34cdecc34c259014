// The temporary files of this process: what is still there when it exits, or a signal ends it, is removed then.
import { unlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { bare } from "../check.js";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const removals = new Set<() => void>();

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
  stopListening();
}

/**
 * Listeners of the package signal-exit, which many command lines have. They end the process only if nobody else listens,
 * so this module must not take them for a program that handles the signal.
 */
function countOfSignalExit(): number {
  const counts = [
    (globalThis as Record<symbol, { count?: unknown }>)[Symbol.for("signal-exit emitter")]?.count,
    (process as { __signal_exit_emitter__?: { count?: unknown } }).__signal_exit_emitter__?.count,
  ];
  return counts.reduce<number>((sum, count) => sum + (typeof count === "number" ? count : 0), 0);
}

/** A program that listens to the signal decides itself; otherwise the signal ends the process, as it would without this. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) - 1 > countOfSignalExit()) return;
  removeTemporaryFiles();
  process.kill(process.pid, signal);
}

function startListening(): void {
  process.on("exit", removeTemporaryFiles);
  for (const signal of signals) process.on(signal, onSignal);
}

function stopListening(): void {
  process.off("exit", removeTemporaryFiles);
  for (const signal of signals) process.off(signal, onSignal);
}

/**
 * Has `remove`, which may not wait, called when the process exits, until the result is called. A signal that would end the
 * process does so, after that; if the program listens to the signal itself, nothing happens but what it does.
 */
export function removeAtExit(remove: () => void): () => void {
  if (removals.size === 0) startListening();
  removals.add(remove);
  return () => {
    if (removals.delete(remove) && removals.size === 0) stopListening();
  };
}

/** Removes a file now, or when the process exits. */
export async function removeTemporary(path: string): Promise<void> {
  await rm(path, bare({ force: true })).catch(() => void removeAtExit(() => unlinkSync(path)));
}
