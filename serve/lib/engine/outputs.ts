// The outputs of a request: which there are, how large they are, and how they become tensors of the answer.
import type { Vgg } from "vgg-cudnn";
import { ServeError } from "../errors.js";
import { classificationOf } from "../protocol/classification.js";
import { invalid } from "../protocol/expected.js";
import type { OutputTensor, RequestedOutput } from "../protocol/types.js";
import { logits, probabilities } from "./tensors.js";

/** The outputs of a request, checked. */
export interface CheckedOutputs {
  readonly requested: readonly RequestedOutput[];
  /** The layers that must be computed, by torchvision's names; empty if the probabilities alone are asked for. */
  readonly layers: readonly string[];
}

/** The shape of each layer's output for one image, by name. "logits" and "probabilities" are not among them. */
export type LayerShapes = ReadonlyMap<string, readonly number[]>;

/** Returns the layers of a model. `summary` computes them anew at each call, so they are kept. */
export function layerShapes(model: Vgg): LayerShapes {
  const { layers } = model.summary();
  const shapes = new Map(layers.map(({ name, outputShape }) => [name, outputShape.slice(1)]));
  const lastPool = layers.findLast(({ kind }) => kind === "maxPool2d")!;
  shapes.set("features", lastPool.outputShape.slice(1));
  return shapes;
}

/**
 * Checks the outputs of a request.
 * @param maxBytes bounds the answer
 * @throws {ServeError} INVALID: an unknown output, or one twice; TOO_LARGE
 */
export function checkOutputs(
  asked: readonly RequestedOutput[],
  images: number,
  model: { readonly numClasses: number; readonly shapes: LayerShapes },
  maxBytes: number,
): CheckedOutputs {
  const requested = asked.length === 0 ? [{ name: probabilities }] : asked;
  const seen = new Set<string>();
  let bytes = 0;
  for (const { name, classification } of requested) {
    const shape = shapeOf(name, model);
    if (shape === undefined)
      throw invalid(
        `${probabilities}, ${logits} or the name of a layer, such as features.8,`,
        "the name of an output",
        name,
      );
    if (seen.has(name)) throw invalid("each output once", "the outputs", name);
    seen.add(name);
    if (
      classification !== undefined &&
      !(Number.isSafeInteger(classification) && classification > 0)
    )
      throw invalid("an integer above 0", `classification of output ${name}`, classification);
    bytes += 4 * images * elements(shape);
  }
  if (bytes > maxBytes)
    throw new ServeError(
      "TOO_LARGE",
      `Expected outputs of at most ${maxBytes} bytes but these have ${bytes}; send fewer images in one request`,
    );
  const isPlain = requested.every(({ name }) => name === probabilities);
  const layers = [...seen].filter((name) => name !== probabilities && name !== logits);
  return { requested, layers: isPlain ? [] : layers };
}

function shapeOf(
  name: string,
  { numClasses, shapes }: { readonly numClasses: number; readonly shapes: LayerShapes },
): readonly number[] | undefined {
  return name === probabilities || name === logits ? [numClasses] : shapes.get(name);
}

const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** Values of an output of a run: row-major, the first dimension is the number of images. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Makes an output of the answer: the values, or the best classes as texts. */
export function outputOf(
  { name, classification }: RequestedOutput,
  { shape, data }: Values,
  labels: readonly string[] | undefined,
): OutputTensor {
  if (classification === undefined) return { name, datatype: "FP32", shape, data };
  const [images] = shape as [number];
  const classes = data.length / images;
  const top = Math.min(classification, classes);
  const isOfClasses = labels?.length === classes && (name === probabilities || name === logits);
  const texts = classificationOf(data, classes, top, isOfClasses ? labels : undefined);
  return { name, datatype: "BYTES", shape: [images, top], data: texts };
}

/** Returns the softmax of each row, computed in float64. */
export function softmax({ shape, data }: Values): Values {
  const classes = shape[1]!;
  const result = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += classes) {
    let max = Number.NEGATIVE_INFINITY;
    for (let i = start; i < start + classes; i++) max = Math.max(max, data[i]!);
    let sum = 0;
    for (let i = start; i < start + classes; i++) sum += Math.exp(data[i]! - max);
    for (let i = start; i < start + classes; i++) result[i] = Math.exp(data[i]! - max) / sum;
  }
  return { shape, data: result };
}
