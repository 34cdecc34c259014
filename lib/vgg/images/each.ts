// Computes a value for each of many images, batch by batch: decodes the next batch while the device works on this one.
import { setImmediate } from "node:timers/promises";
import { cropPixels } from "../../image/crop.js";
import type { Preprocessing } from "../../image/preprocessing.js";
import type { OpenedSource } from "../../image/source.js";
import { Lookahead, type Sources } from "./lookahead.js";

/** Options of `runEach`. */
export interface EachOptions {
  /** The number of images in one batch on the device. */
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
}

/** The value for one image, or why there is none. */
export type Outcome<Source, Value> =
  | { readonly source: Source; readonly value: Value }
  | { readonly source: Source; readonly error: unknown };

/** Whether an image failed. Does not use `"error" in`, which also finds properties of Object.prototype. */
export function isFailure<Result extends object>(
  result: Result,
): result is Extract<Result, { readonly error: unknown }> {
  return Object.hasOwn(result, "error");
}

/**
 * Computes a value for each image, in order. A bad image does not stop the others.
 * @param open opens a source; called before the iterator's next source is requested
 * @param compute returns the values of images (crop, crop, channels) uint8, one for each. `decodeMs` is how long they
 * were waited for
 */
export async function* runEach<Source, Value>(
  preprocessing: Preprocessing,
  sources: Sources<Source>,
  open: (source: Source) => OpenedSource,
  compute: (crops: readonly Uint8Array[], decodeMs: number) => Promise<readonly Value[]>,
  { batchSize, signal }: EachOptions,
): AsyncGenerator<Outcome<Source, Value>> {
  const call = {};
  const decode = async (source: Source, stop: AbortSignal) =>
    cropPixels(open(source), preprocessing, { signal: stop }, call);
  const ahead = new Lookahead(sources, batchSize, decode, signal);
  try {
    for (;;) {
      const since = performance.now();
      const batch = await ahead.take();
      if (batch.length === 0) return;
      const good = batch.flatMap(({ pixels }) =>
        pixels.status === "fulfilled" ? [pixels.value] : [],
      );
      let values: readonly Value[] = [];
      if (good.length > 0) values = await compute(good, performance.now() - since);
      // Yield to the event loop, so that timers and thus signals can fire. Refused sources alone may never let it turn.
      else await setImmediate();
      let taken = 0;
      for (const { source, pixels } of batch) {
        signal?.throwIfAborted();
        if (pixels.status === "rejected") yield { source, error: pixels.reason };
        else yield { source, value: values[taken++]! };
      }
    }
  } finally {
    await ahead.close();
  }
}
