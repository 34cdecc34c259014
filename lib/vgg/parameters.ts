// The parameters of a topology: torchvision's state_dict as a table, with the initialisation of each entry.
import type { DType } from "../dtype.js";
import type { Topology } from "./topology.js";

export type Initialization =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "normal"; readonly standardDeviation: number };

/** One entry of the state_dict. */
export interface ParameterInfo {
  /** torchvision's name, such as "features.0.weight". */
  readonly name: string;
  /** Dimensions, the outermost first. */
  readonly shape: readonly number[];
  /** The type of the elements in a state dict. */
  readonly dtype: DType;
  /** False for the statistics of batch normalisation, which PyTorch calls buffers and does not count as parameters. */
  readonly isTrainable: boolean;
}

export interface ParameterEntry extends ParameterInfo {
  readonly initialization: Initialization;
  /** True for num_batches_tracked, which exists only for PyTorch: no layer reads it, and older files lack it. */
  readonly isOptional: boolean;
}

const constant = (value: number): Initialization => ({ kind: "constant", value });
const normal = (standardDeviation: number): Initialization => ({
  kind: "normal",
  standardDeviation,
});

function entry(
  name: string,
  shape: readonly number[],
  initialization: Initialization,
  options: Partial<Pick<ParameterEntry, "dtype" | "isTrainable" | "isOptional">> = {},
): ParameterEntry {
  return {
    name,
    shape,
    dtype: "float32",
    isTrainable: true,
    isOptional: false,
    initialization,
    ...options,
  };
}

/** Lists the parameters in torchvision's order. They are initialised as in torchvision.models.vgg.VGG.__init__. */
export function parameterTable({ modules }: Topology): ParameterEntry[] {
  return modules.flatMap((module) => {
    const { name, kind } = module;
    if (kind === "conv2d") {
      const { inChannels, outChannels } = module;
      // kaiming_normal_(mode="fan_out", nonlinearity="relu")
      const standardDeviation = Math.sqrt(2 / (outChannels * 9));
      return [
        entry(`${name}.weight`, [outChannels, inChannels, 3, 3], normal(standardDeviation)),
        entry(`${name}.bias`, [outChannels], constant(0)),
      ];
    }
    if (kind === "batchNorm") {
      const shape = [module.channels];
      return [
        entry(`${name}.weight`, shape, constant(1)),
        entry(`${name}.bias`, shape, constant(0)),
        entry(`${name}.running_mean`, shape, constant(0), { isTrainable: false }),
        entry(`${name}.running_var`, shape, constant(1), { isTrainable: false }),
        entry(`${name}.num_batches_tracked`, [], constant(0), {
          dtype: "int64",
          isTrainable: false,
          isOptional: true,
        }),
      ];
    }
    if (kind === "linear") {
      return [
        entry(`${name}.weight`, [module.outFeatures, module.inFeatures], normal(0.01)),
        entry(`${name}.bias`, [module.outFeatures], constant(0)),
      ];
    }
    return [];
  });
}
