// Images to labels: decoding ahead of the device, and the best classes of each image.

import { GraphBuilder } from "../graph/builder.js";
import type { Graph } from "../graph/graph.js";
import type { GraphRecord } from "../graph/ops.js";
import { type CropOptions, cropPixels, imageNetMean, imageNetStd } from "../image/preprocess.js";
import type { ImageSource } from "../image/source.js";
import { Tensor } from "../tensor.js";
import { recordModules } from "./record.js";
import type { Topology } from "./topology.js";

/** One class of an image. */
export interface Prediction {
  /** The class's number. */
  readonly index: number;
  /** Its name, or its number where no names are known. */
  readonly label: string;
  /** 0 … 1; NaN where the network's answer is. */
  readonly probability: number;
}

/** Records pixels (N, imageSize, imageSize, 3) uint8 → normalisation → the network → softmax → the `top` best classes. */
export function recordClassify(topology: Topology, top: number): GraphRecord {
  const { imageSize } = topology;
  const builder = new GraphBuilder();
  const pixels = builder.input("pixels", [imageSize, imageSize, 3], "uint8");
  const image = builder.normalize(pixels, { mean: imageNetMean, std: imageNetStd });
  const { value: logits } = recordModules(builder, topology, image, []);
  const { values, indices } = builder.topK(builder.softmax(logits), top);
  return builder.finish({ probabilities: values, indices });
}

/** How torchvision crops for a network of this size: the shorter side 256 for 224 pixels, and so in proportion. */
function cropSizes({ imageSize }: Topology): Pick<CropOptions, "resizeSize" | "cropSize"> {
  return { resizeSize: Math.round((imageSize * 256) / 224), cropSize: imageSize };
}

/** The classes of pixels (n, imageSize, imageSize, 3) uint8. `labels` may be absent. */
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

/** What became of one image: its classes, or why it has none. */
export type Classification<Source> =
  | { readonly source: Source; readonly predictions: readonly Prediction[] }
  | { readonly source: Source; readonly error: unknown };

interface DecodedBatch<Source> {
  readonly sources: readonly Source[];
  /** One for each source: its pixels, or the error of decoding it. */
  readonly pixels: readonly PromiseSettledResult<Uint8Array>[];
  /** What the iterator threw after these. */
  readonly failure: { readonly error: unknown } | undefined;
}

/** The next images of an iterator, decoded and cropped. */
async function decodeBatch<Source extends ImageSource>(
  sources: AsyncIterator<Source> | Iterator<Source>,
  batchSize: number,
  options: CropOptions,
): Promise<DecodedBatch<Source>> {
  const batch: Source[] = [];
  let failure: DecodedBatch<Source>["failure"];
  try {
    while (batch.length < batchSize) {
      const { value, done } = await sources.next();
      if (done === true) break;
      batch.push(value);
    }
  } catch (error) {
    failure = { error };
  }
  const pixels = await Promise.allSettled(batch.map((source) => cropPixels(source, options)));
  return { sources: batch, pixels, failure };
}

/** Images one after the other, in order: the next batch is decoded while the device works on this one. */
export async function* classifyAll<Source extends ImageSource>(
  graph: Graph,
  topology: Topology,
  labels: readonly string[] | undefined,
  sources: AsyncIterator<Source> | Iterator<Source>,
  options: { batchSize: number; signal: AbortSignal | undefined },
): AsyncGenerator<Classification<Source>> {
  const { batchSize, signal } = options;
  const { imageSize } = topology;
  const imageBytes = imageSize * imageSize * 3;
  const crop = { ...cropSizes(topology), ...(signal === undefined ? {} : { signal }) };
  let next = decodeBatch(sources, batchSize, crop);
  try {
    for (let batch = await next; ; batch = await next) {
      signal?.throwIfAborted();
      if (batch.sources.length > 0 && batch.failure === undefined)
        next = decodeBatch(sources, batchSize, crop);
      const good = batch.pixels.flatMap((result) =>
        result.status === "fulfilled" ? [result.value] : [],
      );
      const data = new Uint8Array(good.length * imageBytes);
      for (const [index, pixels] of good.entries()) data.set(pixels, index * imageBytes);
      const tensor = new Tensor([good.length, imageSize, imageSize, 3], data);
      const predictions =
        good.length === 0 ? [] : await classifyPixels(graph, tensor, labels, signal);
      let taken = 0;
      for (const [index, result] of batch.pixels.entries()) {
        const source = batch.sources[index]!;
        if (result.status === "rejected") yield { source, error: result.reason };
        else yield { source, predictions: predictions[taken++]! };
      }
      if (batch.failure !== undefined) throw batch.failure.error;
      if (batch.sources.length === 0) return;
    }
  } finally {
    // The caller may have stopped early: what reads the images is told, as for…of does.
    await next;
    await sources.return?.();
  }
}
