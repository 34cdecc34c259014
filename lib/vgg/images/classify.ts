// Classifies images: decodes the next ones while the device works, and returns the best classes of each.
import { GraphBuilder } from "../../graph/builder.js";
import type { Graph } from "../../graph/graph.js";
import type { GraphRecord } from "../../graph/ops.js";
import { type Preprocessing, recordPixels } from "../../image/preprocessing.js";
import type { OpenedSource } from "../../image/source.js";
import type { Tensor } from "../../tensor.js";
import { recordModules } from "../record.js";
import type { Topology } from "../topology.js";
import { type EachOptions, isFailure, runEach } from "./each.js";
import type { Sources } from "./lookahead.js";

/** One class of an image. */
export interface Prediction {
  /** The number of the class. */
  readonly index: number;
  /** The name of the class, or its number if no names are known. */
  readonly label: string;
  /** 0 … 1, or NaN if the network's output is NaN. */
  readonly probability: number;
}

/** The dtypes of the outputs of `recordClassify`. */
export type ClassifyOutputs = { readonly probabilities: "float32"; readonly indices: "int32" };

/** Records pixels (N, crop, crop, channels) uint8 → normalisation → network → softmax → the `top` best classes. */
export function recordClassify(
  topology: Topology,
  top: number,
  preprocessing: Preprocessing,
): GraphRecord<ClassifyOutputs> {
  const builder = new GraphBuilder();
  const image = recordPixels(builder, preprocessing);
  const { value: logits } = recordModules(builder, topology, image, []);
  const { values, indices } = builder.topK(builder.softmax(logits), top);
  return builder.finish({ probabilities: values, indices });
}

/** Classifies pixels (n, crop, crop, channels) uint8. `labels` may be undefined. */
async function classifyPixels(
  graph: Graph<ClassifyOutputs>,
  pixels: Tensor<"uint8">,
  labels: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Prediction[][]> {
  const outputs = await graph.run({ pixels }, { signal });
  const probabilities = outputs.probabilities.data;
  const indices = outputs.indices.data;
  const [count, top] = outputs.indices.shape as [number, number];
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

/** Classifies images in order, as `runEach` does. `labels` may be undefined. */
export async function* classifyAll<Source>(
  graph: () => Graph<ClassifyOutputs>,
  preprocessing: Preprocessing,
  labels: readonly string[] | undefined,
  sources: Sources<Source>,
  open: (source: Source) => OpenedSource,
  options: EachOptions,
): AsyncGenerator<Classification<Source>> {
  const compute = (pixels: Tensor<"uint8">) =>
    classifyPixels(graph(), pixels, labels, options.signal);
  for await (const result of runEach(preprocessing, sources, open, compute, options)) {
    if (isFailure(result)) yield result;
    else yield { source: result.source, predictions: result.value };
  }
}
