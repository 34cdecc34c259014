// Storages and tensors as a pickle describes them, before their bytes are found.
import { arrayTypeOf, type DType } from "../../dtype.js";
import type { CheckpointFile } from "../file.js";
import { Opaque } from "./pickle-values.js";

/** One of PyTorch's typed storages, or the untyped one. */
export interface StorageType {
  readonly name: string;
  /** Undefined if the storage is untyped, or of numbers that this package does not support. */
  readonly dtype: DType | undefined;
  /** Whether the storage is untyped. Then its elements are bytes. */
  readonly isUntyped: boolean;
  readonly itemBytes: number;
}

/** A storage as the pickle names it. The position of its bytes is known only after the pickle was read. */
export class StorageReference extends Opaque {
  readonly key: string;
  readonly type: StorageType;
  readonly elements: number;
  /** Elements to skip, in legacy files. */
  readonly viewOffset: number;

  constructor(key: string, type: StorageType, elements: number, viewOffset: number) {
    super();
    this.key = key;
    this.type = type;
    this.elements = elements;
    this.viewOffset = viewOffset;
  }
}

export function referencedBytes({ type, elements }: StorageReference): number {
  return elements * type.itemBytes;
}

/** Returns how many elements of `dtype` a storage holds. @throws {VggError} CHECKPOINT_CORRUPT not a whole number */
export function elementsAs(file: CheckpointFile, storage: StorageReference, dtype: DType): number {
  const elements = referencedBytes(storage) / arrayTypeOf(dtype).BYTES_PER_ELEMENT;
  if (!Number.isInteger(elements))
    throw file.corrupt(`Expected whole elements of ${dtype} in storage ${storage.key}`);
  return elements;
}

/** A tensor as the pickle describes it. Its numbers are not checked yet. */
export class TensorReference extends Opaque {
  readonly storage: StorageReference;
  readonly dtype: DType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: StorageReference,
    dtype: DType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    super();
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}
