// Records a topology as rows of a graph: the forward pass up to the last requested layer.
import { formatShape } from "../check.js";
import { DeviceTensor } from "../device/device.js";
import { GraphBuilder } from "../graph/builder.js";
import type { GraphRecord } from "../graph/ops.js";
import type { Conv2dOptions } from "../graph/row-options.js";
import type { Value } from "../graph/value.js";
import { type Tensor, tensorOf } from "../tensor.js";
import { moduleOf } from "./layers.js";
import type { Module, Topology } from "./topology.js";

export const inputName = "input";

/** Height and width of an image in pixels. */
export interface ImageExtent {
  readonly height: number;
  readonly width: number;
}

/** Returns the size that a topology has without another one. */
export function extentOf({ imageSize }: Topology): ImageExtent {
  return { height: imageSize, width: imageSize };
}

/** The smallest side of an image, in pixels: the five pools halve it down to one. */
export const minExtent = 32;

/**
 * Returns the size of the images of an input. Leaves an argument of another type or dtype to the run, which refuses it.
 * @throws {RangeError} another rank or number of channels, no image, or a side below 32
 */
export function extentOfInput(topology: Topology, input: Tensor | DeviceTensor): ImageExtent {
  const tensor = input instanceof DeviceTensor ? input : tensorOf(input, inputName);
  if (tensor?.dtype !== "float32") return extentOf(topology);
  const [batch, channels, height = 0, width = 0] = tensor.shape;
  const isImages = tensor.shape.length === 4 && channels === topology.inChannels;
  if (!isImages || height < minExtent || width < minExtent) {
    throw new RangeError(
      `Expected shape (N, ${topology.inChannels}, H, W), H and W from ${minExtent}, for ${inputName} but received ${formatShape(tensor.shape)}`,
    );
  }
  // Refused before a graph is recorded: without a batch, the size is not bounded by memory.
  if (batch === 0) {
    throw new RangeError(
      `Expected a batch of at least 1 image for ${inputName} but received ${formatShape(tensor.shape)}`,
    );
  }
  return { height, width };
}

/**
 * Records the forward pass of a float32 input (N, inChannels, height, width).
 * Omits rows after the last output.
 * @param outputs names of layers, e.g. "features.8" or "features"
 * @throws {RangeError} no such layer
 */
export function recordForward(
  topology: Topology,
  outputs: readonly string[],
  { height, width }: ImageExtent = extentOf(topology),
): GraphRecord<Record<string, "float32">> {
  const builder = new GraphBuilder();
  const input = builder.input(inputName, [topology.inChannels, height, width]);
  const { made } = recordModules(builder, topology, input, outputs);
  return builder.finish(Object.fromEntries(outputs.map((output) => [output, made.get(output)!])));
}

/**
 * Records the modules up to the last requested output, or all modules if `outputs` is empty. A ReLU is part of the
 * layer before it unless that layer's output is requested.
 * @param input float32 (N, inChannels, H, W) with any H and W of at least 32
 * @param outputs names of layers
 * @param options.precise whether convolutions are `precise`
 * @returns the last value, and the value of each module and of each requested layer
 */
export function recordModules(
  builder: GraphBuilder,
  topology: Topology,
  input: Value,
  outputs: readonly string[],
  options: Pick<Conv2dOptions, "precise"> = {},
): { value: Value<"float32">; made: ReadonlyMap<string, Value<"float32">> } {
  const { modules } = topology;
  const names = modules.map(({ name }) => name);
  const requested = outputs.map((output) => moduleOf(topology, output, "outputs"));
  const wanted = new Set(requested);
  const last =
    outputs.length === 0
      ? modules.length - 1
      : Math.max(...requested.map((module) => names.indexOf(module)));
  const made = new Map<string, Value<"float32">>();
  let value = input as Value<"float32">;
  let isRectified = false; // the previous layer includes the ReLU that follows it
  for (const [index, module] of modules.slice(0, last + 1).entries()) {
    const next = modules[index + 1];
    const relu = next?.kind === "relu" && !wanted.has(module.name) && index < last;
    if (module.kind !== "relu" || !isRectified)
      value = recordModule(builder, module, value, { ...options, relu });
    isRectified = relu;
    made.set(module.name, value);
  }
  for (const [index, output] of outputs.entries()) made.set(output, made.get(requested[index]!)!);
  return { value, made };
}

function recordModule(
  builder: GraphBuilder,
  module: Module,
  input: Value<"float32">,
  options: Pick<Conv2dOptions, "precise" | "relu">,
): Value<"float32"> {
  const { name } = module;
  const { relu } = options;
  const parameter = (suffix: string, shape: readonly number[]) =>
    builder.parameter(`${name}.${suffix}`, shape);
  switch (module.kind) {
    case "conv2d": {
      const { inChannels, outChannels } = module;
      const bias = parameter("bias", [outChannels]);
      return builder.conv2d(input, parameter("weight", [outChannels, inChannels, 3, 3]), {
        ...options,
        bias,
        padding: 1,
      });
    }
    case "batchNorm": {
      const shape = [module.channels];
      return builder.batchNorm(input, {
        weight: parameter("weight", shape),
        bias: parameter("bias", shape),
        mean: parameter("running_mean", shape),
        variance: parameter("running_var", shape),
        relu,
      });
    }
    case "relu":
      return builder.relu(input);
    case "maxPool2d":
      return builder.maxPool2d(input);
    case "adaptiveAvgPool2d":
      return builder.adaptiveAvgPool2d(input, [module.size, module.size]);
    case "linear": {
      const { inFeatures, outFeatures } = module;
      const features = input.shape.length === 1 ? input : builder.flatten(input);
      const bias = parameter("bias", [outFeatures]);
      return builder.gemm(features, parameter("weight", [outFeatures, inFeatures]), { bias, relu });
    }
    case "dropout":
      return input; // dropout is the identity at inference
  }
}
