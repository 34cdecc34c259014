// A file of named tensors in any format: lists its contents, and reads the bytes of a tensor on request.
import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import { bare, checkInteger, typeError } from "../check.js";
import { arrayTypeOf, type DType, type TensorData } from "../dtype.js";
import { type AnyTensor, elementCount, Tensor } from "../tensor.js";
import { type Bytes, type CheckpointFile, checkpointError } from "./file.js";

export const maxDimensions = 16;

/** A run of elements in a file. Several tensors may be views of one. */
export interface Storage {
  readonly dtype: DType;
  readonly elements: number;
  /** Byte offset in the file. */
  readonly offset: number;
  /** CRC-32 of the bytes; undefined if the format has no checksum. */
  readonly crc: number | undefined;
  /** Bytes in the file if the storage is deflated; otherwise undefined. */
  readonly deflatedBytes: number | undefined;
}

/** A tensor as a strided view of a storage; offset and strides count elements. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly storage: Storage;
}

/** The contents of a file, as the reader of its format returns them. */
export interface Contents {
  readonly format: "pytorch" | "pytorch-legacy" | "safetensors";
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Strings stored with the tensors: safetensors' `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Class names stored with the weights. */
  readonly labels: readonly string[] | undefined;
  /** What a .pth file has beside the tensors and the class names, by its names. */
  readonly others: readonly string[];
  /** Why class names in the file cannot be used; undefined if they can, or if there are none. */
  readonly labelProblem: string | undefined;
  /** The chosen key of a checkpoint and the keys of other state dicts in it, unless the caller chose. */
  readonly choice: { readonly key: string; readonly others: readonly string[] } | undefined;
}

export function bytesOf({ dtype, elements }: Storage): number {
  return elements * arrayTypeOf(dtype).BYTES_PER_ELEMENT;
}

/** Returns the row-major strides of a shape. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--)
    strides[axis] = strides[axis + 1]! * Math.max(shape[axis + 1]!, 1);
  return strides;
}

export function isContiguous({ shape, strides }: Pick<StoredTensor, "shape" | "strides">): boolean {
  const expected = contiguousStrides(shape);
  return (
    elementCount(shape) === 0 ||
    shape.every((dimension, axis) => dimension === 1 || strides[axis] === expected[axis])
  );
}

// Limit what a hostile file can make us allocate for inflated storages and strided copies together:
// inflationFactor × the file's size + spareBytes.
const spareBytes = 32 * 2 ** 20;
const inflationFactor = 4;
/** Bytes of one piece of `chunks`: small enough that its copies reuse memory that is already mapped. */
const chunkBytes = 4 * 2 ** 20;

const inflate = promisify(inflateRaw) as (
  data: Uint8Array,
  options: { maxOutputLength: number },
) => Promise<Buffer>;

/** An opened checkpoint. */
export class Checkpoint {
  readonly file: CheckpointFile;
  readonly contents: Contents;
  readonly #verify: boolean;
  /** Storages by file offset, because two dtypes may view the same bytes. */
  #storages = new Map<number, Promise<ArrayBuffer>>();
  #spentBytes = 0;
  #chunkBuffers: [Bytes, Bytes] | undefined;

  constructor(file: CheckpointFile, contents: Contents, verify: boolean) {
    this.file = file;
    this.contents = contents;
    this.#verify = verify;
  }

  get tensors(): ReadonlyMap<string, StoredTensor> {
    return this.contents.tensors;
  }

