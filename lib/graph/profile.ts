// What each step of a run did and how long it took: the back end's times put beside the rows of the record.
import { optionOf } from "../check.js";
import type { Precision } from "../dtype.js";
import { arrayTypeOf } from "../dtype.js";
import type { NativeStepTime } from "../native/addon.js";
import { median } from "../statistics.js";
import { elementCount } from "../tensor.js";
import type { GraphRecord, Row, ValueId } from "./ops.js";

export interface ProfileOptions {
  /** Runs before the first that counts, default 1. */
  warmup?: number;
  /** Runs of which the median is taken, default 10. */
  iterations?: number;
  /** Stops between two runs or two steps; rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface StepProfile {
  /** The kinds of its rows, as "conv2d+maxPool2d"; or "input" and "output", which bring numbers into and out of the device's order. */
  readonly kind: string;
  /** Indices into `record.rows`, in the order in which they run; none for "input" and "output". */
  readonly rows: readonly number[];
  /** The values that the rows make, or the value that is brought in or out. */
  readonly values: readonly ValueId[];
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

const elementBytes: Readonly<Record<Precision, number>> = {
  float32: 4,
  tf32: 4,
  float16: 2,
  bfloat16: 2,
  float8: 1,
};

/**
 * Median times of runs of one batch size.
 * @param kept the precision in which weights, and in which activations, are kept
 * @param runs the steps of each run: the same steps in each
 */
export function describeSteps(
  record: GraphRecord,
  kept: { weights: Precision; activations: Precision },
  batch: number,
  runs: readonly (readonly NativeStepTime[])[],
): StepProfile[] {
  const bytesOf = (value: ValueId) => {
    const { shape, dtype } = record.values[value]!;
    const size =
      dtype === "float32" ? elementBytes[kept.activations] : arrayTypeOf(dtype).BYTES_PER_ELEMENT;
    return elementCount(shape) * batch * size;
  };
  const [steps = []] = runs;
  const made = new Set(steps.map(({ value }) => value));
  return steps.map((step, index) => {
    const { role, value } = step;
    const work = optionOf(step, "work");
    const shared = {
      outputShape: [batch, ...record.values[value]!.shape],
      medianMs: median(runs.map((run) => run[index]!.milliseconds)),
    };
    if (role !== "operation") {
      const bytes = 2 * bytesOf(value);
      return {
        kind: role,
        rows: [],
        values: [value],
        ...shared,
        multiplyAdds: 0,
        products: 0,
        bytes,
      };
    }
    const indices = rowsOfStep(record, value, made);
    const rows = indices.map((row) => record.rows[row]!);
    const parameters = rows.flatMap(parametersOf);
    const parameterBytes = parameters.reduce(
      (sum, id) => sum + elementCount(record.parameters[id]!.shape) * elementBytes[kept.weights],
      0,
    );
    const direct = batch * rows.reduce((sum, row) => sum + multiplyAdds(record, row), 0);
    return {
      kind: rows.map(({ kind }) => kind).join("+"),
      rows: indices,
      values: rows.map(({ output }) => output),
      ...shared,
      multiplyAdds: direct,
      products: work?.products ?? direct,
      bytes: bytesOf(rows[0]!.input) + bytesOf(value) + (work?.parameterBytes ?? parameterBytes),
    };
  });
}

/** The rows behind a value, back to one that another step made: what a back end runs as one step. */
function rowsOfStep(record: GraphRecord, value: ValueId, made: ReadonlySet<ValueId>): number[] {
  const rows: number[] = [];
  for (let wanted = value; wanted === value || !made.has(wanted); ) {
    const index = record.rows.findIndex(({ output }) => output === wanted);
    if (index < 0) break; // an input of the graph
    rows.unshift(index);
    wanted = record.rows[index]!.input;
  }
  return rows;
}

function parametersOf(row: Row): number[] {
  switch (row.kind) {
    case "conv2d":
    case "gemm":
      return Object.hasOwn(row, "bias") ? [row.weight, row.bias!] : [row.weight];
    case "batchNorm":
      return [row.weight, row.bias, row.mean, row.variance];
    default:
      return [];
  }
}

/** Products of convolutions and linear layers for one image. */
function multiplyAdds(record: GraphRecord, row: Row): number {
  if (row.kind !== "conv2d" && row.kind !== "gemm") return 0;
  const [, ...perOutput] = record.parameters[row.weight]!.shape;
  return elementCount(record.values[row.output]!.shape) * elementCount(perOutput);
}
