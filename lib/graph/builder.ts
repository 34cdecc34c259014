// Records a graph: each method checks the shapes, appends one row and returns the value that the row makes.
import {
  checkInteger,
  checkOneOf,
  describe,
  formatShape,
  rangeError,
  typeError,
} from "../check.js";
import { checkShape, type DType, elementCount } from "../tensor.js";
import type {
  GraphRecord,
  ParameterId,
  ParameterRecord,
  Row,
  ValueId,
  ValueRecord,
} from "./ops.js";

const maxExtent = 65_536;

/** The records whose shapes a builder has checked. Native code relies on that. */
const finished = new WeakSet<GraphRecord>();

/** @throws {TypeError} not what `GraphBuilder.finish` returned */
export function checkRecord(record: GraphRecord): void {
  if (typeof record !== "object" || record === null || !finished.has(record)) {
    throw typeError("a record of GraphBuilder.finish", "record", record);
  }
}

function freeze<T extends object>(tree: T): T {
  for (const item of Object.values(tree))
    if (typeof item === "object" && item !== null) freeze(item);
  return Object.freeze(tree);
}

/** A recorded value. Its shape leaves out the batch dimension N. */
export class Value {
  readonly builder: GraphBuilder;
  readonly id: ValueId;
  readonly shape: readonly number[];
  readonly dtype: DType;

  /** @internal Use the methods of GraphBuilder. */
  constructor(builder: GraphBuilder, id: ValueId, shape: readonly number[], dtype: DType) {
    this.builder = builder;
    this.id = id;
    this.shape = shape;
    this.dtype = dtype;
  }
}

/** A recorded parameter: a name and a shape; its numbers are set on the compiled graph. */
export class ParameterValue {
  readonly builder: GraphBuilder;
  readonly id: ParameterId;
  readonly name: string;
  readonly shape: readonly number[];

  /** @internal Use GraphBuilder.parameter. */
  constructor(builder: GraphBuilder, id: ParameterId, name: string, shape: readonly number[]) {
    this.builder = builder;
    this.id = id;
    this.name = name;
    this.shape = shape;
  }
}

export class GraphBuilder {
  #values: ValueRecord[] = [];
  #parameters: ParameterRecord[] = [];
  #rows: Row[] = [];
  #inputs: Record<string, ValueId> = {};

