// Reads the directory of a zip file strictly: refuses files that two readers could understand differently.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
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

const endBytes = 22;
const maxCommentBytes = 65_535;
const maxRecords = 100_000;
const maxDirectoryBytes = 32 * 2 ** 20;

const signatures = {
  local: 0x04034b50,
  central: 0x02014b50,
  end: 0x06054b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
};
const encryptedFlag = 1;
const directoryAttribute = 0x10; // an MS-DOS attribute that other readers respect
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads all records by name.
 * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_UNSUPPORTED (encrypted, other methods), CHECKPOINT_LIMIT
 */
export async function readZipDirectory(file: CheckpointFile): Promise<Map<string, ZipRecord>> {
  const { count, offset, size } = await findDirectory(file);
  if (count > maxRecords || size > maxDirectoryBytes) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${maxRecords} records but received ${count}`,
    );
  }
  const bytes = await file.read(offset, size);
  const view = new DataView(bytes.buffer);
  const records = new Map<string, ZipRecord>();
  const spans: { name: string; start: number; end: number }[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const entry = readCentral(file, view, bytes, at);
    at = entry.next;
    if (records.has(entry.name))
      throw file.corrupt(`Expected one record ${entry.name} but received two`);
    const data = await checkLocal(file, entry, offset);
    records.set(entry.name, {
      name: entry.name,
      offset: data,
      storedBytes: entry.storedBytes,
      bytes: entry.bytes,
      isDeflated: entry.method === 8,
      crc: entry.crc,
    });
    spans.push({ name: entry.name, start: entry.localOffset, end: data + entry.storedBytes });
  }
  if (at !== size) throw file.corrupt(`Expected a directory of ${at} bytes but received ${size}`);
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

/** Finds the directory by the end record, or by the zip64 end record if the end record refers to it. */
async function findDirectory(
  file: CheckpointFile,
): Promise<{ count: number; offset: number; size: number }> {
  const tailBytes = Math.min(file.size, endBytes + maxCommentBytes);
  const tailOffset = file.size - tailBytes;
  const tail = await file.read(tailOffset, tailBytes);
  const view = new DataView(tail.buffer);
  for (let at = tailBytes - endBytes; at >= 0; at--) {
    if (view.getUint32(at, true) !== signatures.end) continue;
    // The comment must reach to the end of the file, because nothing may follow a zip file here.
    if (at + endBytes + view.getUint16(at + 20, true) !== tailBytes) continue;
    const count = view.getUint16(at + 10, true);
    const size = view.getUint32(at + 12, true);
    const offset = view.getUint32(at + 16, true);
    const end = tailOffset + at;
    // The fields are the number of this disk, the number of the directory's disk, and the count of records on this
    // disk. A field is all ones if the zip64 record has the value.
    const isNarrow = (offset: number, value: number) =>
      [value, 0xffff].includes(view.getUint16(at + offset, true));
    if (![isNarrow(4, 0), isNarrow(6, 0), isNarrow(8, count)].every(Boolean))
      throw notOneDisk(file);
    if (count !== 0xffff && size !== 0xffffffff && offset !== 0xffffffff)
      return checkDirectory(file, { count, size, offset }, end);
    return checkDirectory(file, await readEnd64(file, end), end);
  }
  throw file.corrupt(
    `Expected a zip file's directory at the end of ${file.size} bytes but found none; it may be cut off`,
  );
}

function notOneDisk(file: CheckpointFile) {
  return checkpointError(file, "CHECKPOINT_UNSUPPORTED", "Expected a zip file on one disk");
}

async function readEnd64(file: CheckpointFile, end: number) {
  const locator = new DataView((await file.read(end - 20, 20)).buffer);
  if (locator.getUint32(0, true) !== signatures.locator64)
    throw file.corrupt("Expected a zip64 locator but found none");
  const record = new DataView(
    (await file.read(safe(file, locator.getBigUint64(8, true)), 56)).buffer,
  );
  if (record.getUint32(0, true) !== signatures.end64)
    throw file.corrupt("Expected a zip64 end record but found none");
  const count = record.getBigUint64(32, true);
  const isOneDisk =
    locator.getUint32(4, true) === 0 &&
    locator.getUint32(16, true) <= 1 &&
    record.getUint32(16, true) === 0 &&
    record.getUint32(20, true) === 0 &&
    record.getBigUint64(24, true) === count;
  if (!isOneDisk) throw notOneDisk(file);
  return {
    count: safe(file, count),
    size: safe(file, record.getBigUint64(40, true)),
    offset: safe(file, record.getBigUint64(48, true)),
  };
}

function checkDirectory<T extends { offset: number; size: number }>(
  file: CheckpointFile,
  directory: T,
  end: number,
): T {
  if (directory.offset + directory.size > end) {
    throw file.corrupt(
      `Expected the directory before byte ${end} but it reaches ${directory.offset + directory.size}`,
    );
  }
  return directory;
}

