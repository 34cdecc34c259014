// Every call of a model that the server makes. What the library offers of priorities, deadlines and times is used here alone.
import {
  type ImageSource,
  type PreprocessingOptions,
  preprocess,
  type Tensor,
  type Vgg,
} from "vgg-cudnn";
import type { Prediction } from "./types.js";

/** The times of the images of a call that ran together. */
export interface Timing {
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly runMs: number;
  /** The images of the run. */
  readonly batchSize: number;
  /** How many of them are the call's. */
  readonly images: number;
}

/** What goes with every call. */
export interface CallTerms {
  readonly signal: AbortSignal;
  readonly priority: number;
  /** What is left until the deadline. */
  readonly timeoutMs: number | undefined;
  readonly client: string;
  readonly onTiming: (timing: Timing) => void;
}

/** Returns the `top` best classes of each image. */
export function classify(
  model: Vgg,
  images: readonly ImageSource[],
  options: { readonly top: number; readonly preprocess: PreprocessingOptions },
  terms: CallTerms,
): Promise<readonly (readonly Prediction[])[]> {
  return timed(images.length, terms, (signal) => model.classify(images, { ...options, signal }));
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
  return timed(images.length, terms, (signal) => model.embed(images, { ...options, signal }));
}

/** Returns the outputs of layers for normalised images. */
export function forward(
  model: Vgg,
  images: Tensor,
  layers: readonly string[],
  terms: CallTerms,
): Promise<Record<string, Tensor>> {
  return timed(images.shape[0]!, terms, (signal) =>
    model.forward(images, { outputs: layers, signal }),
  );
}

/** Returns normalised images, as `forward` takes them. */
export async function normalise(
  images: readonly ImageSource[],
  preprocessing: PreprocessingOptions,
  terms: CallTerms,
): Promise<Tensor> {
  const start = performance.now();
  const tensor = await preprocess(images, { ...preprocessing, signal: terms.signal });
  terms.onTiming({
    decodeMs: performance.now() - start,
    queueMs: 0,
    runMs: 0,
    batchSize: 0,
    images: 0,
  });
  return tensor;
}

async function timed<Result>(
  images: number,
  { signal, onTiming }: CallTerms,
  call: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const start = performance.now();
  const result = await call(signal);
  const runMs = performance.now() - start;
  onTiming({ decodeMs: 0, queueMs: 0, runMs, batchSize: images, images });
  return result;
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
    for (const top of new Set([Math.min(5, numClasses), numClasses]))
      await model.classify(images, { top, batchSize: size, signal });
  }
}
