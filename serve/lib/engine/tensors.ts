// What a model takes and gives: the names, types and shapes of its inputs and outputs, and the checks of a request's.
import type { Vgg } from "vgg-cudnn";
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import type { InputTensor } from "../protocol/types.js";
import type { ConfigTensor, TensorMetadata } from "./types.js";

/** The forms in which a model takes images. */
export type InputForm = "image" | "pixels" | "tensor";

/** A form's name of its input. */
const inputNames = { image: "image", pixels: "pixels", tensor: "input" } as const;

/** Returns the metadata of an input. Only the form "tensor" fits a network of other than 1 or 3 channels. */
export function inputMetadata({ imageSize, inChannels }: Vgg, form: InputForm): TensorMetadata {
  const name = inputNames[form];
  if (form === "image") return { name, datatype: "BYTES", shape: [-1, 1] };
  if (form === "pixels")
    return { name, datatype: "UINT8", shape: [-1, imageSize, imageSize, inChannels] };
  return { name, datatype: "FP32", shape: [-1, inChannels, imageSize, imageSize] };
}

/** The name of the output that metadata lists. */
export const probabilities = "probabilities";

/** The name of the last layer's output. */
export const logits = "logits";

export function outputMetadata({ numClasses }: Vgg): TensorMetadata {
  return { name: probabilities, datatype: "FP32", shape: [-1, numClasses] };
}

/** An input or output as Triton's configuration has it. */
export function configTensor({ name, datatype, shape }: TensorMetadata): ConfigTensor {
  const type = datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`;
  return { name, data_type: type, dims: shape.slice(1) };
}

/** The one input of a request, checked. */
export interface CheckedInput {
  readonly form: InputForm;
  readonly tensor: InputTensor;
  readonly images: number;
}

/**
 * Checks the inputs of a request: exactly one, of a form that the model takes.
 * @throws {ServeError} INVALID, with the name of the input; TOO_LARGE for too many images
 */
export function checkInput(
  inputs: readonly InputTensor[],
  model: Vgg,
  maxImages: number,
): CheckedInput {
  const forms = formsOf(model);
  const known = forms.map((form) => inputNames[form]).join(", ");
  const [tensor] = inputs;
  if (tensor === undefined || inputs.length > 1)
    throw new ServeError(
      "INVALID",
      `Expected one input, one of ${known}, but received ${inputs.length}`,
    );
  const form = forms.find((each) => inputNames[each] === tensor.name);
  if (form === undefined) throw invalid(`one of ${known}`, "the name of the input", tensor.name);
  const { datatype, shape } = inputMetadata(model, form);
  if (tensor.datatype !== datatype)
    throw invalid(datatype, `the datatype of input ${tensor.name}`, tensor.datatype);
  if (!fits(tensor.shape, shape, form))
    throw new ServeError(
      "INVALID",
      `Expected the shape [${shape}] for input ${tensor.name} but received [${tensor.shape}]`,
    );
  const images = tensor.shape[0]!;
  if (images > maxImages)
    throw new ServeError(
      "TOO_LARGE",
      `Expected at most ${maxImages} images in one request but received ${images}`,
    );
  return { form, tensor, images };
}

/** The forms that a model takes. */
export function formsOf({ preprocessing }: Vgg): readonly InputForm[] {
  return preprocessing === undefined ? ["tensor"] : ["image", "pixels", "tensor"];
}

function fits(given: readonly number[], wanted: readonly number[], form: InputForm): boolean {
  if (given[0] === undefined || given[0] < 1) return false;
  // Images as bytes may come as [N] or as [N, 1].
  if (form === "image") return given.length === 1 || (given.length === 2 && given[1] === 1);
  return given.length === wanted.length && wanted.every((size, i) => i === 0 || given[i] === size);
}