  /**
   * Reads a tensor into JavaScript's memory. Contiguous tensors of one storage share its bytes, which are read once.
   * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_LIMIT, CHECKPOINT_UNREADABLE, OUT_OF_MEMORY
   */
  async read(tensor: StoredTensor): Promise<AnyTensor> {
    const { dtype, shape, offset, storage } = tensor;
    const made = (data: TensorData) => new Tensor(shape, data, dtype) as AnyTensor;
    const type = arrayTypeOf(dtype);
    const count = elementCount(shape);
    if (count === 0) return made(new type(0));
    if (!isContiguous(tensor)) this.#spend(count * type.BYTES_PER_ELEMENT);
    let bytes = this.#storages.get(storage.offset);
    if (bytes === undefined) {
      bytes = this.#readStorage(storage);
      this.#storages.set(storage.offset, bytes);
    }
    const buffer = await bytes;
    if (isContiguous(tensor)) return made(new type(buffer, offset * type.BYTES_PER_ELEMENT, count));
    const to = this.file.allocate(count * type.BYTES_PER_ELEMENT).buffer;
    return made(gather(tensor, new type(buffer), new type(to)));
  }

  /**
   * Yields the bytes of a tensor in row-major order, a few MiB at a time. Each piece is valid until the next is
   * requested. A wrong checksum is reported after the last piece.
   * @throws {VggError} the errors of `read`
   */
  async *chunks(tensor: StoredTensor): AsyncGenerator<Bytes> {
    const { dtype, shape, offset, storage } = tensor;
    const total = elementCount(shape) * arrayTypeOf(dtype).BYTES_PER_ELEMENT;
    const isWhole =
      elementCount(shape) === storage.elements && isContiguous(tensor) && offset === 0;
    if (!isWhole || storage.deflatedBytes !== undefined) {
      const { data } = await this.read(tensor);
      this.#storages.delete(storage.offset);
      yield new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
      return;
    }
    this.#chunkBuffers ??= [new Uint8Array(chunkBytes), new Uint8Array(chunkBytes)];
    const buffers = this.#chunkBuffers;
    const start = (index: number) => {
      const bytes = buffers[index % 2]!.subarray(
        0,
        Math.min(chunkBytes, total - index * chunkBytes),
      );
      const filled = this.file.readInto(bytes, storage.offset + index * chunkBytes);
      filled.catch(() => {}); // awaited below, unless the caller stops early
      return { bytes, filled };
    };
    const count = Math.ceil(total / chunkBytes);
    let sum = 0;
    let next = count > 0 ? start(0) : undefined;
    for (let index = 0; next !== undefined; index++) {
      const { bytes, filled } = next;
      await filled;
      // Read the next piece while this one is checksummed and used.
      next = index + 1 < count ? start(index + 1) : undefined;
      if (this.#verify && storage.crc !== undefined) sum = crc32(bytes, sum);
      yield bytes;
    }
    this.#checkSum(storage, sum);
  }

  /** Releases the cached bytes of a tensor's storage, which other tensors may share. */
  forget({ storage }: StoredTensor): void {
    this.#storages.delete(storage.offset);
  }

  async #readStorage(storage: Storage): Promise<ArrayBuffer> {
    const size = bytesOf(storage);
    let bytes: Bytes;
    if (storage.deflatedBytes === undefined) bytes = await this.file.read(storage.offset, size);
    else {
      this.#spend(size);
      const deflated = await this.file.read(storage.offset, storage.deflatedBytes);
      bytes = this.file.allocate(size);
      bytes.set(await inflateExactly(this.file, deflated, size));
    }
    if (this.#verify && storage.crc !== undefined) this.#checkSum(storage, crc32(bytes));
    return bytes.buffer;
  }

  #checkSum(storage: Storage, sum: number): void {
    if (!this.#verify || storage.crc === undefined || sum === storage.crc) return;
    const hex = (value: number) => value.toString(16).padStart(8, "0");
    throw this.file.corrupt(
      `Expected CRC-32 ${hex(storage.crc)} for the bytes from ${storage.offset} but received ${hex(sum)}`,
    );
  }

  #spend(bytes: number): void {
    this.#spentBytes += bytes;
    const limit = inflationFactor * this.file.size + spareBytes;
    if (this.#spentBytes > limit) {
      throw checkpointError(
        this.file,
        "CHECKPOINT_LIMIT",
        `Expected tensors of at most ${limit} bytes for a file of ${this.file.size} but received more`,
      );
    }
  }

