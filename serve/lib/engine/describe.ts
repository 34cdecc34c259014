// What the server says about a model: Open Inference Protocol's metadata, and Triton's configuration.
import type { ModelOptions } from "../settings/options.js";
import type { ServedModel } from "./served-model.js";
import { configTensor, formsOf, inputMetadata, outputMetadata } from "./tensors.js";
import type { ModelConfig, ModelMetadata } from "./types.js";

const platform = "vgg_cudnn";

/** Lists one input, so that clients that send what they find need no knowledge of the other forms. */
export function metadataOf(
  { name, vgg }: ServedModel,
  { input = "image" }: ModelOptions,
  versions: readonly string[],
): ModelMetadata {
  const forms = formsOf(vgg);
  const listed = forms.includes(input) ? input : forms[0]!;
  return {
    name,
    versions,
    platform,
    inputs: [inputMetadata(vgg, listed)],
    outputs: [outputMetadata(vgg)],
  };
}

export function configOf(model: ServedModel, options: ModelOptions): ModelConfig {
  const { name, replicas } = model;
  const { inputs, outputs } = metadataOf(model, options, []);
  const sizes = replicas[0]!.batchSizes;
  return {
    name,
    platform,
    backend: platform,
    max_batch_size: model.maxBatchSize,
    input: inputs.map(configTensor),
    output: outputs.map(configTensor),
    instance_group: replicas.map(({ device: { kind, id } }, index) => ({
      name: `${name}_${index}`,
      kind: kind === "cuda" ? "KIND_GPU" : "KIND_CPU",
      count: 1,
      gpus: kind === "cuda" ? [Number(id.split(":")[1])] : [],
    })),
    dynamic_batching: { preferred_batch_size: options.batching === false ? [] : sizes },
  };
}
