// Runs several tasks at the same time; the first failure stops the others.
import { follow } from "../signal.js";

/**
 * Runs `work` for each item, `limit` at a time and in the items' order. If one fails, the signals of the others abort,
 * and it is thrown after all have ended.
 * @throws the first error, or the signal's reason
 */
export async function runTasks<Item, Result>(
  items: readonly Item[],
  limit: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const { stop, unfollow } = follow(signal);
  const results: Result[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const worker = async () => {
    while (next < items.length && failure === undefined) {
      const at = next++;
      try {
        stop.signal.throwIfAborted();
        results[at] = await work(items[at]!, stop.signal);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  } finally {
    unfollow();
  }
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
  return results;
}
