// Compares pairs one after the other: reads the next pair while the device works, and batches small ones of one size.
import { follow } from "../signal.js";
import {
  type CompareOptions,
  comparePairs,
  type GraphOf,
  type Pair,
  type PairDistance,
  pairsPerRun,
} from "./compare.js";

/** Reads one pair. Rejects if it cannot be read or compared. */
export type ReadPair = (signal: AbortSignal) => Promise<Pair>;

/** The distance of one pair and the size of its images, or why there is none. */
export type PairOutcome =
  | { readonly height: number; readonly width: number; readonly distance: PairDistance }
  | { readonly error: unknown };

export interface EachPairOptions extends CompareOptions {
  /** Pairs of one run, at most. */
  readonly batchSize: number;
}

/**
 * Yields the outcome of each pair, in order. A pair that cannot be read does not stop the others.
 * @throws the errors of the device; the reason of `signal`
 */
export async function* comparePairwise(
  graphOf: GraphOf,
  reads: readonly ReadPair[],
  options: EachPairOptions,
): AsyncGenerator<PairOutcome> {
  const { batchSize, signal, maxPixels } = options;
  const { stop, unfollow } = follow(signal);
  const begin = async (index: number): Promise<PromiseSettledResult<Pair> | undefined> => {
    const read = reads[index];
    return read && (await Promise.allSettled([read(stop.signal)]))[0];
  };
  let batch: Pair[] = [];
  const computed = async (): Promise<PairOutcome[]> => {
    const pairs = batch;
    batch = [];
    if (pairs.length === 0) return [];
    const { height, width } = pairs[0]!;
    const distances = await comparePairs(graphOf, pairs, options);
    return distances.map((distance) => ({ height, width, distance }));
  };
  const fits = ({ height, width, samples }: Pair) => {
    const [first] = batch;
    if (first === undefined) return true;
    const isSame = first.height === height && first.width === width && first.samples === samples;
    const most = Math.min(batchSize, pairsPerRun(height, width, maxPixels));
    return isSame && batch.length < most;
  };
  try {
    let next = begin(0);
    for (let index = 0; index < reads.length; index++) {
      const read = (await next)!;
      next = begin(index + 1);
      signal?.throwIfAborted();
      if (read.status === "rejected") {
        yield* await computed();
        yield { error: read.reason };
        continue;
      }
      if (!fits(read.value)) yield* await computed();
      batch.push(read.value);
    }
    yield* await computed();
  } finally {
    stop.abort();
    unfollow();
  }
}