  async close(): Promise<void> {
    this.#storages.clear();
    await this.file.close();
  }
}

/** Inflates bytes to exactly `size` bytes. @throws {VggError} CHECKPOINT_CORRUPT if they inflate to another size */
export async function inflateExactly(
  file: CheckpointFile,
  deflated: Uint8Array,
  size: number,
): Promise<Uint8Array> {
  const inflated = await inflate(deflated, bare({ maxOutputLength: Math.max(size, 1) })).catch(
    (cause: Error) => {
      throw checkpointError(
        file,
        "CHECKPOINT_CORRUPT",
        `Expected a deflated record but received: ${cause.message}`,
        cause,
      );
    },
  );
  if (inflated.byteLength !== size) {
    throw file.corrupt(
      `Expected a record of ${size} bytes but it inflates to ${inflated.byteLength}`,
    );
  }
  return inflated;
}

/** Fills `to` in row-major order from a strided view of `from`. */
function gather<T extends TensorData>({ shape, strides, offset }: StoredTensor, from: T, to: T): T {
  const count = to.length;
  const index = shape.map(() => 0);
  for (let i = 0, at = offset; i < count; i++) {
    to[i] = from[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return to;
}

/**
 * Checks a tensor's view of its storage, because a file's sizes and strides cannot be trusted.
 * @throws {VggError} CHECKPOINT_CORRUPT if the view leaves its storage, _LIMIT above 16 dimensions
 */
export function checkView(file: CheckpointFile, name: string, view: StoredTensor): StoredTensor {
  const { shape, strides, offset, storage } = view;
  const isIndex = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (shape.length > maxDimensions) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${maxDimensions} dimensions for ${name}`,
    );
  }
  if (shape.length !== strides.length || ![offset, ...shape, ...strides].every(isIndex)) {
    throw file.corrupt(
      `Expected sizes, strides and offset ≥ 0 for ${name} but received (${shape.join(", ")}), (${strides.join(", ")}), ${offset}`,
    );
  }
  // Use BigInt: products of the file's numbers may exceed the safe integers.
  const last = shape.reduce(
    (sum, d, axis) => sum + BigInt(Math.max(d - 1, 0)) * BigInt(strides[axis]!),
    BigInt(offset),
  );
  const isEmpty = shape.includes(0);
  if (!isEmpty && last >= BigInt(storage.elements)) {
    throw file.corrupt(
      `Expected ${name} within its storage of ${storage.elements} elements but it reaches element ${last}`,
    );
  }
  const count = shape.reduce((product, d) => product * BigInt(d), 1n);
  if (count > BigInt(Number.MAX_SAFE_INTEGER) || shape.some((d) => d > 2 ** 31 - 1)) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected fewer than 2^53 elements for ${name}`,
    );
  }
  return view;
}

/** Options of `readCheckpoint` and `Vgg.load` that concern the file. */
export interface ReadOptions {
  /** Which dictionary to read from a checkpoint with several, e.g. "state_dict". Default: the only possible one. */
  key?: string | undefined;
  /** Whether the checksums of zip records are verified. Default true. */
  verify?: boolean | undefined;
  /** Maximum bytes of a safetensors header. Default 16 MiB; at most 100,000,000, the format's limit. */
  maxHeaderBytes?: number | undefined;
}

export const readOptionNames = Object.freeze(["key", "verify", "maxHeaderBytes"]);

export function checkReadOptions({ key, verify, maxHeaderBytes }: ReadOptions): void {
  if (maxHeaderBytes !== undefined)
    checkInteger(maxHeaderBytes, "options.maxHeaderBytes", 2, 100_000_000);
  if (key !== undefined && typeof key !== "string") throw typeError("a string", "options.key", key);
  if (verify !== undefined && typeof verify !== "boolean")
    throw typeError("a boolean", "options.verify", verify);
}
