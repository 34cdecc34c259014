// The work and time of each step of a run: joins the back end's times with the rows of the record.
import { optionOf } from "../check.js";
import type { Precision } from "../dtype.js";
import { arrayTypeOf } from "../dtype.js";
import type { NativeStepTime } from "../native/addon.js";
import { median } from "../statistics.js";
import { elementCount } from "../tensor.js";
import type { NewTensors } from "./call.js";
import {
  type GraphRecord,
  inputsOf,
  type OutputTypes,
  outputsOf,
  parametersOf,
  type Row,
  type ValueId,
} from "./ops.js";

/** The result of `profile`: the outputs of the last run, and each step in the order in which they ran. */
export interface GraphProfile<Outputs extends OutputTypes = OutputTypes> {
  /** The outputs of the last run by name. */
  readonly outputs: NewTensors<Outputs>;
  /** The steps in the order in which they ran. */
  readonly steps: readonly StepProfile[];
}

/** Options of `profile`. */
export interface ProfileOptions {
  /** The number of runs before the measured ones. Default 1. */
  warmup?: number | undefined;
  /** The number of measured runs, whose median is reported. Default 10. */
  iterations?: number | undefined;
  /** Stops between two runs or two steps; rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** The work and time of one step of a run. */
export interface StepProfile {
  /** The kinds of its rows, as "conv2d+maxPool2d"; or "input" and "output", which convert to and from the device's layout. */
  readonly kind: string;
  /** Indices into `record.rows`, in the order in which they run; empty for "input" and "output". */
  readonly rows: readonly number[];
  /** The output values of the rows, or the value that is converted. */
  readonly values: readonly ValueId[];
  /** The shape of the output, with the batch dimension. */
  readonly outputShape: readonly number[];
  /** Milliseconds, measured with the GPU's own clock on a GPU. */
  readonly medianMs: number;
  /** Products by the operation's definition for the whole batch. A FLOP count is twice that. */
  readonly multiplyAdds: number;
  /**
   * Products that the device computes. They are fewer than `multiplyAdds` if a convolution uses Winograd's algorithm or
   * a linear layer skips zeros. cuDNN does not report them, so for a convolution on a GPU this is `multiplyAdds`.
   */
  readonly products: number;
  /** The minimum bytes to move: the input, the output, and the parameters that are read, each once as stored. */
  readonly bytes: number;
}

const elementBytes: Readonly<Record<Precision, number>> = {
  float32: 4,
  tf32: 4,
  float16: 2,
  bfloat16: 2,
};

/**
 * Describes the steps of runs of one batch size, with the median of their times.
 * @param kept the precision in which weights and activations are stored
 * @param runs the steps of each run; all runs have the same steps
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
    const parameters = rows.flatMap((row) => Object.values(parametersOf(row)));
    const parameterBytes = parameters.reduce(
      (sum, id) => sum + elementCount(record.parameters[id]!.shape) * elementBytes[kept.weights],
      0,
    );
    const inside = new Set(rows.flatMap(outputsOf));
    const moved = rows.flatMap(inputsOf).filter((input) => !inside.has(input));
    const direct = batch * rows.reduce((sum, row) => sum + multiplyAdds(record, row), 0);
    return {
      kind: rows.map(({ kind }) => kind).join("+"),
      rows: indices,
      values: rows.map(({ output }) => output),
      ...shared,
      multiplyAdds: direct,
      products: work?.products ?? direct,
      bytes:
        moved.reduce((sum, input) => sum + bytesOf(input), bytesOf(value)) +
        (work?.parameterBytes ?? parameterBytes),
    };
  });
}

/** The rows that one step ran: from a value back to the outputs of other steps. */
function rowsOfStep(record: GraphRecord, value: ValueId, made: ReadonlySet<ValueId>): number[] {
  const rows = new Set<number>();
  const add = (wanted: ValueId) => {
    const index = record.rows.findIndex((row) => outputsOf(row)[0] === wanted);
    if (index < 0) return; // an input of the graph
    rows.add(index);
    for (const input of inputsOf(record.rows[index]!)) if (!made.has(input)) add(input);
  };
  add(value);
  return [...rows].sort((a, b) => a - b);
}

/** Products of a convolution or linear layer for one image; 0 for other rows. */
function multiplyAdds(record: GraphRecord, row: Row): number {
  if (row.kind !== "conv2d" && row.kind !== "gemm") return 0;
  const [, ...perOutput] = record.parameters[row.weight]!.shape;
  return elementCount(record.values[row.output]!.shape) * elementCount(perOutput);
}
