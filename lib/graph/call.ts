// A call of a graph on its way to the addon: what is checked and bound, and how its failure is told.
import { formatShape, rangeError } from "../check.js";
import { type Device, DeviceTensor } from "../device/device.js";
import type { DType } from "../dtype.js";
import { translated, VggError } from "../errors.js";
import type { NativeCancellation, NativeGraph, NativeMemory } from "../native/addon.js";
import { native } from "../native/load.js";
import { copyArray } from "../order.js";
import { onAbort } from "../signal.js";
import { nativeData, Tensor } from "../tensor.js";

export type Inputs = Readonly<Record<string, Tensor | DeviceTensor>>;
export type Targets = Readonly<Record<string, DeviceTensor>>;
export type NativeInputs = readonly (NodeJS.TypedArray | NativeMemory)[];
export type NativeMethod<T> = (
  this: NativeGraph,
  ...call: Parameters<NativeGraph["run"]>
) => Promise<T>;

/** An input or output: a value by its name in the record. */
export interface Port {
  readonly name: string;
  /** Without the batch dimension. */
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export type Results = Record<string, Tensor | DeviceTensor>;

/** A call that was checked. */
export interface Call {
  /** By output: undefined where it becomes a new Tensor. */
  readonly targets: readonly (DeviceTensor | undefined)[] | undefined;
  readonly signal: AbortSignal | undefined;
  readonly batch: number;
  readonly nativeInputs: NativeInputs;
  /** What it uses besides the parameters. */
  readonly tensors: readonly DeviceTensor[];
  /** By output: its place on the device, or null until its array is made. */
  readonly nativeOutputs: (NodeJS.TypedArray | NativeMemory | null)[];
  results: Results;
}

/** What the addon takes; a DeviceTensor is added to `tensors`. */
export function bind(
  device: Device,
  value: Tensor | DeviceTensor,
  { name, shape, dtype }: Port,
  batch: number,
  tensors: DeviceTensor[],
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

/** The tensor with data of its own; one on a device as it is. */
export function copyTensor(tensor: Tensor | DeviceTensor): Tensor | DeviceTensor {
  if (tensor instanceof DeviceTensor) return tensor;
  return new Tensor(tensor.shape, copyArray(tensor.data), tensor.dtype);
}

function isBatchOf(shape: readonly number[], batched: readonly number[]): boolean {
  if (batched.length !== shape.length + 1) return false;
  for (let axis = 0; axis < shape.length; axis++)
    if (batched[axis + 1] !== shape[axis]) return false;
  return true;
}

/** Native work that a signal stops: it then rejects, as ABORTED. */
export async function cancellable<Result>(
  signal: AbortSignal,
  start: (cancellation: NativeCancellation) => Promise<Result>,
): Promise<Result> {
  const cancellation = new (native().Cancellation)();
  const release = onAbort(signal, () => cancellation.cancel());
  try {
    return await start(cancellation);
  } finally {
    release();
  }
}

/** Why a run failed: the signal's reason where that stopped it, else the addon's error as the public class. */
export function failureOf(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error === signal?.reason) return error;
  const failure = translated(error);
  const isAborted = failure instanceof VggError && failure.code === "ABORTED";
  return isAborted && signal?.aborted ? signal.reason : failure;
}
