// Records a graph: each method checks the shapes, appends one row and returns the row's output value.
import {
  checkInteger,
  checkOneOf,
  describe,
  formatShape,
  isPlainObject,
  rangeError,
  readOptions,
  typeError,
} from "../check.js";
import type { DType } from "../dtype.js";
import { elementCount } from "../tensor.js";
import { finish } from "./finished.js";
import type {
  GraphRecord,
  OutputTypes,
  ParameterRecord,
  Row,
  ValueId,
  ValueRecord,
} from "./ops.js";
import type {
  BatchNormOptions,
  Conv2dOptions,
  GemmOptions,
  MaxPool2dOptions,
  NormalizeOptions,
} from "./row-options.js";
import {
  checkExtents,
  checkFeatures,
  checkFloat,
  checkImage,
  checkNumbers,
  checkParameter,
  checkValue,
  checkVector,
  type ParameterValue,
  rankError,
  recordParameter,
  recordValue,
  slide,
  type Value,
} from "./value.js";

const maxExtent = 65_536;

/**
 * Records a graph of operations, which `Graph.compile` prepares for a device.
 * @example
 * const builder = new GraphBuilder();
 * const input = builder.input("x", [3, 32, 32]);
 * const weight = builder.parameter("weight", [8, 3, 3, 3]);
 * const record = builder.finish({ y: builder.conv2d(input, weight, { padding: 1, relu: true }) });
 */
export class GraphBuilder {
  #values: ValueRecord[] = [];
  #parameters: ParameterRecord[] = [];
  #rows: Row[] = [];
  #inputs: Record<string, ValueId> = Object.create(null);

  /**
   * Adds an input.
   * @param shape without the batch dimension: [C, H, W] or [F] for "float32", [H, W, C] for "uint8"
   * @throws {TypeError|RangeError} the name is empty or in use, or the shape or dtype is invalid
   * @example const pixels = builder.input("pixels", [224, 224, 3], "uint8");
   */
  input<D extends "float32" | "uint8" = "float32">(
    name: string,
    shape: readonly number[],
    dtype: D = "float32" as D,
  ): Value<D> {
    if (typeof name !== "string" || name === "") throw typeError("a name", "input", name);
    if (Object.hasOwn(this.#inputs, name))
      throw new RangeError(
        `Expected a new name for input but there is an input ${describe(name)} already`,
      );
    checkOneOf(dtype, `the dtype of input ${name}`, ["float32", "uint8"]);
    const checked = checkExtents(shape, `the shape of input ${name}`);
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

  /**
   * Adds a parameter. A second call with the same name returns the same one.
   * @throws {RangeError} the name has another shape
   * @example const bias = builder.parameter("features.0.bias", [64]);
   */
  parameter(name: string, shape: readonly number[]): ParameterValue {
    if (typeof name !== "string" || name === "") throw typeError("a name", "parameter", name);
    const checked = checkExtents(shape, `the shape of parameter ${name}`);
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
    return recordParameter(this, id, name, checked);
  }

  /**
   * Normalises each channel: uint8 (N, H, W, C) or float32 (N, C, H, W) in [0, 1] → (N, C, H, W) float32, (x - mean) / std.
   * @example const image = builder.normalize(pixels, { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] });
   */
  normalize(input: Value, options: NormalizeOptions): Value<"float32"> {
    const given = readOptions(options, "options of normalize", ["mean", "std"]);
    checkValue(this, input, "normalize", "input");
    if (input.shape.length !== 3)
      throw rankError("normalize", "(N, C, H, W) or uint8 (N, H, W, C)", input);
    const [a, b, c] = input.shape as [number, number, number];
    const shape = input.dtype === "uint8" ? [c, a, b] : [a, b, c];
    const mean = checkNumbers(given.mean, shape[0]!, "mean of normalize");
    const std = checkNumbers(given.std, shape[0]!, "std of normalize");
    if (std.includes(0)) throw rangeError("numbers other than 0", "std of normalize", std);
    const output = this.#value(shape, "float32");
    return this.#row({ kind: "normalize", input: input.id, output: output.id, mean, std }, output);
  }

  /**
   * Adds a convolution: input (N, C, H, W), weight (K, C, R, S), bias (K) → (N, K, H', W').
   * @example const y = builder.conv2d(x, weight, { bias, padding: 1, relu: true });
   */
  conv2d(input: Value, weight: ParameterValue, options: Conv2dOptions = {}): Value<"float32"> {
    const known = ["bias", "stride", "padding", "relu", "precise"];
    const given = readOptions(options, "options of conv2d", known);
    const { bias, stride = 1, padding = 0, relu = false, precise = false } = given;
    const [channels] = checkImage(this, input, "conv2d");
    checkParameter(this, weight, "conv2d", "weight");
    if (weight.shape.length !== 4 || weight.shape[1] !== channels) {
      throw rangeError(
        `shape (K, ${channels}, R, S)`,
        `weight ${weight.name} of conv2d`,
        weight.shape,
      );
    }
    const [filters, , r, s] = weight.shape as [number, number, number, number];
    if (bias !== undefined) checkVector(this, bias, filters, "conv2d", "bias");
    checkInteger(stride, "stride of conv2d", 1, maxExtent);
    checkInteger(padding, "padding of conv2d", 0, Math.min(maxExtent, Math.max(r, s) - 1));
    const extents = slide("conv2d", input, [r, s], stride, padding);
    const output = this.#value([filters, ...extents], "float32");
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
        ...(precise ? { precise: true } : {}),
      },
      output,
    );
  }

  /**
   * Adds a batch normalisation by known statistics: input (N, C, H, W), parameters (C) → (N, C, H, W).
   * @example const y = builder.batchNorm(x, { weight, bias, mean, variance, relu: true });
   */
  batchNorm(input: Value, options: BatchNormOptions): Value<"float32"> {
    const vectors = ["weight", "bias", "mean", "variance"] as const;
    const known = [...vectors, "epsilon", "relu"];
    const given = readOptions(options, "options of batchNorm", known);
    const { epsilon = 1e-5, relu = false } = given;
    const [channels] = checkImage(this, input, "batchNorm");
    for (const name of vectors) checkVector(this, given[name], channels, "batchNorm", name);
    if (!(epsilon > 0 && Number.isFinite(epsilon)))
      throw rangeError("a number above 0", "epsilon of batchNorm", epsilon);
    const output = this.#value(input.shape, "float32");
    return this.#row(
      {
        kind: "batchNorm",
        input: input.id,
        output: output.id,
        weight: given.weight.id,
        bias: given.bias.id,
        mean: given.mean.id,
        variance: given.variance.id,
        epsilon,
        relu: Boolean(relu),
      },
      output,
    );
  }

