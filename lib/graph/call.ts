// One call of a graph: binds tensors to what the addon takes, and translates its failure.
import { checkSignal, formatShape, rangeError, readNamed, typeError } from "../check.js";
import { type Device, DeviceTensor } from "../device/device.js";
import { arrayTypeOf, type DType, type TensorData } from "../dtype.js";
import { translated, VggError } from "../errors.js";
import type {
  NativeCancellation,
  NativeDevice,
  NativeGraph,
  NativeMemory,
  NativeRun,
} from "../native/addon.js";
import { copyArray } from "../order.js";
import { onAbort } from "../signal.js";
import { type AnyTensor, elementCount, nativeData, Tensor, tensorOf } from "../tensor.js";
import type { OutputTypes } from "./ops.js";

/** The inputs of a run by name: the values of one batch. */
export type Inputs = Readonly<Record<string, Tensor<DType> | DeviceTensor<DType>>>;
/** Of some outputs by name: the DeviceTensor that receives it. */
export type Targets<Outputs extends OutputTypes = OutputTypes> = {
  readonly [Name in keyof Outputs]?: DeviceTensor<Outputs[Name]> | undefined;
};
/** Options of `run`. */
export interface RunOptions<Into = Targets> {
  /**
   * Drops the run if it has not started, or stops it between two layers if it has. The run rejects with the signal's
   * reason.
   */
  signal?: AbortSignal | undefined;
  /** By output: the DeviceTensor that it is written to. Other outputs become new Tensors. */
  into?: Into | undefined;
}

export type NativeInputs = readonly (NodeJS.TypedArray | NativeMemory)[];
export type NativeMethod<T> = (
  this: NativeGraph,
  ...call: Parameters<NativeGraph["start"]>
) => NativeRun<T>;

