// Works under a lock between processes, after those that hold it.
import { setTimeout as delay } from "node:timers/promises";
import { onAbort, unlessAborted } from "../signal.js";
import { withFile } from "./errors.js";
import { type Lock, LockWatch, tryLock } from "./lock.js";

const waitingMs = 100;
const progressMs = 1_000;

/** Returns a signal that aborts when any of the signals does, until released. Node 20 may collect AbortSignal.any's result. */
function anyOf(signals: (AbortSignal | undefined)[]): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const releases = signals.map((signal) => onAbort(signal, () => controller.abort(signal?.reason)));
  return {
    signal: controller.signal,
    release: () => releases.forEach((release) => void release()),
  };
}

/**
 * Waits for the lock and runs `work`. If another process takes the lock over while it runs, it runs again after that
 * process.
 * @param onWaiting called once a second while another process holds the lock
 * @param work gets a signal that aborts with `signal`, and when the lock is lost
 * @throws {VggError} FOLDER_UNUSABLE @throws the error of `work` while the lock is held, and the signal's reason
 */
export async function underLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  onWaiting: () => Promise<void> | void,
  work: (lock: Lock, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const watch = new LockWatch();
  for (let shownMs = Number.NEGATIVE_INFINITY; ; ) {
    signal?.throwIfAborted();
    const lock = await withFile(path, () => tryLock(path, watch));
    if (lock === undefined) {
      if (performance.now() - shownMs >= progressMs) {
        shownMs = performance.now();
        await onWaiting();
      }
      await unlessAborted(delay(waitingMs), signal);
      continue;
    }
    const either = anyOf([signal, lock.lost]);
    try {
      return await work(lock, either.signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (await lock.isHeld().catch(() => true)) throw error;
    } finally {
      either.release();
      await lock.release();
    }
  }
}
