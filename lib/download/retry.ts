// Tries again after failures that may be temporary, with growing delays.
import { setTimeout as delay } from "node:timers/promises";
import { bare } from "../check.js";
import { VggError } from "../errors.js";
import { Interrupted, shown } from "./http.js";

export interface RetryOptions {
  readonly signal: AbortSignal;
  /** The number of consecutive retries that may bring no new byte. */
  readonly retries: number;
  /** The delay before the first retry. Each further retry waits twice as long. */
  readonly retryDelayMs: number;
}

const longestDelayMs = 30_000;
const longestRetryAfterMs = 300_000;

/**
 * Returns the delay before the next try, in ms.
 * @param failures consecutive tries without a new byte
 * @param retryAfter the header: seconds, or a date
 */
export function retryDelayMs(
  failures: number,
  baseMs: number,
  retryAfter?: string,
  now = Date.now(),
): number {
  const backOffMs = Math.min(baseMs * 2 ** Math.max(0, failures - 1), longestDelayMs);
  if (retryAfter === undefined) return backOffMs;
  const wishMs = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - now;
  return Number.isNaN(wishMs) ? backOffMs : Math.max(wishMs, backOffMs);
}

/**
 * Runs `attempt` until it does not throw `Interrupted`.
 * @param received the bytes that came so far and stay; new ones reset the count of failures
 * @throws {VggError} DOWNLOAD_FAILED: no further try @throws any other error of `attempt`, and the signal's reason
 */
export async function retrying<T>(
  url: URL,
  options: RetryOptions,
  received: () => number,
  attempt: () => Promise<T>,
): Promise<T> {
  const { signal, retries } = options;
  let failures = 0;
  for (let farthest = received(); ; farthest = Math.max(farthest, received())) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Interrupted)) throw error;
      const bytes = received();
      failures = bytes > farthest ? 0 : failures + 1;
      const waitMs = retryDelayMs(failures, options.retryDelayMs, error.retryAfter);
      if (failures > retries || waitMs > longestRetryAfterMs) {
        const later =
          failures > retries
            ? ""
            : ` and asks for a wait of ${Math.ceil(waitMs / 1000)} s before the next try`;
        const tries = failures <= 1 ? "" : ` (${failures} tries)`;
        const kept = bytes === 0 ? "" : `; ${bytes} bytes are kept for the next call`;
        throw new VggError(
          "DOWNLOAD_FAILED",
          `Could not download ${shown(url)}: ${error.message}${later}${tries}${kept}`,
          { cause: error },
        );
      }
      // Adds up to half of the delay at random, so that many clients do not retry at once.
      await delay(waitMs * (1 + Math.random() / 2), undefined, bare({ signal })).catch(() => {});
      signal.throwIfAborted();
    }
  }
}
