// The record of a graph as plain data, with one row per operation; native/core/op.h mirrors it.
import type { DType } from "../dtype.js";

/** Index into `GraphRecord.values`. */
export type ValueId = number;
/** Index into `GraphRecord.parameters`. */
export type ParameterId = number;

/** Normalises uint8 (N, H, W, C), scaled by 1/255, or float32 (N, C, H, W): (x - mean[c]) / std[c] → (N, C, H, W). */
export interface NormalizeRow {
  readonly kind: "normalize";
  readonly input: ValueId;
  readonly output: ValueId;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Convolution: input (N, C, H, W), weight (K, C, R, S), bias (K) → (N, K, H', W'), then ReLU if `relu`. */
export interface Conv2dRow {
  readonly kind: "conv2d";
  readonly input: ValueId;
  readonly output: ValueId;
  readonly weight: ParameterId;
  readonly bias?: ParameterId;
  readonly stride: number;
  readonly padding: number;
  readonly relu: boolean;
  /** Whether a CPU accepts only its smallest rounding errors. */
  readonly precise?: boolean;
}

/** Batch normalisation: input (N, C, H, W), parameters (C) → (x - mean) / √(variance + epsilon) · weight + bias, then ReLU if `relu`. */
export interface BatchNormRow {
  readonly kind: "batchNorm";
  readonly input: ValueId;
  readonly output: ValueId;
  readonly weight: ParameterId;
  readonly bias: ParameterId;
  readonly mean: ParameterId;
  readonly variance: ParameterId;
  readonly epsilon: number;
  readonly relu: boolean;
}

/** ReLU: input of any shape → the same shape. After a convolution or linear layer, that row's `relu` costs less. */
export interface ReluRow {
  readonly kind: "relu";
  readonly input: ValueId;
  readonly output: ValueId;
}

/** Maximum of windows: input (N, C, H, W) → (N, C, H', W'). Padding is never the maximum, NaN always is. */
export interface MaxPool2dRow {
  readonly kind: "maxPool2d";
  readonly input: ValueId;
  readonly output: ValueId;
  readonly size: number;
  readonly stride: number;
  readonly padding: number;
}

/** Average of bins: input (N, C, H, W) → (N, C, H', W'). The bins are PyTorch's. */
export interface AdaptiveAvgPool2dRow {
  readonly kind: "adaptiveAvgPool2d";
  readonly input: ValueId;
  readonly output: ValueId;
}

/** Flattens each image: input (N, C, H, W) → (N, C·H·W). Before a linear layer it costs nothing. */
export interface FlattenRow {
  readonly kind: "flatten";
  readonly input: ValueId;
  readonly output: ValueId;
}

/** Linear layer: input (N, I), weight (O, I), bias (O) → (N, O), then ReLU if `relu`. */
export interface GemmRow {
  readonly kind: "gemm";
  readonly input: ValueId;
  readonly output: ValueId;
  readonly weight: ParameterId;
  readonly bias?: ParameterId;
  readonly relu: boolean;
}

/** Softmax: input (N, F) → (N, F). Each row sums to 1. */
export interface SoftmaxRow {
  readonly kind: "softmax";
  readonly input: ValueId;
  readonly output: ValueId;
}

/**
 * Finds the k greatest: input (N, F) → values (N, k) in descending order (`output`) and their indices (N, k) int32. NaN
 * counts as the greatest.
 */
export interface TopKRow {
  readonly kind: "topK";
  readonly input: ValueId;
  readonly output: ValueId;
  readonly indices: ValueId;
  readonly k: number;
}

/** One operation of a graph. */
export type Row =
  | NormalizeRow
  | Conv2dRow
  | BatchNormRow
  | ReluRow
  | MaxPool2dRow
  | AdaptiveAvgPool2dRow
  | FlattenRow
  | GemmRow
  | SoftmaxRow
  | TopKRow;

/** The names of fields that refer to values or parameters. */
interface References<Field> {
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  /** A row may lack one of these. */
  readonly parameters: readonly Field[];
}

const references: {
  readonly [Kind in Row["kind"]]: References<Exclude<keyof Extract<Row, { kind: Kind }>, "kind">>;
} = {
  normalize: { inputs: ["input"], outputs: ["output"], parameters: [] },
  conv2d: { inputs: ["input"], outputs: ["output"], parameters: ["weight", "bias"] },
  batchNorm: {
    inputs: ["input"],
    outputs: ["output"],
    parameters: ["weight", "bias", "mean", "variance"],
  },
  relu: { inputs: ["input"], outputs: ["output"], parameters: [] },
  maxPool2d: { inputs: ["input"], outputs: ["output"], parameters: [] },
  adaptiveAvgPool2d: { inputs: ["input"], outputs: ["output"], parameters: [] },
  flatten: { inputs: ["input"], outputs: ["output"], parameters: [] },
  gemm: { inputs: ["input"], outputs: ["output"], parameters: ["weight", "bias"] },
  softmax: { inputs: ["input"], outputs: ["output"], parameters: [] },
  topK: { inputs: ["input"], outputs: ["output", "indices"], parameters: [] },
};

/** The values that a row reads. */
export function inputsOf(row: Row): ValueId[] {
  return read(row, references[row.kind].inputs).map(([, id]) => id);
}

/** The values that a row computes. The first one identifies its step. */
export function outputsOf(row: Row): ValueId[] {
  return read(row, references[row.kind].outputs).map(([, id]) => id);
}

/** The parameters that a row reads, by field. */
export function parametersOf(row: Row): Record<string, ParameterId> {
  return Object.fromEntries(read(row, references[row.kind].parameters));
}

function read(row: Row, fields: readonly string[]): [string, number][] {
  const ids = row as Row & Readonly<Record<string, unknown>>;
  return fields
    .filter((field) => Object.hasOwn(row, field))
    .map((field) => [field, ids[field] as number]);
}

/** A value's dtype, and its shape without the batch dimension N, which every value has. */
export interface ValueRecord {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** The name and shape of a parameter. */
export interface ParameterRecord {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The dtypes of a graph's outputs, by name. */
export type OutputTypes = Readonly<Record<string, DType>>;

/** A whole graph: rows in the order in which they run. Plain data: it can be printed, compared and stored. */
export interface GraphRecord<Outputs extends OutputTypes = OutputTypes> {
  /** The values, by id. */
  readonly values: readonly ValueRecord[];
  /** The parameters, by id. */
  readonly parameters: readonly ParameterRecord[];
  /** The operations in the order in which they run. */
  readonly rows: readonly Row[];
  /** The ids of the inputs, by name. */
  readonly inputs: Readonly<Record<string, ValueId>>;
  /** The ids of the outputs, by name. */
  readonly outputs: { readonly [Name in keyof Outputs]: ValueId };
}
