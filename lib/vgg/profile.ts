// Times of a model's layers: the steps of its graph by torchvision's module names.
import { GraphBuilder } from "../graph/builder.js";
import type { ValueId } from "../graph/ops.js";
import type { StepProfile } from "../graph/profile.js";
import { inputName, recordModules } from "./record.js";
import type { Topology } from "./topology.js";

export interface LayerProfile {
  /** torchvision's module names, joined where they run as one: "features.0+features.1+features.2"; "input" and "output". */
  readonly name: string;
  /** The operations, as "conv2d+maxPool2d" (a ReLU is part of the one before it); or "input" and "output". */
  readonly kind: string;
  /** With the batch dimension. */
  readonly outputShape: readonly number[];
  /** Milliseconds: of the GPU's own clock where there is one. */
  readonly medianMs: number;
  /** Products by its definition for the whole batch; a FLOP count is twice that. */
  readonly multiplyAdds: number;
  /** Products that the device computes: fewer where a convolution runs by Winograd's algorithm, or inputs of a linear layer are zero. On a GPU cuDNN does not say: a convolution's are `multiplyAdds`. */
  readonly products: number;
  /** What must move at the least: the input, the parameters that are read, as they are kept, and the output once. */
  readonly bytes: number;
}

/** @param outputs those that the graph was recorded with */
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

/** The modules that a value is the output of: more than one where they are one row, or compute nothing. */
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
