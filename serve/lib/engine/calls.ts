// Every call of a model that the server makes. What the library offers of priorities, deadlines and times is used here alone.
import {
  type CallTiming,
  type ImageSource,
  type PreprocessingOptions,
  preprocess,
  type Tensor,
  type Vgg,
} from "vgg-cudnn";
import type { Prediction } from "./types.js";

/** What goes with every call. */
export interface CallTerms {
  readonly signal: AbortSignal;
  readonly priority: number;
  /** What is left until the deadline. */
  readonly timeoutMs: number | undefined;
  readonly client: string;
  /** The most images that are decoded and run together. */
  readonly batchSize: number;
  readonly onTiming: (timing: CallTiming) => void;
}

/** Returns the `top` best classes of each image. */
export function classify(
  model: Vgg,
  images: readonly ImageSource[],
  options: { readonly top: number; readonly preprocess: PreprocessingOptions },
  terms: CallTerms,
): Promise<readonly (readonly Prediction[])[]> {
  const { batchSize } = terms;
  return model.classify(images, { ...options, batchSize, ...sharing(terms) });
}

/** Returns an embedding for each image. */
export function embed(
  model: Vgg,
  images: readonly ImageSource[],
  options: {
    readonly layer?: string | undefined;
    readonly pool?: "mean" | "max" | undefined;
    readonly normalize?: boolean | undefined;
    readonly preprocess: PreprocessingOptions;
  },
  terms: CallTerms,
): Promise<Tensor> {
  const { batchSize } = terms;
  return model.embed(images, { ...options, batchSize, ...sharing(terms) });
}

/** Returns the outputs of layers for normalised images. */
export function forward(
  model: Vgg,
  images: Tensor,
  layers: readonly string[],
  terms: CallTerms,
): Promise<Record<string, Tensor>> {
  const shared = { batched: true, ...sharing(terms) };
  return model.forward(images, { outputs: layers, ...shared });
}

/** Returns normalised images, as `forward` takes them. */
export async function normalise(
  images: readonly ImageSource[],
  preprocessing: PreprocessingOptions,
  { signal, onTiming }: CallTerms,
): Promise<Tensor> {
  const start = performance.now();
  const tensor = await preprocess(images, { ...preprocessing, signal });
  const decodeMs = performance.now() - start;
  onTiming({ decodeMs, queueMs: 0, runMs: 0, batchSize: 0, images: 0 });
  return tensor;
}

/** The last level of the library. Requests of later levels are served with it. */
const lastPriority = 9;

/** Returns the options of a call that shares runs with others. */
function sharing({ signal, priority, timeoutMs, client, onTiming }: CallTerms) {
  return { signal, priority: Math.min(priority, lastPriority), timeoutMs, client, onTiming };
}

/** Runs the model once in each batch size, in the forms that requests have. */
export async function warmUp(
  model: Vgg,
  sizes: readonly number[],
  signal: AbortSignal,
): Promise<void> {
  await model.warmup(sizes);
  if (model.preprocessing === undefined) return;
  const { imageSize: side, inChannels: channels, numClasses } = model;
  const blank = { data: new Uint8Array(side * side * channels), width: side, height: side };
  const image = { ...blank, channels: channels as 1 | 3 };
  for (const size of sizes) {
    signal.throwIfAborted();
    const images = Array.from({ length: size }, () => image);
    const options = { batchSize: size, signal };
    await model.classify(images, { ...options, top: Math.min(5, numClasses) });
    // The server makes probabilities of all classes from the logits.
    await model.embed(images, { ...options, layer: "classifier" });
  }
}
