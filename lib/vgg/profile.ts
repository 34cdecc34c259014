// Times of a model's layers: gives the steps of its graph torchvision's module names.
import { GraphBuilder } from "../graph/builder.js";
import type { ValueId } from "../graph/ops.js";
import type { StepProfile } from "../graph/profile.js";
import { inputName, recordModules } from "./record.js";
import type { Topology } from "./topology.js";

/** The work and time of a layer of a model. */
export interface LayerProfile {
  /**
   * torchvision's module names, or "input" or "output". Names of modules that run as one step are joined:
   * "features.0+features.1+features.2".
   */
  readonly name: string;
  /** The operations, such as "conv2d+maxPool2d", or "input" or "output". A ReLU is part of the operation before it. */
  readonly kind: string;
  /** The shape of the output, with the batch dimension. */
  readonly outputShape: readonly number[];
  /** Milliseconds, measured with the GPU's own clock on a GPU. */
  readonly medianMs: number;
  /** Products by the layer's definition for the whole batch. A FLOP count is twice that. */
  readonly multiplyAdds: number;
  /**
   * Products that the device computes. They are fewer if a convolution uses Winograd's algorithm or if inputs of a
   * linear layer are zero. cuDNN does not report them, so for a convolution on a GPU this is `multiplyAdds`.
   */
  readonly products: number;
  /** The minimum bytes to move: the input, the output, and the parameters that are read, each once as stored. */
  readonly bytes: number;
}

/** Names the steps of a graph. @param outputs the outputs that the graph was recorded with */
export function nameSteps(
  topology: Topology,
  outputs: readonly string[],
  steps: readonly StepProfile[],
): LayerProfile[] {
  const modules = modulesByValue(topology, outputs);
  return steps.map(({ rows, values, ...step }) => ({
    name:
      rows.length === 0 ? step.kind : values.flatMap((value) => modules.get(value) ?? []).join("+"),
    ...step,
  }));
}

/** Maps each value to the modules that output it. Modules share a value if they are one row or compute nothing. */
function modulesByValue(
  topology: Topology,
  outputs: readonly string[],
): ReadonlyMap<ValueId, readonly string[]> {
  const builder = new GraphBuilder();
  const { inChannels, imageSize } = topology;
  const input = builder.input(inputName, [inChannels, imageSize, imageSize]);
  const names = new Map<ValueId, string[]>();
  for (const [name, { id }] of recordModules(builder, topology, input, outputs).made)
    names.set(id, [...(names.get(id) ?? []), name]);
  return names;
}
