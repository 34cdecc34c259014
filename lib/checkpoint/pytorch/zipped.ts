// PyTorch's zip format (since 1.6): a record NAME/data.pkl, and a record NAME/data/KEY for each storage.

import { crc32 } from "node:zlib";
import { describe } from "../../check.js";
import { describeZip } from "../../files/kind.js";
import { type Contents, inflateExactly, type ReadOptions } from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import { TorchHandler } from "./handler.js";
import { maxPickleBytes, unpickle } from "./pickle.js";
import { elementsAs, referencedBytes } from "./references.js";
import { torchContents } from "./state.js";
import { readZipDirectory, type ZipRecord } from "./zip.js";

/**
 * Returns the folder, with its slash, in which all records lie.
 * @throws {VggError} CHECKPOINT_FORMAT with what the archive is, CHECKPOINT_CORRUPT
 */
function folderOf(file: CheckpointFile, records: ReadonlyMap<string, ZipRecord>): string {
  const names = [...records.keys()];
  const format = (message: string) => checkpointError(file, "CHECKPOINT_FORMAT", message);
  const pickles = names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (!names.some((name) => /(^|\/)data\.pkl$/.test(name)))
    throw format(
      `Expected a PyTorch (.pth) or safetensors file but ${describeZip(names, "weights")}`,
    );
  if (pickles.length !== 1)
    throw format(
      `Expected one record NAME/data.pkl but found ${pickles.length}; was the file unpacked and packed again?`,
    );
  const folder = pickles[0]!.slice(0, -"data.pkl".length);
  if (records.has(`${folder}constants.pkl`))
    throw format(`Expected a state dict but ${describeZip(names, "weights")}`);
  const stray = names.find((name) => !name.startsWith(folder));
  if (stray !== undefined)
    throw file.corrupt(`Expected all records under ${folder} but found ${stray}`);
  return folder;
}

/** Reads a zip file. @throws {VggError} any CHECKPOINT_ code */
export async function readZipped(file: CheckpointFile, options: ReadOptions): Promise<Contents> {
  const records = await readZipDirectory(file);
  const folder = folderOf(file, records);
  // PyTorch writes version 3 and reads versions 1 to 10.
  const version = records.get(`${folder}version`);
  if (version === undefined)
    throw file.corrupt(`Expected a record ${folder}version but found none`);
  const number = new TextDecoder().decode(await small(file, version, 16));
  if (!/^([1-9]|10)\s*$/.test(number)) {
    throw checkpointError(
      file,
      "CHECKPOINT_UNSUPPORTED",
      `Expected version 1 to 10 of the format but received ${describe(number)}`,
    );
  }
  const order = records.get(`${folder}byteorder`);
  if (order !== undefined) {
    const text = new TextDecoder().decode(await small(file, order, 16));
    if (text !== "little")
      throw checkpointError(
        file,
        "CHECKPOINT_UNSUPPORTED",
        `Expected byteorder little but received ${text}`,
      );
  }

  const pickle = await small(
    file,
    records.get(`${folder}data.pkl`)!,
    Math.min(maxPickleBytes, 4 * file.size + 2 ** 20),
  );
  const { value, end } = unpickle(file, pickle, 0, new TorchHandler(file, 5));
  if (end !== pickle.byteLength)
    throw file.corrupt(`Expected the pickle to end at its byte ${end}`);

  return torchContents(file, "pytorch", value, options, (storage, dtype) => {
    const { key } = storage;
    const record = records.get(`${folder}data/${key}`);
    if (record === undefined)
      throw file.corrupt(`Expected a record ${folder}data/${key} but found none`);
    const bytes = referencedBytes(storage);
    if (record.bytes !== bytes)
      throw file.corrupt(
        `Expected ${bytes} bytes for storage ${key} but its record has ${record.bytes}`,
      );
    return {
      dtype,
      elements: elementsAs(file, storage, dtype),
      offset: record.offset,
      crc: record.crc,
      deflatedBytes: record.isDeflated ? record.storedBytes : undefined,
    };
  });
}

/** Reads a whole record that is not a storage. Verifies its checksum, so that damaged data is never parsed. */
async function small(
  file: CheckpointFile,
  record: ZipRecord,
  maxBytes: number,
): Promise<Uint8Array> {
  if (record.bytes > maxBytes) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${maxBytes} bytes for ${record.name} but received ${record.bytes}`,
    );
  }
  const stored = await file.read(record.offset, record.storedBytes);
  const bytes = record.isDeflated ? await inflateExactly(file, stored, record.bytes) : stored;
  if (crc32(bytes) !== record.crc)
    throw file.corrupt(`Expected the CRC-32 of ${record.name} to match its bytes`);
  return bytes;
}
