// The values and parameters of a graph that is being recorded, and the checks of rows on them.
import { describe, formatShape, rangeError, typeError } from "../check.js";
import type { DType } from "../dtype.js";
import { markCopy } from "../realm.js";
import { checkShape } from "../tensor.js";
import type { ParameterId, ValueId } from "./ops.js";

/** The values and parameters that builders made; only their ids are trusted. They are frozen, and constructors add none. */
const recorded = new WeakSet<Value | ParameterValue>();

/** Makes a builder's value. */
export let recordValue: <D extends DType>(
  builder: object,
  id: ValueId,
  shape: readonly number[],
  dtype: D,
) => Value<D>;
/** Makes a builder's parameter. */
export let recordParameter: (
  builder: object,
  id: ParameterId,
  name: string,
  shape: readonly number[],
) => ParameterValue;

/**
 * A recorded value. Its shape omits the batch dimension N.
 * @example
 * const value: Value = builder.input("x", [3, 32, 32]);
 * console.log(value.shape, value.dtype);
 */
export class Value<D extends DType = DType> {
  static {
    markCopy(Value);
    recordValue = (builder, id, shape, dtype) => record(new Value(builder, id, shape, dtype));
  }

  /** The builder that recorded it. */
  readonly builder: object;
  /** Its index in `values` of the record. */
  readonly id: ValueId;
  /** Dimensions without the batch, the outermost first. */
  readonly shape: readonly number[];
  /** The type of the elements. */
  readonly dtype: D;

  /** Use the methods of GraphBuilder: a value made here belongs to no graph. */
  private constructor(builder: object, id: ValueId, shape: readonly number[], dtype: D) {
    this.builder = builder;
    this.id = id;
    this.shape = shape;
    this.dtype = dtype;
    Object.freeze(this);
  }
}

/**
 * A recorded parameter: a name and a shape. Its numbers are set on the compiled graph.
 * @example
 * const weight: ParameterValue = builder.parameter("weight", [8, 3, 3, 3]);
 * console.log(weight.name, weight.shape);
 */
export class ParameterValue {
  static {
    markCopy(ParameterValue);
    recordParameter = (builder, id, name, shape) =>
      record(new ParameterValue(builder, id, name, shape));
  }

  /** The builder that recorded it. */
  readonly builder: object;
  /** Its index in `parameters` of the record. */
  readonly id: ParameterId;
  /** The name by which its numbers are set. */
  readonly name: string;
  /** Dimensions, the outermost first. */
  readonly shape: readonly number[];

  /** Use GraphBuilder.parameter: a parameter made here belongs to no graph. */
  private constructor(builder: object, id: ParameterId, name: string, shape: readonly number[]) {
    this.builder = builder;
    this.id = id;
    this.name = name;
    this.shape = shape;
    Object.freeze(this);
  }
}

/** Registers a builder's value or parameter, so that rows may read it. */
function record<Made extends Value | ParameterValue>(made: Made): Made {
  recorded.add(made);
  return made;
}

/** Checks that every dimension is at least 1. @throws {TypeError|RangeError} */
export function checkExtents(shape: readonly number[], name: string): readonly number[] {
  const checked = checkShape(shape, name);
  if (checked.length === 0 || checked.includes(0)) {
    throw rangeError("dimensions of at least 1", name, shape);
  }
  return checked;
}

/** @throws {TypeError} not a value @throws {RangeError} a value of another graph */
export function checkValue(builder: object, value: Value, row: string, name: string): void {
  if (!(value instanceof Value && recorded.has(value)))
    throw typeError("a recorded value", `${name} of ${row}`, value);
  if (value.builder !== builder) {
    throw rangeError("a value of this graph", `${name} of ${row}`, value);
  }
}

/** @throws {TypeError} not a value @throws {RangeError} a value of another graph, or not float32 */
export function checkFloat(builder: object, input: Value, row: string): void {
  checkValue(builder, input, row, "input");
  if (input.dtype !== "float32") throw rangeError("float32", `input of ${row}`, input.dtype);
}

export function rankError(row: string, expected: string, input: Value): RangeError {
  const received = `${formatShape(input.shape, "N")} ${describe(input.dtype)}`;
  return new RangeError(`Expected ${expected} for input of ${row} but received ${received}`);
}

/** Returns [C, H, W] of a float32 image. @throws {TypeError|RangeError} */
export function checkImage(builder: object, input: Value, row: string): [number, number, number] {
  checkFloat(builder, input, row);
  if (input.shape.length !== 3) throw rankError(row, "(N, C, H, W)", input);
  return input.shape as [number, number, number];
}

/** Returns [H', W'] of a window that moves over an image. @throws {RangeError} the window is larger than the padded image */
export function slide(
  row: string,
  input: Value,
  [r, s]: readonly [number, number],
  stride: number,
  padding: number,
): [number, number] {
  const [, height, width] = input.shape as readonly [number, number, number];
  const extent = (length: number, size: number) =>
    Math.floor((length + 2 * padding - size) / stride) + 1;
  const [outputHeight, outputWidth] = [extent(height, r), extent(width, s)];
  if (outputHeight < 1 || outputWidth < 1) {
    const expected = `an image of at least ${r} × ${s} with its padding`;
    throw rangeError(expected, `input of ${row}`, input.shape);
  }
  return [outputHeight, outputWidth];
}

/** Returns F of a float32 value (N, F). @throws {TypeError|RangeError} */
export function checkFeatures(builder: object, input: Value, row: string): number {
  checkFloat(builder, input, row);
  if (input.shape.length !== 1) throw rankError(row, "(N, F)", input);
  return input.shape[0]!;
}

/** @throws {TypeError} not a parameter @throws {RangeError} a parameter of another graph */
export function checkParameter(
  builder: object,
  parameter: ParameterValue,
  row: string,
  name: string,
): void {
  if (!(parameter instanceof ParameterValue && recorded.has(parameter))) {
    throw typeError("a recorded parameter", `${name} of ${row}`, parameter);
  }
  if (parameter.builder !== builder) {
    throw rangeError("a parameter of this graph", `${name} of ${row}`, parameter);
  }
}

/** Checks a parameter of shape (length). @throws {TypeError|RangeError} */
export function checkVector(
  builder: object,
  parameter: ParameterValue,
  length: number,
  row: string,
  name: string,
): void {
  checkParameter(builder, parameter, row, name);
  const expected = formatShape([length]);
  if (formatShape(parameter.shape) !== expected) {
    throw rangeError(`shape ${expected}`, `${name} ${parameter.name} of ${row}`, parameter.shape);
  }
}

/** Reads one finite number for each channel, each once. @throws {RangeError} */
export function checkNumbers(list: readonly number[], channels: number, name: string): number[] {
  const numbers = Array.isArray(list) && list.length === channels ? Array.from(list) : [];
  if (numbers.length !== channels || !numbers.every((item) => Number.isFinite(item))) {
    throw rangeError(`${channels} finite numbers, one for each channel,`, name, list);
  }
  return numbers;
}
