// The options of batching: of a model, and of a call that shares runs with others.
import { checkInteger, checkSignal, rangeError, readOptions, typeError } from "../check.js";

/** Bounds of the batches that concurrent calls of a model share, and of the queue in which the calls wait. */
export interface BatchingOptions {
  /** The most images of one run. Default 16 on a CPU and 64 on a GPU. */
  maxBatchSize?: number | undefined;
  /**
   * The most images that may be decoded and wait at one time; a call beyond it rejects with QUEUE_FULL. Default: what
   * the device computes in 2 s, at least 128. If nothing waits, a call of any size is accepted.
   */
  maxQueueSize?: number | undefined;
  /** The most bytes of these images, encoded and decoded. Default 256 MiB. */
  maxQueueBytes?: number | undefined;
}

/** `BatchingOptions` after the check. */
export interface BatchingSettings {
  readonly maxBatchSize: number | undefined;
  readonly maxQueueSize: number | undefined;
  readonly maxQueueBytes: number;
}

/** Times of the images of a call that ran together. A run that had no memory and was repeated in halves counts as one. */
export interface CallTiming {
  /** The time in ms that the call waited until the images were decoded. 0 for a tensor. */
  readonly decodeMs: number;
  /** The time in ms from then until their run started. */
  readonly queueMs: number;
  /** The time in ms of their run. It includes a wait for the device's earlier runs. */
  readonly runMs: number;
  /** The images of the run, including other calls'. */
  readonly batchSize: number;
  /** How many of them are the call's. */
  readonly images: number;
}

/** Options of calls that share runs. Without batching, calls run as they come, and only `onTiming` has an effect. */
export interface QueueOptions {
  /** An integer from 1, which is served first, to 9. Default 0, which counts as 5. */
  priority?: number | undefined;
  /**
   * The time in ms from the call by which its result must be there. The call rejects with TIMED_OUT as soon as this
   * passes or cannot be met, but not if its run has started. Default: no limit.
   */
  timeoutMs?: number | undefined;
  /**
   * Who calls, such as a user's name. Clients of one priority get equal shares of the device, and a client that has a
   * name cannot fill the queue: its calls reject with QUEUE_FULL when it would have more than four times the room that
   * is left after it. Default "".
   */
  client?: string | undefined;
  /** Called for each run that the call has taken part in, before the call resolves. What it throws rejects the call. */
  onTiming?: ((timing: CallTiming) => void) | undefined;
}

/** `QueueOptions` after the check, and the call's signal. */
export interface CallSettings {
  /** From 1 to 9. */
  readonly priority: number;
  readonly timeoutMs: number | undefined;
  readonly client: string;
  readonly onTiming: ((timing: CallTiming) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** The names of the options in QueueOptions. */
export const queueOptionNames = Object.freeze(["priority", "timeoutMs", "client", "onTiming"]);

const usualPriority = 5;

/**
 * Reads the option `batching` of a model.
 * @returns null if it is off
 * @throws {TypeError|RangeError} neither false nor an object of integers
 */
export function readBatching(given: false | BatchingOptions | undefined): BatchingSettings | null {
  if (given === false) return null;
  if (given !== undefined && (typeof given !== "object" || given === null))
    throw typeError("false or an object", "options.batching", given);
  const known = ["maxBatchSize", "maxQueueSize", "maxQueueBytes"];
  const read = readOptions(given ?? {}, "options.batching", known);
  const { maxBatchSize, maxQueueSize, maxQueueBytes = 256 * 2 ** 20 } = read;
  const check = (value: number | undefined, name: string, max: number) => {
    if (value !== undefined) checkInteger(value, `options.batching.${name}`, 1, max);
  };
  check(maxBatchSize, "maxBatchSize", 4096);
  check(maxQueueSize, "maxQueueSize", 2 ** 31 - 1);
  check(maxQueueBytes, "maxQueueBytes", Number.MAX_SAFE_INTEGER);
  return { maxBatchSize, maxQueueSize, maxQueueBytes };
}

/**
 * Checks the options of a call.
 * @param given was read by readOptions
 * @throws {TypeError|RangeError} a wrong option; the reason of `signal`
 */
export function checkQueueOptions(
  given: QueueOptions & { signal?: AbortSignal | undefined },
): CallSettings {
  const { priority = 0, timeoutMs, client = "", onTiming, signal } = given;
  checkSignal(signal);
  signal?.throwIfAborted();
  checkInteger(priority, "options.priority", 0, 9);
  if (timeoutMs !== undefined) checkTimeout(timeoutMs);
  if (typeof client !== "string") throw typeError("a string", "options.client", client);
  if (onTiming !== undefined && typeof onTiming !== "function")
    throw typeError("a function", "options.onTiming", onTiming);
  return { priority: priority || usualPriority, timeoutMs, client, onTiming, signal };
}

function checkTimeout(timeoutMs: unknown): void {
  const max = 2 ** 31 - 1;
  const expected = `a number of ms above 0 and up to ${max}`;
  if (typeof timeoutMs !== "number") throw typeError(expected, "options.timeoutMs", timeoutMs);
  if (!(timeoutMs > 0 && timeoutMs <= max))
    throw rangeError(expected, "options.timeoutMs", timeoutMs);
}
