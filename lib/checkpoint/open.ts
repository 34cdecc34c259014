// Opens a checkpoint. The first bytes decide the format, never the name.
import { readOptions } from "../check.js";
import { headBytes } from "../files/head.js";
import { describeFile } from "../files/kind.js";
import { formatOf } from "../image/format.js";
import type { AnyTensor } from "../tensor.js";
import {
  Checkpoint,
  type Contents,
  checkReadOptions,
  type ReadOptions,
  readOptionNames,
} from "./checkpoint.js";
import { CheckpointFile, checkpointError } from "./file.js";
import { legacyStart, readLegacy } from "./pytorch/legacy.js";
import { readZipped } from "./pytorch/zipped.js";
import { readSafetensors } from "./safetensors.js";

const startsWith = (bytes: Uint8Array, prefix: ArrayLike<number>) =>
  Array.from(prefix).every((byte, i) => bytes[i] === byte);

async function readContents(file: CheckpointFile, options: ReadOptions): Promise<Contents> {
  const head = await file.read(0, Math.min(file.size, headBytes));
  // Test for safetensors first, because its length may begin with the bytes PK. The length is never above a few MiB,
  // and the JSON after it begins with a brace. A zip file has its method there, 0 or 8.
  if (
    head.byteLength >= 9 &&
    startsWith(head.subarray(5, 8), [0, 0, 0]) &&
    /[ \t\n\r{]/.test(String.fromCharCode(head[8]!))
  ) {
    return readSafetensors(file, options);
  }
  if (startsWith(head, [0x50, 0x4b])) return readZipped(file, options);
  if (legacyStart(head) !== undefined) return readLegacy(file, options);
  const image = formatOf(head);
  const what =
    image === null
      ? describeFile(head, "weights")
      : `it is ${/^A/.test(image) ? "an" : "a"} ${image} image; are weights and image exchanged?`;
  throw checkpointError(
    file,
    "CHECKPOINT_FORMAT",
    `Expected a PyTorch (.pth) or safetensors file but ${what}`,
  );
}

/** Opens a checkpoint of any format. @throws {VggError} any CHECKPOINT_ code */
export async function openCheckpoint(path: string, options: ReadOptions = {}): Promise<Checkpoint> {
  const given = readOptions(options, "options", readOptionNames);
  checkReadOptions(given);
  const file = await CheckpointFile.open(path);
  try {
    return new Checkpoint(file, await readContents(file, given), given.verify ?? true);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Reads all tensors of a .pth (zip or legacy) or .safetensors file, in the file's order. Executes nothing from the
 * file. Tensors that are views of one storage share memory, as in PyTorch.
 * @throws {TypeError} not a path, an unknown option
 * @throws {VggError} CHECKPOINT_UNREADABLE, _FORMAT, _CORRUPT, _UNSAFE, _LIMIT, _UNSUPPORTED; OUT_OF_MEMORY
 * @example
 * const tensors = await readCheckpoint("vgg11.pth");
 * for (const [name, { shape, dtype }] of tensors) console.log(name, shape, dtype);
 */
export async function readCheckpoint(
  path: string,
  options: ReadOptions = {},
): Promise<Map<string, AnyTensor>> {
  const checkpoint = await openCheckpoint(path, options);
  try {
    const tensors = new Map<string, AnyTensor>();
    for (const [name, stored] of checkpoint.tensors)
      tensors.set(name, await checkpoint.read(stored));
    await checkpoint.file.checkUnchanged();
    return tensors;
  } finally {
    await checkpoint.close();
  }
}