/** Converts a 64-bit number that must lie within the file. */
function safe(file: CheckpointFile, value: bigint): number {
  if (value > BigInt(file.size))
    throw file.corrupt(`Expected a place within ${file.size} bytes but received ${value}`);
  return Number(value);
}

interface CentralEntry {
  name: string;
  rawName: Uint8Array;
  flags: number;
  method: number;
  crc: number;
  storedBytes: number;
  bytes: number;
  localOffset: number;
  next: number;
}

function readCentral(
  file: CheckpointFile,
  view: DataView,
  bytes: Uint8Array,
  at: number,
): CentralEntry {
  if (at + 46 > bytes.byteLength || view.getUint32(at, true) !== signatures.central) {
    throw file.corrupt(`Expected a directory entry at its byte ${at}`);
  }
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const next = at + 46 + nameBytes + extraBytes + view.getUint16(at + 32, true);
  if (next > bytes.byteLength)
    throw file.corrupt(`Expected a whole directory entry at its byte ${at}`);
  const rawName = bytes.subarray(at + 46, at + 46 + nameBytes);
  let name: string;
  try {
    name = utf8.decode(rawName);
  } catch {
    throw file.corrupt("Expected a record's name in UTF-8");
  }
  if (![0, 0xffff].includes(view.getUint16(at + 34, true))) throw notOneDisk(file);
  if ((flags & encryptedFlag) !== 0)
    throw checkpointError(
      file,
      "CHECKPOINT_UNSUPPORTED",
      `Expected ${name} to be a plain record but it is encrypted`,
    );
  if (method !== 0 && method !== 8) {
    throw checkpointError(
      file,
      "CHECKPOINT_UNSUPPORTED",
      `Expected ${name} stored or deflated but its method is ${method}`,
    );
  }
  const wide = readWideSizes(file, view, at, at + 46 + nameBytes, extraBytes);
  if ((view.getUint8(at + 38) & directoryAttribute) !== 0 && wide.bytes > 0)
    throw file.corrupt(`Expected a file for ${name} but it is a folder with bytes`);
  if (method === 0 && wide.storedBytes !== wide.bytes)
    throw file.corrupt(`Expected one size for ${name} but received two`);
  return { name, rawName, flags, method, crc: view.getUint32(at + 16, true), ...wide, next };
}

/** Reads the sizes and offset of an entry: 32 bits each, or 64 from the zip64 field if the 32 bits are all ones. */
function readWideSizes(
  file: CheckpointFile,
  view: DataView,
  at: number,
  extra: number,
  extraBytes: number,
) {
  let wide = -1;
  for (
    let field = extra;
    field + 4 <= extra + extraBytes;
    field += 4 + view.getUint16(field + 2, true)
  ) {
    if (view.getUint16(field, true) === 1) {
      wide = field + 4;
      break;
    }
  }
  const limit = extra + extraBytes;
  const value = (offset: number) => {
    const narrow = view.getUint32(at + offset, true);
    if (narrow !== 0xffffffff) return narrow;
    if (wide < 0 || wide + 8 > limit) throw file.corrupt("Expected a zip64 field but found none");
    wide += 8;
    return safeSize(file, view.getBigUint64(wide - 8, true));
  };
  // Read in the order of the zip64 field.
  const bytes = value(24);
  const storedBytes = value(20);
  const localOffset = value(42);
  return { bytes, storedBytes, localOffset };
}

/** Converts a 64-bit size. An inflated size may exceed the file, but not the safe integers. */
function safeSize(file: CheckpointFile, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw file.corrupt(`Expected a size below 2^53 but received ${value}`);
  return Number(value);
}

/** Checks that a record's own header agrees with the directory. Returns the offset of the data after it. */
async function checkLocal(
  file: CheckpointFile,
  entry: CentralEntry,
  directoryOffset: number,
): Promise<number> {
  const nameBytes = entry.rawName.byteLength;
  const header = await file.read(entry.localOffset, 30 + nameBytes);
  const view = new DataView(header.buffer);
  if (view.getUint32(0, true) !== signatures.local)
    throw file.corrupt(`Expected the header of ${entry.name} at byte ${entry.localOffset}`);
  // With flag 3 the sizes and checksum may follow the data. Then they are 0 here.
  const isEqual = (offset: number, value: number) =>
    [value, 0, 0xffffffff].includes(view.getUint32(offset, true));
  const isSame =
    view.getUint16(26, true) === nameBytes &&
    Buffer.compare(header.subarray(30), entry.rawName) === 0 &&
    view.getUint16(6, true) === entry.flags &&
    view.getUint16(8, true) === entry.method &&
    isEqual(14, entry.crc) &&
    isEqual(18, entry.storedBytes) &&
    isEqual(22, entry.bytes);
  if (!isSame)
    throw file.corrupt(`Expected the header of ${entry.name} to agree with the directory`);
  const data = entry.localOffset + 30 + nameBytes + view.getUint16(28, true);
  if (data + entry.storedBytes > directoryOffset) {
    throw file.corrupt(
      `Expected ${entry.name} before byte ${directoryOffset} but it reaches ${data + entry.storedBytes}`,
    );
  }
  return data;
}
