// Runs the images of a tensor through the queue, in parts if they are more than one run may have.
import { copyArray } from "../order.js";
import { elementCount, nativeData, type Tensor } from "../tensor.js";
import type { Batcher } from "./batcher.js";
import type { CallSettings } from "./options.js";
import { joinOutputs, type Kind, type Outputs } from "./run.js";
import { enter } from "./turn.js";

/**
 * Runs images (N, …) float32 with N ≥ 1, at most `size` in a run. They are copied before this returns. With batching, all parts
 * wait at once; without it, each starts after the one before.
 * @param name the argument's name, for errors
 * @throws {VggError} QUEUE_FULL, TIMED_OUT, DISPOSED, OUT_OF_MEMORY, the errors of a run; the reason of the call's signal
 */
export async function runTensor<Results extends Outputs>(
  batcher: Batcher | null,
  kind: Kind<Results>,
  call: CallSettings,
  images: Tensor,
  name: string,
  size: number,
): Promise<Results> {
  const [count, ...shape] = images.shape as [number, ...number[]];
  const length = elementCount(shape);
  const visit = { images: count, window: count, imageBytes: 4 * length, heldBytes: 0 };
  const turn = enter(batcher, kind, visit, call);
  try {
    const together = Math.min(count, size, batcher?.maxBatchSize ?? size);
    const own = nativeData(images, name) as Float32Array;
    // A run that starts at once copies its input.
    const data = batcher === null && count === together ? own : copyArray(own);
    const parts = Array.from({ length: Math.ceil(count / together) }, (_, part) =>
      Array.from({ length: Math.min(together, count - part * together) }, (_, index) => {
        const first = (part * together + index) * length;
        return data.subarray(first, first + length);
      }),
    );
    if (batcher !== null)
      return joinOutputs(await Promise.all(parts.map((part) => turn.run(part))));
    const results: Results[] = [];
    for (const part of parts) results.push(await turn.run(part));
    return joinOutputs(results);
  } finally {
    turn.end();
  }
}
