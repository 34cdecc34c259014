// A call that takes one image or an array: it enters the queue before anything is decoded, and ends as a whole.
import type { Batcher } from "../../batch/batcher.js";
import type { CallSettings } from "../../batch/options.js";
import type { Kind, Outputs } from "../../batch/run.js";
import { enter, type Turn } from "../../batch/turn.js";
import type { Preprocessing } from "../../image/preprocessing.js";
import { discardAll, type OpenedSource } from "../../image/read.js";

/** Returns a source that is open already. */
export const itself = (source: OpenedSource): OpenedSource => source;

/** What a call needs to enter. */
export interface Visitor<Results extends Outputs> {
  readonly kind: Kind<Results>;
  readonly call: CallSettings;
  readonly preprocessing: Preprocessing;
  /** The number of its images that stay together. */
  readonly batchSize: number;
}

/**
 * Calls `use` with the call's turn and the number of images that stay together. Ends the sources' streams if it fails.
 * @throws {VggError} QUEUE_FULL, TIMED_OUT, DISPOSED; what `use` throws
 */
export async function withImages<Results extends Outputs>(
  { kind, call, preprocessing, batchSize }: Visitor<Results>,
  batcher: Batcher | null,
  sources: readonly OpenedSource[],
  use: (turn: Turn<Results>, batchSize: number) => Promise<void>,
): Promise<void> {
  const { crop, channels } = preprocessing;
  const together = Math.min(batchSize, batcher?.maxBatchSize ?? batchSize);
  const visit = {
    images: sources.length,
    // While some run, as many are decoded.
    window: 2 * together,
    imageBytes: crop * crop * channels,
    heldBytes: sources.reduce((sum, { heldBytes }) => sum + heldBytes, 0),
  };
  let turn: Turn<Results> | undefined;
  try {
    turn = enter(batcher, kind, visit, call);
    await use(turn, together);
  } catch (error) {
    discardAll(sources);
    throw error;
  } finally {
    turn?.end();
  }
}
