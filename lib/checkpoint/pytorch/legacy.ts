// PyTorch's format before 1.6: five pickles (magic, protocol, system, object, keys), then each storage's count and bytes.
import type { Contents, ReadOptions } from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import { TorchHandler } from "./handler.js";
import { maxPickleBytes, unpickle } from "./pickle.js";
import { Dict, describeValue } from "./pickle-values.js";
import { elementsAs, referencedBytes } from "./references.js";
import { torchContents } from "./state.js";

/** LONG1 of 0x1950a86a20f9469cfc6c, STOP. */
const magic = "\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/** FRAME of 13 bytes, which protocol 4 writes before the magic number. */
const frame = "\x95\x0d\0\0\0\0\0\0\0";

/** Returns where the magic number that begins each legacy file ends. @returns undefined if it is none */
export function legacyStart(head: Uint8Array): number | undefined {
  const text = Buffer.from(head.subarray(0, 32)).toString("latin1");
  const protocol = text.charCodeAt(1);
  if (!text.startsWith("\x80") || !(protocol >= 2 && protocol <= 5)) return undefined;
  const found = [magic, frame + magic].find((bytes) => text.startsWith(bytes, 2));
  return found === undefined ? undefined : 2 + found.length;
}

/** Reads a legacy file. @throws {VggError} any CHECKPOINT_ code */
export async function readLegacy(file: CheckpointFile, options: ReadOptions): Promise<Contents> {
  const head = await readHead(file);
  const handler = new TorchHandler(file, 6);
  const { storages } = handler;
  let at = legacyStart(head) ?? 0;
  const next = () => {
    const { value, end } = unpickle(file, head, at, handler);
    at = end;
    return value;
  };
  const protocol = next();
  if (protocol !== 1001) {
    throw checkpointError(
      file,
      "CHECKPOINT_FORMAT",
      `Expected protocol version 1001 but received ${describeValue(protocol)}`,
    );
  }
  const system = next();
  if (system instanceof Dict && system.entries.get("little_endian") === false) {
    throw checkpointError(
      file,
      "CHECKPOINT_UNSUPPORTED",
      "Expected a file written on a little-endian machine",
    );
  }
  const root = next();
  const keys = next();
  if (!Array.isArray(keys) || new Set(keys).size !== keys.length || keys.length !== storages.size) {
    throw file.corrupt(`Expected the keys of ${storages.size} storages after the pickles`);
  }

  const offsets = new Map<string, number>();
  for (const key of keys) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined)
      throw file.corrupt(`Expected the key of a storage but received ${describeValue(key)}`);
    const count = new DataView((await file.read(at, 8)).buffer).getBigInt64(0, true);
    if (count !== BigInt(storage.elements)) {
      throw file.corrupt(
        `Expected ${storage.elements} elements for storage ${storage.key} but received ${count}`,
      );
    }
    const end = at + 8 + referencedBytes(storage);
    if (end > file.size)
      throw file.corrupt(
        `Expected storage ${storage.key} to end by byte ${file.size} but it needs ${end}; the file is cut off`,
      );
    offsets.set(storage.key, at + 8);
    at = end;
  }
  if (at !== file.size)
    throw file.corrupt(`Expected the file to end at byte ${at} but it has ${file.size}`);

  return torchContents(file, "pytorch-legacy", root, options, (storage, dtype) => ({
    dtype,
    elements: elementsAs(file, storage, dtype),
    offset: offsets.get(storage.key)!,
    crc: undefined,
    deflatedBytes: undefined,
  }));
}

/** Reads the start of the file up to the maximum size of the pickles, because their length is not stored. */
async function readHead(file: CheckpointFile): Promise<Uint8Array> {
  return file.read(0, Math.min(file.size, maxPickleBytes));
}
