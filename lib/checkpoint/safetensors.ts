// The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes without gap or overlap.
// https://github.com/huggingface/safetensors

import { describe, isPlainObject, rangeError, readOptions, typeError } from "../check.js";
import { arrayTypeOf, type DType } from "../dtype.js";
import { onCommandLine } from "../errors.js";
import { jsonOf } from "../files/json.js";
import { checkPath, replaceFile } from "../files/replace.js";
import { nativeData, type Tensor, tensorEntries } from "../tensor.js";
import {
  type Contents,
  contiguousStrides,
  maxDimensions,
  type ReadOptions,
  type StoredTensor,
} from "./checkpoint.js";
import { type CheckpointFile, checkpointError, maxFileBytes } from "./file.js";
import { isWellFormed, JsonObject, type JsonValue, maxObjects, parseJson } from "./json.js";
import { labelProblem, labelsBeside } from "./labels.js";

const defaultMaxHeaderBytes = 16 * 2 ** 20;
const maxDimension = 2 ** 31 - 1;

const dtypes: Readonly<Record<string, DType>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  F8_E4M3: "float8_e4m3fn",
  F8_E5M2: "float8_e5m2",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool",
};
const names = new Map(Object.entries(dtypes).map(([name, dtype]) => [dtype, name]));

/**
 * Reads the header.
 * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_LIMIT (a header above `maxHeaderBytes`), CHECKPOINT_UNSUPPORTED (a
 * dtype)
 */
export async function readSafetensors(
  file: CheckpointFile,
  { maxHeaderBytes = defaultMaxHeaderBytes, key }: ReadOptions,
): Promise<Contents> {
  if (key !== undefined) {
    const message = (name: string) =>
      `Expected no ${name}, because a safetensors file has one dictionary of tensors, but received ${describe(key)}`;
    const error = checkpointError(file, "CHECKPOINT_FORMAT", message("option key"));
    throw onCommandLine(error, `${file.path}: ${message("--key")}`);
  }
  if (file.size < 8) throw file.corrupt(`Expected at least 8 bytes but the file has ${file.size}`);
  const length = new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true);
  if (length > BigInt(file.size - 8))
    throw file.corrupt(
      `Expected a header of ${length} bytes but the file has ${file.size - 8} after its length`,
    );
  if (length > maxHeaderBytes) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected a header of at most ${maxHeaderBytes} bytes but received ${length}`,
    );
  }
  const header = parseJson(file, await file.read(8, Number(length)));
  if (!(header instanceof JsonObject)) throw file.corrupt("Expected an object for the header");
  const start = 8 + Number(length);
  const metadata = new Map<string, string>();
  const tensors = new Map<string, StoredTensor>();
  const spans: { name: string; begin: number; end: number }[] = [];
  for (const [name, value] of header.entries) {
    if (name === "__metadata__") {
      if (!(value instanceof JsonObject)) throw file.corrupt("Expected an object for __metadata__");
      for (const [key, text] of value.entries) {
        if (typeof text !== "string")
          throw file.corrupt(`Expected a string for __metadata__.${key}`);
        metadata.set(key, text);
      }
      continue;
    }
    const { begin, end, tensor } = readEntry(file, name, value, start);
    tensors.set(name, tensor);
    spans.push({ name, begin, end });
  }
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of spans) {
    if (begin !== covered)
      throw file.corrupt(
        `Expected ${name} to begin at byte ${covered} of the data but it begins at ${begin}`,
      );
    covered = end;
  }
  if (start + covered !== file.size)
    throw file.corrupt(`Expected ${covered} bytes of data but the file has ${file.size - start}`);
  return {
    ...{ format: "safetensors", tensors, metadata, others: [], choice: undefined },
    ...readLabels(metadata),
  };
}

function readEntry(file: CheckpointFile, name: string, value: JsonValue, start: number) {
  const field = (key: string) => (value instanceof JsonObject ? value.entries.get(key) : undefined);
  const type = field("dtype");
  if (typeof type !== "string") throw file.corrupt(`Expected a dtype for ${name}`);
  const dtype = Object.hasOwn(dtypes, type) ? dtypes[type]! : undefined;
  if (dtype === undefined) {
    throw checkpointError(
      file,
      "CHECKPOINT_UNSUPPORTED",
      `Expected one of ${Object.keys(dtypes).join(", ")} for the dtype of ${name} but received ${type}`,
    );
  }
  const integers = (key: string): number[] => {
    const list = field(key);
    if (!Array.isArray(list) || !list.every((item) => typeof item === "number")) {
      throw file.corrupt(`Expected integers ≥ 0 for the ${key} of ${name}`);
    }
    return list as number[];
  };
  const shape = integers("shape");
  const offsets = integers("data_offsets");
  const [begin, end] = offsets as [number, number];
  if (offsets.length !== 2 || end < begin || start + end > file.size) {
    throw file.corrupt(
      `Expected data_offsets within ${file.size - start} bytes for ${name} but received ${describe(offsets)}`,
    );
  }
  if (shape.length > maxDimensions) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${maxDimensions} dimensions for ${name}`,
    );
  }
  const itemBytes = arrayTypeOf(dtype).BYTES_PER_ELEMENT;
  let bytes = BigInt(itemBytes);
  for (const dimension of shape) bytes *= BigInt(dimension);
  if (bytes !== BigInt(end - begin))
    throw file.corrupt(
      `Expected ${bytes} bytes for ${name} but its data_offsets hold ${end - begin}`,
    );
  if (shape.some((dimension) => dimension > maxDimension)) {
    throw checkpointError(file, "CHECKPOINT_LIMIT", `Expected dimensions below 2^31 for ${name}`);
  }
  const storage = {
    ...{ dtype, elements: (end - begin) / itemBytes, offset: start + begin },
    ...{ crc: undefined, deflatedBytes: undefined },
  };
  return {
    begin,
    end,
    tensor: { dtype, shape, strides: contiguousStrides(shape), offset: 0, storage },
  };
}

