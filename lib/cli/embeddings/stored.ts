// Reads a file of embeddings in blocks: npy or safetensors.
import { type FileHandle, open } from "node:fs/promises";
import { extname } from "node:path";
import { rangeError } from "../../check.js";
import { openCheckpoint } from "../../checkpoint/open.js";
import { fileError, isMissing, wordsOf } from "../../files/errors.js";
import { jsonOf } from "../../files/json.js";
import { readWhole } from "../../files/read-whole.js";
import { type Description, descriptionPath, readDescription } from "./description.js";
import { maxHeaderBytes } from "./writers.js";

/** Where the numbers of a file are, and what it says about them. */
export interface Stored {
  readonly path: string;
  readonly rows: number;
  /** The number of values of a row. */
  readonly length: number;
  /** The first byte of the numbers, which are float32, row after row. */
  readonly offset: number;
  /** Undefined for a .npy file of another program. */
  readonly description: Description | undefined;
}

const flag = "--in";

/** @throws {RangeError} not a file of embeddings @throws {VggError} CHECKPOINT_…, FOLDER_UNUSABLE */
export async function openStored(path: string): Promise<Stored> {
  const extension = extname(path).toLowerCase();
  if (extension !== ".npy" && extension !== ".safetensors")
    throw rangeError("a name that ends in .npy or .safetensors", flag, path);
  const stored = extension === ".npy" ? await openNpy(path) : await openSafetensors(path);
  const named = stored.description?.files.length;
  if (named !== undefined && named !== stored.rows) {
    throw rangeError(
      `names of ${stored.rows} images, one for each row of ${path},`,
      flag,
      `names of ${named}`,
    );
  }
  return stored;
}

async function openSafetensors(path: string): Promise<Stored> {
  const checkpoint = await openCheckpoint(path, { maxHeaderBytes });
  try {
    const tensor = checkpoint.tensors.get("embeddings");
    if (tensor?.dtype !== "float32" || tensor.shape.length !== 2)
      throw rangeError(
        "a file with a float32 tensor (N, D) named embeddings, or a .npy file,",
        flag,
        path,
      );
    const [rows, length] = tensor.shape as [number, number];
    const { metadata } = checkpoint.contents;
    const text = (key: string) => metadata.get(key) ?? "null";
    const preprocessing = metadata.get("preprocessing");
    const description = readDescription({
      ...{ arch: metadata.get("arch"), layer: metadata.get("layer") },
      weights: metadata.get("weights"),
      preprocessing: preprocessing === undefined ? undefined : jsonOf(preprocessing),
      ...{ pool: jsonOf(text("pool")), normalize: jsonOf(text("normalize")) },
      files: jsonOf(text("files")),
    });
    return { path, rows, length, offset: tensor.storage.offset, description };
  } finally {
    await checkpoint.close();
  }
}

async function openNpy(path: string): Promise<Stored> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    const start = await readAt(handle, 0, Math.min(size, 12));
    const isNpy = start.length === 12 && start.toString("latin1", 0, 6) === "\x93NUMPY";
    const isLong = isNpy && start[6]! >= 2; // version 2 has four bytes for the length
    const headerLength = isNpy ? (isLong ? start.readUInt32LE(8) : start.readUInt16LE(8)) : 0;
    const offset = (isLong ? 12 : 10) + headerLength;
    const header =
      isNpy && headerLength <= 65_536 && offset <= size
        ? (await readAt(handle, offset - headerLength, headerLength)).toString("latin1")
        : "";
    const field = (pattern: RegExp) => pattern.exec(header)?.[1];
    const shape = /'shape': \((\d+), (\d+),?\s*\)/.exec(header);
    const [rows, length] = [Number(shape?.[1]), Number(shape?.[2])];
    const isMatrix =
      field(/'descr': '([^']*)'/) === "<f4" && field(/'fortran_order': (\w+)/) === "False";
    if (!isMatrix || size !== offset + 4 * rows * length)
      throw rangeError("a whole .npy file of float32 (N, D) in C order", flag, path);
    return { path, rows, length, offset, description: await descriptionBeside(path) };
  } finally {
    await handle.close();
  }
}

async function descriptionBeside(npy: string): Promise<Description | undefined> {
  const path = descriptionPath(npy);
  const text = await readWhole(path).catch((cause: NodeJS.ErrnoException) => {
    if (!isMissing(cause)) throw fileError(cause, path);
  });
  if (text === undefined) return undefined;
  const description = readDescription(jsonOf(text));
  if (description === undefined)
    throw rangeError("a description of embeddings as vgg embed writes it", flag, path);
  return description;
}

async function openFile(path: string): Promise<FileHandle> {
  return open(path).catch((cause: NodeJS.ErrnoException) => {
    if (!isMissing(cause)) throw fileError(cause, path);
    throw new RangeError(
      `Expected a file for ${flag} but received ${path}: ${wordsOf(cause.code!)}`,
    );
  });
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

const blockBytes = 8 * 2 ** 20;

/** Yields the rows in blocks of a few MiB, each with the number of its first row. */
export async function* blocksOf({
  path,
  rows,
  length,
  offset,
}: Stored): AsyncGenerator<{ first: number; values: Float32Array }> {
  const atOnce = Math.max(1, Math.floor(blockBytes / (4 * length)));
  const handle = await openFile(path);
  try {
    for (let first = 0; first < rows; first += atOnce) {
      const count = Math.min(atOnce, rows - first);
      const bytes = await readAt(handle, offset + 4 * first * length, 4 * count * length);
      if (bytes.length !== 4 * count * length)
        throw rangeError("a file that nobody changes", flag, path);
      yield { first, values: new Float32Array(bytes.buffer, bytes.byteOffset, count * length) };
    }
  } finally {
    await handle.close();
  }
}
