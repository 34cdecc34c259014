// Records a topology as rows of a graph: the forward pass up to the last requested layer.
import { checkOneOf } from "../check.js";
import { GraphBuilder } from "../graph/builder.js";
import type { GraphRecord } from "../graph/ops.js";
import type { Value } from "../graph/value.js";
import type { Module, Topology } from "./topology.js";

export const inputName = "input";

/**
 * Records the forward pass of a float32 input (N, inChannels, imageSize, imageSize).
 * Omits rows after the last output.
 * @param outputs torchvision's module names, e.g. "features.8"
 * @throws {RangeError} no such module
 */
export function recordForward(
  topology: Topology,
  outputs: readonly string[],
): GraphRecord<Record<string, "float32">> {
  const { inChannels, imageSize } = topology;
  const builder = new GraphBuilder();
  const input = builder.input(inputName, [inChannels, imageSize, imageSize]);
  const { made } = recordModules(builder, topology, input, outputs);
  return builder.finish(Object.fromEntries(outputs.map((output) => [output, made.get(output)!])));
}

/**
 * Records the modules up to the last requested output, or all modules if `outputs` is empty. A ReLU is part of the
 * layer before it unless that layer's output is requested.
 * @returns the last value, and the value of each module
 */
export function recordModules(
  builder: GraphBuilder,
  { modules }: Topology,
  input: Value,
  outputs: readonly string[],
): { value: Value<"float32">; made: ReadonlyMap<string, Value<"float32">> } {
  const names = modules.map(({ name }) => name);
  for (const output of outputs) checkOneOf(output, "outputs", names);
  const wanted = new Set(outputs);
  const last =
    outputs.length === 0
      ? modules.length - 1
      : Math.max(...outputs.map((output) => names.indexOf(output)));
  const made = new Map<string, Value<"float32">>();
  let value = input as Value<"float32">;
  let isRectified = false; // the previous layer includes the ReLU that follows it
  for (const [index, module] of modules.slice(0, last + 1).entries()) {
    const next = modules[index + 1];
    const relu = next?.kind === "relu" && !wanted.has(module.name) && index < last;
    if (module.kind !== "relu" || !isRectified) value = recordModule(builder, module, value, relu);
    isRectified = relu;
    made.set(module.name, value);
  }
  return { value, made };
}

function recordModule(
  builder: GraphBuilder,
  module: Module,
  input: Value<"float32">,
  relu: boolean,
): Value<"float32"> {
  const { name } = module;
  const parameter = (suffix: string, shape: readonly number[]) =>
    builder.parameter(`${name}.${suffix}`, shape);
  switch (module.kind) {
    case "conv2d": {
      const { inChannels, outChannels } = module;
      const bias = parameter("bias", [outChannels]);
      return builder.conv2d(input, parameter("weight", [outChannels, inChannels, 3, 3]), {
        bias,
        padding: 1,
        relu,
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
