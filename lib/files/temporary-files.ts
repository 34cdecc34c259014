// Removes this process's remaining temporary files when it exits or a signal ends it.
import { unlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { bare } from "../check.js";
import { despiteUse } from "./in-use.js";

/** The signals that end a process. Windows sends SIGBREAK for Ctrl+Break, and SIGHUP when a console is closed. */
function endingSignals(platform = process.platform): readonly NodeJS.Signals[] {
  return ["SIGINT", "SIGTERM", "SIGHUP", ...(platform === "win32" ? ["SIGBREAK" as const] : [])];
}

/** Returns the signal with which a process can end itself as `signal` would: Windows knows few. */
export function ownEndOf(signal: NodeJS.Signals, platform = process.platform): NodeJS.Signals {
  return platform === "win32" ? "SIGTERM" : signal;
}

const removals = new Set<() => void>();

/** Removes all temporary files, as far as the system permits. Code that still uses one gets an error. */
export function removeTemporaryFiles(): void {
  for (const remove of removals) {
    try {
      remove();
    } catch {
      // The file is gone, or stays because the process ends.
    }
  }
  removals.clear();
  stopListening();
}

/**
 * Counts the listeners of the package signal-exit, which many command-line programs use. They end the process only if
 * there is no other listener, so this module must not mistake them for a program that handles the signal.
 */
function countOfSignalExit(): number {
  const counts = [
    (globalThis as Record<symbol, { count?: unknown }>)[Symbol.for("signal-exit emitter")]?.count,
    (process as { __signal_exit_emitter__?: { count?: unknown } }).__signal_exit_emitter__?.count,
  ];
  return counts.reduce<number>((sum, count) => sum + (typeof count === "number" ? count : 0), 0);
}

/** Leaves the signal to a program that listens to it; otherwise removes the files and lets the signal end the process. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) - 1 > countOfSignalExit()) return;
  removeTemporaryFiles();
  process.kill(process.pid, ownEndOf(signal));
}

function startListening(): void {
  process.on("exit", removeTemporaryFiles);
  for (const signal of endingSignals()) process.on(signal, onSignal);
}

function stopListening(): void {
  process.off("exit", removeTemporaryFiles);
  for (const signal of endingSignals()) process.off(signal, onSignal);
}

/**
 * Registers `remove`, which must be synchronous, to be called when the process exits or a signal ends it. A signal to
 * which the program itself listens has no effect here.
 * @returns a function that removes the registration
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
  await despiteUse(() => rm(path, bare({ force: true }))).catch(
    () => void removeAtExit(() => unlinkSync(path)),
  );
}