  /**
   * Adds a ReLU: input of any shape → the same shape. The `relu` option of conv2d, gemm and batchNorm costs less; use
   * this if the value before it is an output too.
   * @example const y = builder.relu(x);
   */
  relu(input: Value): Value<"float32"> {
    checkFloat(this, input, "relu");
    const output = this.#value(input.shape, "float32");
    return this.#row({ kind: "relu", input: input.id, output: output.id }, output);
  }

  /**
   * Adds a max pool, the maximum of each window: input (N, C, H, W) → (N, C, H', W').
   * @example const y = builder.maxPool2d(x, { size: 3, stride: 2, padding: 1 });
   */
  maxPool2d(input: Value, options: MaxPool2dOptions = {}): Value<"float32"> {
    const given = readOptions(options, "options of maxPool2d", ["size", "stride", "padding"]);
    const { size = 2, stride = size, padding = 0 } = given;
    const [channels] = checkImage(this, input, "maxPool2d");
    checkInteger(size, "size of maxPool2d", 1, maxExtent);
    checkInteger(stride, "stride of maxPool2d", 1, maxExtent);
    checkInteger(padding, "padding of maxPool2d", 0, Math.floor(size / 2));
    const extents = slide("maxPool2d", input, [size, size], stride, padding);
    const output = this.#value([channels, ...extents], "float32");
    return this.#row(
      { kind: "maxPool2d", input: input.id, output: output.id, size, stride, padding },
      output,
    );
  }

  /**
   * Adds an average pool over PyTorch's bins: input (N, C, H, W) → (N, C, H', W').
   * @param outputSize [H', W']
   * @example const y = builder.adaptiveAvgPool2d(x, [7, 7]);
   */
  adaptiveAvgPool2d(input: Value, outputSize: readonly [number, number]): Value<"float32"> {
    const [channels] = checkImage(this, input, "adaptiveAvgPool2d");
    if (!Array.isArray(outputSize) || outputSize.length !== 2) {
      throw rangeError("[height, width]", "outputSize of adaptiveAvgPool2d", outputSize);
    }
    const [outputHeight, outputWidth] = outputSize as readonly [number, number];
    for (const extent of [outputHeight, outputWidth])
      checkInteger(extent, "outputSize of adaptiveAvgPool2d", 1, maxExtent);
    const output = this.#value([channels, outputHeight, outputWidth], "float32");
    return this.#row({ kind: "adaptiveAvgPool2d", input: input.id, output: output.id }, output);
  }

  /**
   * Flattens each image: input (N, C, H, W) → (N, C·H·W).
   * @example const row = builder.flatten(x);
   */
  flatten(input: Value): Value<"float32"> {
    checkImage(this, input, "flatten");
    const output = this.#value([elementCount(input.shape)], "float32");
    return this.#row({ kind: "flatten", input: input.id, output: output.id }, output);
  }

  /**
   * Adds a linear layer: input (N, I), weight (O, I), bias (O) → (N, O).
   * @example const logits = builder.gemm(row, builder.parameter("weight", [10, ...row.shape]));
   */
  gemm(input: Value, weight: ParameterValue, options: GemmOptions = {}): Value<"float32"> {
    const { bias, relu = false } = readOptions(options, "options of gemm", ["bias", "relu"]);
    const features = checkFeatures(this, input, "gemm");
    checkParameter(this, weight, "gemm", "weight");
    if (weight.shape.length !== 2 || weight.shape[1] !== features) {
      throw rangeError(`shape (O, ${features})`, `weight ${weight.name} of gemm`, weight.shape);
    }
    const outputs = weight.shape[0]!;
    if (bias !== undefined) checkVector(this, bias, outputs, "gemm", "bias");
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

  /**
   * Adds a softmax: input (N, F) → (N, F). Each row sums to 1.
   * @example const probabilities = builder.softmax(logits);
   */
  softmax(input: Value): Value<"float32"> {
    checkFeatures(this, input, "softmax");
    const output = this.#value(input.shape, "float32");
    return this.#row({ kind: "softmax", input: input.id, output: output.id }, output);
  }

  /**
   * Finds the k greatest elements of each row: input (N, F) → values (N, k) float32 in descending order, indices (N, k) int32.
   * @example const { values, indices } = builder.topK(probabilities, 5);
   */
  topK(input: Value, k: number): { values: Value<"float32">; indices: Value<"int32"> } {
    const features = checkFeatures(this, input, "topK");
    checkInteger(k, "k of topK", 1, features);
    const values = this.#value([k], "float32");
    const indices = this.#value([k], "int32");
    this.#row({ kind: "topK", input: input.id, output: values.id, indices: indices.id, k }, values);
    return { values, indices };
  }

  /**
   * Returns the record with these outputs.
   * @throws {TypeError|RangeError} no output, or one that no row of this graph computes
   * @example const record = builder.finish({ logits });
   */
  finish<Outputs extends OutputTypes>(
    outputs: {
      readonly [Name in keyof Outputs]: Value<Outputs[Name]>;
    },
  ): GraphRecord<Outputs> {
    if (!isPlainObject(outputs)) throw typeError("an object of values", "outputs", outputs);
    const entries = Object.entries<Value>(outputs);
    if (entries.length === 0) throw rangeError("at least one output", "outputs", outputs);
    for (const [name, value] of entries) {
      checkValue(this, value, "finish", `output ${name}`);
      if (Object.values(this.#inputs).includes(value.id)) {
        throw rangeError("a computed value", `output ${name}`, "an input");
      }
    }
    return finish({
      values: [...this.#values],
      parameters: [...this.#parameters],
      rows: [...this.#rows],
      inputs: { ...this.#inputs },
      outputs: Object.fromEntries(entries.map(([name, value]) => [name, value.id])),
    } satisfies GraphRecord as unknown as GraphRecord<Outputs>);
  }

  #value<D extends DType>(shape: readonly number[], dtype: D): Value<D> {
    const extents = Object.freeze([...shape]);
    const id = this.#values.push({ shape: extents, dtype }) - 1;
    return recordValue(this, id, extents, dtype);
  }

  #row<D extends DType>(row: Row, output: Value<D>): Value<D> {
    this.#rows.push(row);
    return output;
  }
}