/** Returns the class names that `Vgg.save` or another program stored as JSON. */
function readLabels(
  metadata: ReadonlyMap<string, string>,
): Pick<Contents, "labels" | "labelProblem"> {
  const values = new Map([...metadata].map(([key, text]) => [key, listOrObject(text)]));
  const labels = labelsBeside(values);
  return { labels, labelProblem: labels === undefined ? labelProblem(values) : undefined };
}

/** Parses a list or an object. Returns undefined for any other text: metadata are free. */
function listOrObject(text: string): unknown {
  return /^\s*[[{]/.test(text) ? jsonOf(text) : undefined;
}

/** Options of `writeSafetensors` and `Vgg.save`. */
export interface WriteOptions {
  /** Strings to store with the tensors. */
  metadata?: Readonly<Record<string, string>> | undefined;
}

/** A tensor that is read only when it is written. */
export interface LazyTensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  read(): Promise<Tensor<DType>>;
}

/** Checks a tensor before it is written. @throws {RangeError} a name or shape that `readCheckpoint` refuses */
export function checkWritable(name: string, { shape }: LazyTensor): void {
  if (!isWellFormed(name)) throw rangeError("a name that is well-formed Unicode", "tensors", name);
  if (shape.length > maxDimensions)
    throw rangeError(`at most ${maxDimensions} dimensions`, name, shape.length);
  if (shape.some((dimension) => dimension > maxDimension))
    throw rangeError("dimensions below 2^31", name, shape);
}

/** Formats an object as JSON, with its keys in the order given. */
function objectJson(entries: Iterable<readonly [string, unknown]>): string {
  const members = [...entries].map(
    ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  return `{${members.join()}}`;
}

/**
 * Writes a temporary file beside the target and renames it when it is complete.
 * @throws {RangeError} no file, or contents that `readCheckpoint` refuses by default; nothing is written
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE; and errors of a tensor's `read`
 */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, LazyTensor>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const header: [string, unknown][] = [];
  const entries = Object.entries(metadata);
  if (!entries.flat().every(isWellFormed))
    throw rangeError("well-formed Unicode", "metadata", metadata);
  if (entries.length > 0) header.push(["__metadata__", Object.fromEntries(entries)]);
  let end = 0;
  // Write the widest elements first, as the reference does, so that each tensor is aligned to its elements.
  const width = ({ dtype }: LazyTensor) => arrayTypeOf(dtype).BYTES_PER_ELEMENT;
  const ordered = [...tensors].sort(([, a], [, b]) => width(b) - width(a));
  for (const [name, tensor] of ordered) {
    checkWritable(name, tensor);
    const { dtype, shape } = tensor;
    const begin = end;
    end += shape.reduce(
      (product, dimension) => product * dimension,
      arrayTypeOf(dtype).BYTES_PER_ELEMENT,
    );
    header.push([name, { dtype: names.get(dtype), shape, data_offsets: [begin, end] }]);
  }
  // The header itself counts as one object.
  if (header.length >= maxObjects)
    throw rangeError(`fewer than ${maxObjects} tensors`, "tensors", tensors.size);
  const json = Buffer.from(objectJson(header));
  if (json.byteLength > defaultMaxHeaderBytes - 8) {
    throw rangeError(
      `names, shapes and metadata that take at most ${defaultMaxHeaderBytes - 8} bytes`,
      "tensors",
      json.byteLength,
    );
  }
  if (8 + json.byteLength + 8 + end > maxFileBytes)
    throw rangeError(`tensors of at most ${maxFileBytes} bytes`, "tensors", end);
  const padded = Buffer.alloc(Math.ceil(json.byteLength / 8) * 8, " ");
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.byteLength));
  await replaceFile(path, async (file) => {
    await file.write(Buffer.concat([length, padded]));
    for (const [name, tensor] of ordered) {
      const data = nativeData(await tensor.read(), name);
      await file.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  });
}

/**
 * Writes tensors and `metadata` as safetensors.
 * @throws {TypeError} not a path, not a Map or object of Tensors, metadata that is not an object of strings
 * @throws {RangeError} no file, or contents that `readCheckpoint` refuses by default; nothing is written
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE
 * @example await writeSafetensors("mean.safetensors", { mean: Tensor.zeros([3]) });
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor<DType>> | Readonly<Record<string, Tensor<DType>>>,
  options: WriteOptions = {},
): Promise<void> {
  checkPath(path, "path");
  const { metadata = {} } = readOptions(options, "options", ["metadata"]);
  const checked = checkMetadata(metadata);
  const lazy = new Map<string, LazyTensor>();
  for (const [name, tensor] of tensorEntries(tensors, "tensors")) {
    if (name === "__metadata__") throw typeError("a tensor's name", "tensors", name);
    lazy.set(name, { shape: tensor.shape, dtype: tensor.dtype, read: async () => tensor });
  }
  await writeTensors(path, lazy, checked);
}

/** Copies metadata and reads each entry once. @throws {TypeError} not an object of strings */
export function checkMetadata(metadata: unknown): Readonly<Record<string, string>> {
  if (!isPlainObject(metadata))
    throw typeError("an object of strings", "options.metadata", metadata);
  const entries = Object.entries(metadata).map(([key, value]) => {
    if (typeof value !== "string") throw typeError("a string", `options.metadata.${key}`, value);
    return [key, value] as const;
  });
  return Object.fromEntries(entries);
}