  /** @param shape of one image: [C, H, W] or [F] for "float32", [H, W, C] for "uint8" */
  input(name: string, shape: readonly number[], dtype: "float32" | "uint8" = "float32"): Value {
    if (typeof name !== "string" || name === "") throw typeError("a name", "input", name);
    if (Object.hasOwn(this.#inputs, name)) throw rangeError("a name not yet in use", "input", name);
    checkOneOf(dtype, `the dtype of input ${name}`, ["float32", "uint8"]);
    const checked = this.#checkExtents(shape, `the shape of input ${name}`);
    const rank = checked.length;
    if (rank !== 3 && (rank !== 1 || dtype === "uint8")) {
      throw rangeError(
        dtype === "uint8" ? "(H, W, C)" : "(C, H, W) or (F)",
        `the shape of input ${name}`,
        shape,
      );
    }
    const value = this.#value(checked, dtype);
    this.#inputs[name] = value.id;
    return value;
  }

  /** Asking again for a name gives the same parameter. @throws {RangeError} the name has another shape already */
  parameter(name: string, shape: readonly number[]): ParameterValue {
    if (typeof name !== "string" || name === "") throw typeError("a name", "parameter", name);
    const checked = this.#checkExtents(shape, `the shape of parameter ${name}`);
    let id = this.#parameters.findIndex((parameter) => parameter.name === name);
    if (id < 0) {
      id = this.#parameters.length;
      this.#parameters.push({ name, shape: checked });
    } else if (formatShape(this.#parameters[id]!.shape) !== formatShape(checked)) {
      throw rangeError(
        `shape ${formatShape(this.#parameters[id]!.shape)}`,
        `parameter ${name}`,
        shape,
      );
    }
    return new ParameterValue(this, id, name, checked);
  }

  /** input uint8 (N, H, W, C) or float32 (N, C, H, W) in [0, 1] → (N, C, H, W) float32, (x - mean) / std by channel */
  normalize(input: Value, options: { mean: readonly number[]; std: readonly number[] }): Value {
    const { mean, std } = options;
    this.#own(input, "normalize", "input");
    if (input.shape.length !== 3)
      throw this.#rank("normalize", "(N, C, H, W) or uint8 (N, H, W, C)", input);
    const [a, b, c] = input.shape as [number, number, number];
    const shape = input.dtype === "uint8" ? [c, a, b] : [a, b, c];
    for (const [name, list] of Object.entries({ mean, std })) {
      const areNumbers = Array.isArray(list) && list.every((item) => Number.isFinite(item));
      if (!areNumbers || list.length !== shape[0]) {
        throw rangeError(
          `${shape[0]} finite numbers, one for each channel,`,
          `${name} of normalize`,
          list,
        );
      }
    }
    if (std.includes(0)) throw rangeError("numbers other than 0", "std of normalize", std);
    const output = this.#value(shape, "float32");
    return this.#row(
      { kind: "normalize", input: input.id, output: output.id, mean: [...mean], std: [...std] },
      output,
    );
  }

  /** input (N, C, H, W), weight (K, C, R, S), bias (K) → (N, K, H', W') */
  conv2d(
    input: Value,
    weight: ParameterValue,
    options: { bias?: ParameterValue; stride?: number; padding?: number; relu?: boolean } = {},
  ): Value {
    const { bias, stride = 1, padding = 0, relu = false } = options;
    const [channels, height, width] = this.#image(input, "conv2d");
    this.#ownParameter(weight, "conv2d", "weight");
    if (weight.shape.length !== 4 || weight.shape[1] !== channels) {
      throw rangeError(
        `shape (K, ${channels}, R, S)`,
        `weight ${weight.name} of conv2d`,
        weight.shape,
      );
    }
    const [filters, , r, s] = weight.shape as [number, number, number, number];
    if (bias !== undefined) this.#vector(bias, filters, "conv2d", "bias");
    checkInteger(stride, "stride of conv2d", 1, maxExtent);
    checkInteger(padding, "padding of conv2d", 0, Math.max(r, s) - 1);
    const outputHeight = Math.floor((height + 2 * padding - r) / stride) + 1;
    const outputWidth = Math.floor((width + 2 * padding - s) / stride) + 1;
    if (outputHeight < 1 || outputWidth < 1) {
      throw rangeError(
        `an image of at least ${r} × ${s} with its padding`,
        "input of conv2d",
        input.shape,
      );
    }
    const output = this.#value([filters, outputHeight, outputWidth], "float32");
    return this.#row(
      {
        kind: "conv2d",
        input: input.id,
        output: output.id,
        weight: weight.id,
        ...(bias === undefined ? {} : { bias: bias.id }),
        stride,
        padding,
        relu: Boolean(relu),
      },
      output,
    );
  }

  /** input (N, C, H, W), parameters (C) → (N, C, H, W) */
  batchNorm(
    input: Value,
    options: {
      weight: ParameterValue;
      bias: ParameterValue;
      mean: ParameterValue;
      variance: ParameterValue;
      epsilon?: number;
      relu?: boolean;
    },
  ): Value {
    const { epsilon = 1e-5, relu = false } = options;
    const [channels] = this.#image(input, "batchNorm");
    for (const name of ["weight", "bias", "mean", "variance"] as const) {
      this.#vector(options[name], channels, "batchNorm", name);
    }
    if (!(epsilon > 0 && Number.isFinite(epsilon)))
      throw rangeError("a number above 0", "epsilon of batchNorm", epsilon);
    const output = this.#value(input.shape, "float32");
    return this.#row(
      {
        kind: "batchNorm",
        input: input.id,
        output: output.id,
        weight: options.weight.id,
        bias: options.bias.id,
        mean: options.mean.id,
        variance: options.variance.id,
        epsilon,
        relu: Boolean(relu),
      },
      output,
    );
  }