/** An input or output of the record. */
export interface Port {
  readonly name: string;
  /** Without the batch dimension. */
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** One tensor of each dtype: `DType` gives what a comparison of `dtype` narrows. */
type NewTensor<D extends DType> = D extends DType ? Tensor<D> : never;
/** Names at most 4 ports, with their shapes and dtypes. */
export function describePorts(ports: readonly Port[]): string {
  const shown = ports
    .slice(0, 4)
    .map(({ name, shape, dtype }) => `${name} ${formatShape(shape, "N")} ${dtype}`);
  return [...shown, ...(ports.length > 4 ? [`… ${ports.length} in all`] : [])].join(", ");
}

/** The outputs of a run by name, each a new Tensor. */
export type NewTensors<Outputs extends OutputTypes> = {
  [Name in keyof Outputs]: NewTensor<Outputs[Name]>;
};
/** The outputs of a run by name: the DeviceTensors of `into`, and a new Tensor for each other output. */
export type Results<Outputs extends OutputTypes, Into = Targets<Outputs>> = Into extends undefined
  ? NewTensors<Outputs>
  : {
      [Name in keyof Outputs]: Name extends keyof Into
        ? Extract<Into[Name], DeviceTensor<DType>> | NewTensorUnless<Into[Name], Outputs[Name]>
        : NewTensor<Outputs[Name]>;
    };
/** A new Tensor, unless there always is a target. */
type NewTensorUnless<Target, D extends DType> =
  Target extends DeviceTensor<DType> ? never : NewTensor<D>;
/** What a run makes, before its outputs are known by name. */
export type AnyResults = Record<string, AnyTensor | DeviceTensor<DType>>;

/** A call whose arguments were checked. */
export interface Call {
  /** By output: undefined if it becomes a new Tensor. */
  readonly targets: readonly (DeviceTensor<DType> | undefined)[] | undefined;
  readonly signal: AbortSignal | undefined;
  readonly batch: number;
  readonly nativeInputs: NativeInputs;
  /** The DeviceTensors that it reads or writes. */
  readonly tensors: readonly DeviceTensor<DType>[];
  /** By output: its memory on the device, or null. */
  readonly nativeTargets: readonly (NativeMemory | null)[];
}

/** What a call of the addon returned, and the outputs that it wrote. */
export interface Ran<T> {
  readonly value: T;
  readonly results: AnyResults;
}

/** Reads each input once, in the order of the names. @throws {TypeError} an unknown name, or not a tensor */
export function readInputs(inputs: Inputs, names: readonly string[]): Inputs[string][] {
  return readNamed(inputs, "inputs", names).map((value, index) => {
    if (value instanceof DeviceTensor) return value;
    const name = names[index]!;
    const tensor = tensorOf(value, name);
    if (tensor === undefined) throw typeError("a Tensor or DeviceTensor", name, value);
    return tensor;
  });
}

/** Checks a tensor against its port and returns what the addon takes. Adds a DeviceTensor to `tensors`. */
function bind(
  device: Device,
  value: Tensor<DType> | DeviceTensor<DType>,
  { name, shape, dtype }: Port,
  batch: number,
  tensors: DeviceTensor<DType>[],
): NodeJS.TypedArray | NativeMemory {
  if (value.dtype !== dtype)
    throw new TypeError(`Expected dtype ${dtype} for ${name} but received ${value.dtype}`);
  if (!isBatchOf(shape, value.shape))
    throw new RangeError(
      `Expected shape ${formatShape(shape, "N")} for ${name} but received ${formatShape(value.shape)}`,
    );
  if (batch < 1)
    throw new RangeError(
      `Expected a batch of at least 1 image for ${name} but received ${formatShape(value.shape)}`,
    );
  if (value.shape[0] !== batch) throw rangeError(`a batch of ${batch}`, name, value.shape);
  if (value instanceof Tensor) return nativeData(value, name);
  if (!value.device.isSameAs(device))
    throw rangeError(`a DeviceTensor on ${device}`, name, `${value.device}`);
  tensors.push(value);
  return value.memory;
}

/** Checks all arguments of a call before any work starts. `inputs` are in the order of their ports. */
export function checkCall(
  device: Device,
  inputPorts: readonly Port[],
  outputPorts: readonly Port[],
  inputs: readonly Inputs[string][],
  into: Targets | undefined,
  signal: AbortSignal | undefined,
): Call {
  checkSignal(signal);
  const batch = inputs[0]!.shape[0] ?? 0;
  const tensors: DeviceTensor<DType>[] = [];
  const nativeInputs = inputPorts.map((port, index) =>
    bind(device, inputs[index]!, port, batch, tensors),
  );
  const names = () => outputPorts.map(({ name }) => name);
  const targets = into === undefined ? undefined : readNamed(into, "options.into", names());
  const nativeTargets = outputPorts.map((port, index) => {
    const target = targets?.[index];
    if (target === undefined) return null;
    const name = `options.into.${port.name}`;
    if (!(target instanceof DeviceTensor)) throw typeError("a DeviceTensor", name, target);
    return bind(device, target, { ...port, name }, batch, tensors) as NativeMemory;
  });
  signal?.throwIfAborted();
  return { targets, signal, batch, nativeInputs, nativeTargets, tensors };
}

/**
 * Makes the results of a call by name, and by output the array that the addon fills.
 * @throws {VggError} OUT_OF_MEMORY
 */
export function makeResults(
  ports: readonly Port[],
  { batch, targets }: Call,
): { results: AnyResults; arrays: (NodeJS.TypedArray | null)[] } {
  const arrays: (NodeJS.TypedArray | null)[] = [];
  try {
    const results = ports.map(({ name, shape, dtype }, index) => {
      const target = targets?.[index];
      if (target !== undefined) {
        arrays.push(null);
        return [name, target];
      }
      const batched = [batch, ...shape];
      const data = new (arrayTypeOf(dtype))(elementCount(batched));
      arrays.push(data);
      return [name, new Tensor(batched, data, dtype)];
    });
    return { results: Object.fromEntries(results), arrays };
  } catch (cause) {
    const message = "Expected host memory for the outputs but it is not available";
    throw new VggError("OUT_OF_MEMORY", message, { cause });
  }
}

/** Copies a Tensor; returns a DeviceTensor as it is. */
export function copyTensor(
  tensor: Tensor<DType> | DeviceTensor<DType>,
): Tensor<DType> | DeviceTensor<DType> {
  if (tensor instanceof DeviceTensor) return tensor;
  return new Tensor<TensorData, DType>(tensor.shape, copyArray(tensor.data), tensor.dtype);
}

function isBatchOf(shape: readonly number[], batched: readonly number[]): boolean {
  if (batched.length !== shape.length + 1) return false;
  for (let axis = 0; axis < shape.length; axis++)
    if (batched[axis + 1] !== shape[axis]) return false;
  return true;
}

/** Runs a device's work. If the signal stops it, it rejects with ABORTED. */
export async function cancellable<Result>(
  device: NativeDevice,
  signal: AbortSignal,
  start: (cancellation: NativeCancellation) => Promise<Result>,
): Promise<Result> {
  const cancellation = device.createCancellation();
  const release = onAbort(signal, () => cancellation.cancel());
  try {
    return await start(cancellation);
  } finally {
    release();
  }
}

/** Returns why a run failed: the signal's reason if it stopped the run, else the addon's error, translated. */
export function failureOf(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error === signal?.reason) return error;
  const failure = translated(error);
  const isAborted = failure instanceof VggError && failure.code === "ABORTED";
  return isAborted && signal?.aborted ? signal.reason : failure;
}
