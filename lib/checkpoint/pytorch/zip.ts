// Reads the directory of a checkpoint that is a zip file, with each record's own header.
import {
  checkLocalHeader,
  localHeaderBytes,
  readZipEntries,
  type ZipSource,
} from "../../files/zip-directory.js";
import { type CheckpointFile, checkpointError } from "../file.js";

export interface ZipRecord {
  readonly name: string;
  /** Byte offset of the record's data in the file. */
  readonly offset: number;
  /** Bytes in the file. */
  readonly storedBytes: number;
  /** Bytes after inflation. Equal to `storedBytes` if the record is not deflated. */
  readonly bytes: number;
  readonly isDeflated: boolean;
  readonly crc: number;
}

const limits = { entries: 100_000, bytes: 32 * 2 ** 20 };

/**
 * Reads all records by name.
 * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_UNSUPPORTED (encrypted, other methods), CHECKPOINT_LIMIT
 */
export async function readZipDirectory(file: CheckpointFile): Promise<Map<string, ZipRecord>> {
  const source: ZipSource = {
    size: file.size,
    read: (offset, length) => file.read(offset, length),
    corrupt: (message) => file.corrupt(message),
    unsupported: (message) => checkpointError(file, "CHECKPOINT_UNSUPPORTED", message),
    tooLarge: (message) => checkpointError(file, "CHECKPOINT_LIMIT", message),
  };
  const directory = await readZipEntries(source, limits);
  const records = new Map<string, ZipRecord>();
  const spans: { name: string; start: number; end: number }[] = [];
  for (const entry of directory.entries) {
    const { name, storedBytes, bytes, method, crc, localOffset } = entry;
    const header = await file.read(localOffset, localHeaderBytes(entry));
    const offset = checkLocalHeader(source, entry, header, directory.offset);
    records.set(name, { name, offset, storedBytes, bytes, isDeflated: method === 8, crc });
    spans.push({ name, start: localOffset, end: offset + storedBytes });
  }
  spans.sort((a, b) => a.start - b.start);
  for (const [i, span] of spans.entries()) {
    const next = spans[i + 1];
    if (next !== undefined && span.end > next.start) {
      throw file.corrupt(
        `Expected records that do not overlap but ${span.name} and ${next.name} overlap`,
      );
    }
  }
  return records;
}
