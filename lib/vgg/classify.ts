// Classifies images: decodes the next ones while the device works, and returns the best classes of each.

import { setImmediate } from "node:timers/promises";
import { GraphBuilder } from "../graph/builder.js";
import type { Graph } from "../graph/graph.js";
import type { GraphRecord } from "../graph/ops.js";
import { type CropOptions, cropPixels, imageNetMean, imageNetStd } from "../image/preprocess.js";
import type { OpenedSource } from "../image/source.js";
import { Tensor } from "../tensor.js";
import { Lookahead, type Sources } from "./lookahead.js";
import { recordModules } from "./record.js";
import type { Topology } from "./topology.js";

/** One class of an image. */
export interface Prediction {
  /** The number of the class. */
  readonly index: number;
  /** The name of the class, or its number if no names are known. */
  readonly label: string;
  /** 0 … 1, or NaN if the network's output is NaN. */
  readonly probability: number;
}

/** Records pixels (N, imageSize, imageSize, 3) uint8 → normalisation → network → softmax → the `top` best classes. */
export function recordClassify(topology: Topology, top: number): GraphRecord {
  const { imageSize } = topology;
  const builder = new GraphBuilder();
  const pixels = builder.input("pixels", [imageSize, imageSize, 3], "uint8");
  const image = builder.normalize(pixels, { mean: imageNetMean, std: imageNetStd });
  const { value: logits } = recordModules(builder, topology, image, []);
  const { values, indices } = builder.topK(builder.softmax(logits), top);
  return builder.finish({ probabilities: values, indices });
}

/** Returns torchvision's crop in proportion: for 224 pixels, the shorter side is resized to 256. */
function cropSizes({ imageSize }: Topology): Pick<CropOptions, "resizeSize" | "cropSize"> {
  return { resizeSize: Math.round((imageSize * 256) / 224), cropSize: imageSize };
}

/** Classifies pixels (n, imageSize, imageSize, 3) uint8. `labels` may be undefined. */
async function classifyPixels(
  graph: Graph,
  pixels: Tensor,
  labels: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Prediction[][]> {
  const outputs = (await graph.run({ pixels }, signal === undefined ? {} : { signal })) as Record<
    string,
    Tensor
  >;
  const probabilities = outputs.probabilities!.data as Float32Array;
  const indices = outputs.indices!.data as Int32Array;
  const [count, top] = outputs.indices!.shape as [number, number];
  return Array.from({ length: count }, (_, image) =>
    Array.from({ length: top }, (_, rank) => {
      const index = indices[image * top + rank]!;
      return {
        index,
        label: labels?.[index] ?? String(index),
        probability: probabilities[image * top + rank]!,
      };
    }),
  );
}

/** The result for one image: its classes, or the error. */
export type Classification<Source> =
  | {
      /** The image as it was given. */
      readonly source: Source;
      /** Its classes, the best first. */
      readonly predictions: readonly Prediction[];
    }
  | {
      /** The image as it was given. */
      readonly source: Source;
      /** Why it was not classified. */
      readonly error: unknown;
    };

/** Whether an image failed. Does not use `"error" in`, which also finds properties of Object.prototype. */
export function isFailure<Source>(
  result: Classification<Source>,
): result is Extract<Classification<Source>, { error: unknown }> {
  return Object.hasOwn(result, "error");
}

/**
 * Classifies images in order. The next batch is decoded while the device works on this one.
 * @param open opens a source; called before the iterator's next source is requested
 */
export async function* classifyAll<Source>(
  graph: Graph,
  topology: Topology,
  labels: readonly string[] | undefined,
  sources: Sources<Source>,
  open: (source: Source) => OpenedSource,
  options: { batchSize: number; signal: AbortSignal | undefined },
): AsyncGenerator<Classification<Source>> {
  const { batchSize, signal } = options;
  const { imageSize } = topology;
  const imageBytes = imageSize * imageSize * 3;
  const crop = cropSizes(topology);
  const call = {};
  const decode = async (source: Source, stop: AbortSignal) =>
    cropPixels(open(source), { ...crop, signal: stop }, call);
  const ahead = new Lookahead(sources, batchSize, decode, signal);
  try {
    for (;;) {
      const batch = await ahead.take();
      if (batch.length === 0) return;
      const good = batch.flatMap(({ pixels }) =>
        pixels.status === "fulfilled" ? [pixels.value] : [],
      );
      const data = new Uint8Array(good.length * imageBytes);
      for (const [index, pixels] of good.entries()) data.set(pixels, index * imageBytes);
      const tensor = new Tensor([good.length, imageSize, imageSize, 3], data);
      let predictions: Prediction[][] = [];
      if (good.length > 0) predictions = await classifyPixels(graph, tensor, labels, signal);
      // Yield to the event loop, so that timers and thus signals can fire. Refused sources alone may never let it turn.
      else await setImmediate();
      let taken = 0;
      for (const { source, pixels } of batch) {
        signal?.throwIfAborted();
        if (pixels.status === "rejected") yield { source, error: pixels.reason };
        else yield { source, predictions: predictions[taken++]! };
      }
    }
  } finally {
    await ahead.close();
  }
}
