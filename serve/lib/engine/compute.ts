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
import { type CallTerms, classify, embed, forward, normalise } from "./calls.js";
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
  if (images !== undefined && isOfBestClasses(requested))
    return [await bestClasses(model, images, requested[0]!, terms)];
  const results = await valuesOf(model, images ?? tensor, { requested, layers }, terms);
  return requested.map((output) => {
    const last = () => results[logitsLayer]!;
    const values =
      output.name === logits
        ? last()
        : output.name === probabilities
          ? softmax(last())
          : results[output.name]!;
    return outputOf(output, values, model.labels);
  });
}

/** Computes the logits and layers that outputs need, by the library's names. */
async function valuesOf(
  model: Vgg,
  input: Images | InputTensor,
  { requested, layers }: CheckedOutputs,
  terms: CallTerms,
): Promise<Readonly<Record<string, Values>>> {
  const needsLogits = requested.some(({ name }) => name === probabilities || name === logits);
  const names = needsLogits ? [...layers, logitsLayer] : layers;
  if ("sources" in input) {
    const { sources, preprocess } = input;
    // The device normalises the pixels, and the images wait in the queue before they are decoded.
    if (layers.length === 0) {
      const options = { layer: logitsLayer, preprocess };
      return { [logitsLayer]: (await embed(model, sources, options, terms)) as Values };
    }
    const preprocessing = { ...model.preprocessing, ...preprocess };
    const images = await normalise(sources, preprocessing, terms);
    return (await forward(model, images, names, terms)) as Record<string, Values>;
  }
  const images = new Tensor(input.shape, input.data as Float32Array<ArrayBuffer>);
  return (await forward(model, images, names, terms)) as Record<string, Values>;
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

/** Whether a request asks for the best classes alone, which the device finds. */
function isOfBestClasses(requested: readonly RequestedOutput[]): boolean {
  const [output] = requested;
  return (
    requested.length === 1 && output!.name === probabilities && output!.classification !== undefined
  );
}

/** Computes the best classes, as texts. */
async function bestClasses(
  model: Vgg,
  { sources, preprocess }: Images,
  { name, classification }: RequestedOutput,
  terms: CallTerms,
): Promise<OutputTensor> {
  const { numClasses, labels } = model;
  const top = Math.min(classification!, numClasses);
  const results = await classify(model, sources, { top, preprocess }, terms);
  const data = results.flatMap((predictions) => predictions.map((one) => textOf(one, labels)));
  return { name, datatype: "BYTES", shape: [results.length, top], data };
}

function textOf(
  { index, probability }: Prediction,
  labels: readonly string[] | undefined,
): Uint8Array {
  const label = labels === undefined ? "" : `:${labels[index]}`;
  return Buffer.from(`${decimal(probability)}:${index}${label}`, "utf8");
}
