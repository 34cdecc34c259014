// Classifies images: decodes the next ones while the device works, and returns the best classes of each.
import type { Turn } from "../../batch/turn.js";
import { GraphBuilder } from "../../graph/builder.js";
import type { NewTensors } from "../../graph/call.js";
import type { GraphRecord } from "../../graph/ops.js";
import { type Preprocessing, recordPixels } from "../../image/preprocessing.js";
import type { OpenedSource } from "../../image/source.js";
import { recordModules } from "../record.js";
import type { Topology } from "../topology.js";
import { isFailure, runEach } from "./each.js";
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

/** The outputs of a run of `recordClassify`: (n, top or more) each. */
export type ClassifyResults = NewTensors<ClassifyOutputs>;

/**
 * Returns the number of classes that a run computes for a call that wants `top` of them. Calls with nearly the same
 * number share runs.
 */
export function roundedTop(top: number, numClasses: number): number {
  return Math.min(numClasses, [5, 10, 100].find((count) => count >= top) ?? numClasses);
}

/** Returns the `top` best classes of each image of a run. `labels` may be undefined. */
function predictionsOf(
  { probabilities, indices }: ClassifyResults,
  top: number,
  labels: readonly string[] | undefined,
): Prediction[][] {
  const [count, computed] = indices.shape as [number, number];
  return Array.from({ length: count }, (_, image) =>
    Array.from({ length: top }, (_, rank) => {
      const at = image * computed + rank;
      const index = indices.data[at]!;
      const probability = probabilities.data[at]!;
      return { index, label: labels?.[index] ?? String(index), probability };
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

/** What a call of `classify` or `classifyEach` asks for, checked. */
export interface ClassifySettings {
  readonly preprocessing: Preprocessing;
  readonly top: number;
  readonly labels: readonly string[] | undefined;
  readonly batchSize: number;
}

/** Classifies images in order, as `runEach` does. */
export async function* classifyAll<Source>(
  turn: Turn<ClassifyResults>,
  { preprocessing, top, labels, batchSize }: ClassifySettings,
  sources: Sources<Source>,
  open: (source: Source) => OpenedSource,
): AsyncGenerator<Classification<Source>> {
  const { signal } = turn;
  const compute = async (crops: readonly Uint8Array[], decodeMs: number) =>
    predictionsOf(await turn.run(crops, decodeMs), top, labels);
  const options = { batchSize, signal };
  for await (const result of runEach(preprocessing, sources, open, compute, options)) {
    if (isFailure(result)) yield result;
    else yield { source: result.source, predictions: result.value };
  }
}