  /** Any shape. Prefer the `relu` option of conv2d, gemm and batchNorm, unless the value before it is an output too. */
  relu(input: Value): Value {
    this.#own(input, "relu", "input");
    this.#float(input, "relu");
    const output = this.#value(input.shape, "float32");
    return this.#row({ kind: "relu", input: input.id, output: output.id }, output);
  }

  /** input (N, C, H, W) → (N, C, H', W') */
  maxPool2d(
    input: Value,
    options: { size?: number; stride?: number; padding?: number } = {},
  ): Value {
    const { size = 2, stride = size, padding = 0 } = options;
    const [channels, height, width] = this.#image(input, "maxPool2d");
    checkInteger(size, "size of maxPool2d", 1, maxExtent);
    checkInteger(stride, "stride of maxPool2d", 1, maxExtent);
    checkInteger(padding, "padding of maxPool2d", 0, Math.floor(size / 2));
    const outputHeight = Math.floor((height + 2 * padding - size) / stride) + 1;
    const outputWidth = Math.floor((width + 2 * padding - size) / stride) + 1;
    if (outputHeight < 1 || outputWidth < 1) {
      throw rangeError(
        `an image of at least ${size} × ${size} with its padding`,
        "input of maxPool2d",
        input.shape,
      );
    }
    const output = this.#value([channels, outputHeight, outputWidth], "float32");
    return this.#row(
      { kind: "maxPool2d", input: input.id, output: output.id, size, stride, padding },
      output,
    );
  }

  /** input (N, C, H, W) → (N, C, H', W') */
  adaptiveAvgPool2d(input: Value, outputSize: readonly [number, number]): Value {
    const [channels] = this.#image(input, "adaptiveAvgPool2d");
    if (!Array.isArray(outputSize) || outputSize.length !== 2) {
      throw rangeError("[height, width]", "outputSize of adaptiveAvgPool2d", outputSize);
    }
    for (const extent of outputSize)
      checkInteger(extent, "outputSize of adaptiveAvgPool2d", 1, maxExtent);
    const output = this.#value([channels, ...outputSize], "float32");
    return this.#row({ kind: "adaptiveAvgPool2d", input: input.id, output: output.id }, output);
  }

  /** input (N, C, H, W) → (N, C·H·W) */
  flatten(input: Value): Value {
    this.#image(input, "flatten");
    const output = this.#value([elementCount(input.shape)], "float32");
    return this.#row({ kind: "flatten", input: input.id, output: output.id }, output);
  }

  /** input (N, I), weight (O, I), bias (O) → (N, O) */
  gemm(
    input: Value,
    weight: ParameterValue,
    options: { bias?: ParameterValue; relu?: boolean } = {},
  ): Value {
    const { bias, relu = false } = options;
    const features = this.#features(input, "gemm");
    this.#ownParameter(weight, "gemm", "weight");
    if (weight.shape.length !== 2 || weight.shape[1] !== features) {
      throw rangeError(`shape (O, ${features})`, `weight ${weight.name} of gemm`, weight.shape);
    }
    const outputs = weight.shape[0]!;
    if (bias !== undefined) this.#vector(bias, outputs, "gemm", "bias");
    const output = this.#value([outputs], "float32");
    return this.#row(
      {
        kind: "gemm",
        input: input.id,
        output: output.id,
        weight: weight.id,
        ...(bias === undefined ? {} : { bias: bias.id }),
        relu: Boolean(relu),
      },
      output,
    );
  }

  /** input (N, F) → (N, F) */
  softmax(input: Value): Value {
    this.#features(input, "softmax");
    const output = this.#value(input.shape, "float32");
    return this.#row({ kind: "softmax", input: input.id, output: output.id }, output);
  }

  /** input (N, F) → values (N, k) float32 in falling order, indices (N, k) int32 */
  topK(input: Value, k: number): { values: Value; indices: Value } {
    const features = this.#features(input, "topK");
    checkInteger(k, "k of topK", 1, features);
    const values = this.#value([k], "float32");
    const indices = this.#value([k], "int32");
    this.#row({ kind: "topK", input: input.id, output: values.id, indices: indices.id, k }, values);
    return { values, indices };
  }

  /** The record with these outputs. @throws {TypeError|RangeError} no output, or one that no row of this graph makes */
  finish(outputs: Readonly<Record<string, Value>>): GraphRecord {
    const entries = Object.entries(outputs);
    if (entries.length === 0) throw rangeError("at least one output", "outputs", outputs);
    for (const [name, value] of entries) {
      this.#own(value, "finish", `output ${name}`);
      if (Object.values(this.#inputs).includes(value.id)) {
        throw rangeError("a computed value", `output ${name}`, "an input");
      }
    }
    const record = freeze({
      values: [...this.#values],
      parameters: [...this.#parameters],
      rows: [...this.#rows],
      inputs: { ...this.#inputs },
      outputs: Object.fromEntries(entries.map(([name, value]) => [name, value.id])),
    });
    finished.add(record);
    return record;
  }

  #value(shape: readonly number[], dtype: DType): Value {
    const id = this.#values.push({ shape: [...shape], dtype }) - 1;
    return new Value(this, id, shape, dtype);
  }

  #row(row: Row, output: Value): Value {
    this.#rows.push(row);
    return output;
  }

  #checkExtents(shape: readonly number[], name: string): readonly number[] {
    const checked = checkShape(shape, name);
    if (checked.length === 0 || checked.includes(0))
      throw rangeError("dimensions of at least 1", name, shape);
    return checked;
  }

  #own(value: Value, row: string, name: string): void {
    if (!(value instanceof Value)) throw typeError("a recorded value", `${name} of ${row}`, value);
    if (value.builder !== this)
      throw rangeError("a value of this graph", `${name} of ${row}`, value);
  }

  #ownParameter(parameter: ParameterValue, row: string, name: string): void {
    if (!(parameter instanceof ParameterValue))
      throw typeError("a recorded parameter", `${name} of ${row}`, parameter);
    if (parameter.builder !== this)
      throw rangeError("a parameter of this graph", `${name} of ${row}`, parameter);
  }

  #float(input: Value, row: string): void {
    if (input.dtype !== "float32") throw rangeError("float32", `input of ${row}`, input.dtype);
  }

  #rank(row: string, expected: string, input: Value): RangeError {
    return new RangeError(
      `Expected ${expected} for input of ${row} but received ${formatShape(input.shape, "N")} ${describe(input.dtype)}`,
    );
  }

  #image(input: Value, row: string): [number, number, number] {
    this.#own(input, row, "input");
    this.#float(input, row);
    if (input.shape.length !== 3) throw this.#rank(row, "(N, C, H, W)", input);
    return input.shape as [number, number, number];
  }

  #features(input: Value, row: string): number {
    this.#own(input, row, "input");
    this.#float(input, row);
    if (input.shape.length !== 1) throw this.#rank(row, "(N, F)", input);
    return input.shape[0]!;
  }

  #vector(parameter: ParameterValue, length: number, row: string, name: string): void {
    this.#ownParameter(parameter, row, name);
    if (formatShape(parameter.shape) !== formatShape([length])) {
      throw rangeError(
        `shape ${formatShape([length])}`,
        `${name} ${parameter.name} of ${row}`,
        parameter.shape,
      );
    }
  }
}
