// Computes the outputs of a checked request on one model.
import {
  type ImageSource,
  type PreprocessingOptions,
  type RawPixels,
  Tensor,
  type Vgg,
} from "vgg-cudnn";
import { decimal } from "../protocol/classification.js";
import type { InputTensor, OutputTensor, RequestedOutput } from "../protocol/types.js";
import { type CallTerms, classify, forward, normalise } from "./calls.js";
import { imagesOf } from "./images.js";
import { type CheckedOutputs, outputOf, softmax, type Values } from "./outputs.js";
import { type CheckedInput, logits, probabilities } from "./tensors.js";
import type { Prediction } from "./types.js";

/** The library's name of the last layer's output. */
const logitsLayer = "classifier";

/** Images as the library takes them, and the preprocessing that is theirs. */
interface Images {
  readonly sources: readonly ImageSource[];
  readonly preprocess: PreprocessingOptions;
}

export async function compute(
  model: Vgg,
  { form, tensor }: CheckedInput,
  { requested, layers }: CheckedOutputs,
  terms: CallTerms,
): Promise<OutputTensor[]> {
  const images = form === "tensor" ? undefined : sourcesOf(form, tensor, model);
  const isPlain = requested.every(({ name }) => name === probabilities);
  if (images !== undefined && isPlain) return [await classes(model, images, requested[0]!, terms)];
  const normalised =
    images === undefined
      ? new Tensor(tensor.shape, tensor.data as Float32Array<ArrayBuffer>)
      : await normalise(images.sources, { ...model.preprocessing, ...images.preprocess }, terms);
  const needsLogits = requested.some(({ name }) => name === probabilities || name === logits);
  const names = needsLogits ? [...layers, logitsLayer] : layers;
  const results = await forward(model, normalised, names, terms);
  return requested.map((output) => {
    const last = () => results[logitsLayer] as Values;
    const values =
      output.name === logits
        ? last()
        : output.name === probabilities
          ? softmax(last())
          : (results[output.name] as Values);
    return outputOf(output, values, model.labels);
  });
}

/** Returns the images of an input in one of the two forms that are preprocessed. */
export function sourcesOf(form: "image" | "pixels", tensor: InputTensor, model: Vgg): Images {
  if (form === "image") return { sources: imagesOf(tensor), preprocess: {} };
  const { imageSize: side, inChannels } = model;
  const channels = inChannels as 1 | 3;
  const size = side * side * channels;
  const data = tensor.data as Uint8Array;
  const sources = Array.from(
    { length: tensor.shape[0]! },
    (_, image): RawPixels => ({
      data: data.subarray(image * size, (image + 1) * size),
      ...{ width: side, height: side, channels },
    }),
  );
  // They have the network's size already.
  return { sources, preprocess: { resize: side, crop: side } };
}

/** Computes the probabilities: all of them by class, or the best ones as texts. */
async function classes(
  model: Vgg,
  { sources, preprocess }: Images,
  output: RequestedOutput,
  terms: CallTerms,
): Promise<OutputTensor> {
  const { numClasses, labels } = model;
  const { name, classification } = output;
  const top = Math.min(classification ?? numClasses, numClasses);
  const results = await classify(model, sources, { top, preprocess }, terms);
  if (classification !== undefined) {
    const data = results.flatMap((predictions) => predictions.map((one) => textOf(one, labels)));
    return { name, datatype: "BYTES", shape: [results.length, top], data };
  }
  const data = new Float32Array(results.length * numClasses);
  for (const [image, predictions] of results.entries())
    for (const { index, probability } of predictions)
      data[image * numClasses + index] = probability;
  return { name, datatype: "FP32", shape: [results.length, numClasses], data };
}

function textOf(
  { index, probability }: Prediction,
  labels: readonly string[] | undefined,
): Uint8Array {
  const label = labels === undefined ? "" : `:${labels[index]}`;
  return Buffer.from(`${decimal(probability)}:${index}${label}`, "utf8");
}
