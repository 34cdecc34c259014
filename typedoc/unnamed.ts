/**
 * Types of fields, arguments and results. The package does not export their names.
 * @module
 */
export type { Inputs, NewTensors, Port, Results, Targets } from "../lib/graph/call.ts";
export type {
  AdaptiveAvgPool2dRow,
  BatchNormRow,
  Conv2dRow,
  FlattenRow,
  GemmRow,
  MaxPool2dRow,
  NormalizeRow,
  OutputTypes,
  ParameterId,
  ParameterRecord,
  ReluRow,
  SoftmaxRow,
  TopKRow,
  ValueId,
  ValueRecord,
} from "../lib/graph/ops.ts";
export type {
  BatchNormOptions,
  Conv2dOptions,
  GemmOptions,
  MaxPool2dOptions,
  NormalizeOptions,
} from "../lib/graph/row-options.ts";
export type { PreprocessingOptions } from "../lib/image/preprocessing.ts";
export type { AddonReport, LibraryReport } from "../lib/native/addon.ts";
export type { DamagedSet } from "../lib/nvidia/sets/installed.ts";
export type { DistanceOf } from "../lib/perceptual/perceptual-distance.ts";
export type { ModelJson, NamedTensor } from "../lib/vgg/named-parameters.ts";
export type { LoadStateDictOptions, ParameterTensor } from "../lib/vgg/state-dict.ts";
