// Reads the directory of a zip file strictly: refuses files that two readers could understand differently.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT

/** A zip file that is read by position, and the errors that it gives. */
export interface ZipSource {
  readonly size: number;
  /** Returns the bytes [offset, offset + length), whose buffer need not begin with them. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Makes the error of a file that is damaged or contradicts itself. */
  corrupt(message: string): Error;
  /** Makes the error of a file that uses what is not read here. */
  unsupported(message: string): Error;
  /** Makes the error of a directory beyond the limits. */
  tooLarge(message: string): Error;
}

/** What the directory says of a source. */
export interface ZipEntry {
  readonly name: string;
  readonly rawName: Uint8Array;
  readonly flags: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc: number;
  /** Bytes in the zip source. */
  readonly storedBytes: number;
  /** Bytes after inflation. Equal to `storedBytes` if the method is 0. */
  readonly bytes: number;
  /** The byte of the entry's own header. */
  readonly localOffset: number;
}

export interface ZipDirectory {
  readonly entries: readonly ZipEntry[];
  /** The byte at which the directory begins. */
  readonly offset: number;
}

const endBytes = 22;
const maxCommentBytes = 65_535;

/** Bytes at the end of a zip file in which the end record lies. */
const zipTailBytes = endBytes + maxCommentBytes;

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

const viewOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Reads the directory. The entries' own headers are not read. @throws the source's errors */
export async function readZipEntries(
  source: ZipSource,
  limits: { readonly entries: number; readonly bytes: number },
): Promise<ZipDirectory> {
  const { count, offset, size } = await findDirectory(source);
  if (count > limits.entries || size > limits.bytes)
    throw source.tooLarge(`Expected at most ${limits.entries} records but received ${count}`);
  const bytes = await source.read(offset, size);
  const view = viewOf(bytes);
  const names = new Set<string>();
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const { next, ...entry } = readCentral(source, view, bytes, at);
    at = next;
    if (names.has(entry.name))
      throw source.corrupt(`Expected one record ${entry.name} but received two`);
    names.add(entry.name);
    entries.push(entry);
  }
  if (at !== size) throw source.corrupt(`Expected a directory of ${at} bytes but received ${size}`);
  return { entries, offset };
}

/** Bytes of an entry's own header, without its extra fields. */
export function localHeaderBytes(entry: ZipEntry): number {
  return 30 + entry.rawName.byteLength;
}

/**
 * Checks that an entry's own header agrees with the directory. Returns the offset of the data after it.
 * @param header the entry's first `localHeaderBytes`
 * @param end the byte before which the data must end
 */
export function checkLocalHeader(
  source: ZipSource,
  entry: ZipEntry,
  header: Uint8Array,
  end: number,
): number {
  const nameBytes = entry.rawName.byteLength;
  const view = viewOf(header);
  if (view.getUint32(0, true) !== signatures.local)
    throw source.corrupt(`Expected the header of ${entry.name} at byte ${entry.localOffset}`);
  // With flag 3 the sizes and checksum may follow the data. Then they are 0 here.
  const isEqual = (offset: number, value: number) =>
    [value, 0, 0xffffffff].includes(view.getUint32(offset, true));
  const isSame =
    view.getUint16(26, true) === nameBytes &&
    Buffer.compare(header.subarray(30, 30 + nameBytes), entry.rawName) === 0 &&
    view.getUint16(6, true) === entry.flags &&
    view.getUint16(8, true) === entry.method &&
    isEqual(14, entry.crc) &&
    isEqual(18, entry.storedBytes) &&
    isEqual(22, entry.bytes);
  if (!isSame)
    throw source.corrupt(`Expected the header of ${entry.name} to agree with the directory`);
  const data = entry.localOffset + 30 + nameBytes + view.getUint16(28, true);
  if (data + entry.storedBytes > end) {
    throw source.corrupt(
      `Expected ${entry.name} before byte ${end} but it reaches ${data + entry.storedBytes}`,
    );
  }
  return data;
}

/** Finds the directory by the end record, or by the zip64 end record if the end record refers to it. */
async function findDirectory(
  source: ZipSource,
): Promise<{ count: number; offset: number; size: number }> {
  const tailBytes = Math.min(source.size, zipTailBytes);
  const tailOffset = source.size - tailBytes;
  const tail = await source.read(tailOffset, tailBytes);
  const view = viewOf(tail);
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
      throw notOneDisk(source);
    if (count !== 0xffff && size !== 0xffffffff && offset !== 0xffffffff)
      return checkDirectory(source, { count, size, offset }, end);
    return checkDirectory(source, await readEnd64(source, end), end);
  }
  throw source.corrupt(
    `Expected a zip file's directory at the end of ${source.size} bytes but found none; it may be cut off`,
  );
}

function notOneDisk(source: ZipSource) {
  return source.unsupported("Expected a zip file on one disk");
}

async function readEnd64(source: ZipSource, end: number) {
  const locator = viewOf(await source.read(end - 20, 20));
  if (locator.getUint32(0, true) !== signatures.locator64)
    throw source.corrupt("Expected a zip64 locator but found none");
  const record = viewOf(await source.read(safe(source, locator.getBigUint64(8, true)), 56));
  if (record.getUint32(0, true) !== signatures.end64)
    throw source.corrupt("Expected a zip64 end record but found none");
  const count = record.getBigUint64(32, true);
  const isOneDisk =
    locator.getUint32(4, true) === 0 &&
    locator.getUint32(16, true) <= 1 &&
    record.getUint32(16, true) === 0 &&
    record.getUint32(20, true) === 0 &&
    record.getBigUint64(24, true) === count;
  if (!isOneDisk) throw notOneDisk(source);
  return {
    count: safe(source, count),
    size: safe(source, record.getBigUint64(40, true)),
    offset: safe(source, record.getBigUint64(48, true)),
  };
}

function checkDirectory<T extends { offset: number; size: number }>(
  source: ZipSource,
  directory: T,
  end: number,
): T {
  if (directory.offset + directory.size > end) {
    throw source.corrupt(
      `Expected the directory before byte ${end} but it reaches ${directory.offset + directory.size}`,
    );
  }
  return directory;
}

/** Converts a 64-bit number that must lie within the source. */
function safe(source: ZipSource, value: bigint): number {
  if (value > BigInt(source.size))
    throw source.corrupt(`Expected a place within ${source.size} bytes but received ${value}`);
  return Number(value);
}

function readCentral(
  source: ZipSource,
  view: DataView,
  bytes: Uint8Array,
  at: number,
): ZipEntry & { next: number } {
  if (at + 46 > bytes.byteLength || view.getUint32(at, true) !== signatures.central) {
    throw source.corrupt(`Expected a directory entry at its byte ${at}`);
  }
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const next = at + 46 + nameBytes + extraBytes + view.getUint16(at + 32, true);
  if (next > bytes.byteLength)
    throw source.corrupt(`Expected a whole directory entry at its byte ${at}`);
  const rawName = bytes.subarray(at + 46, at + 46 + nameBytes);
  let name: string;
  try {
    name = utf8.decode(rawName);
  } catch {
    throw source.corrupt("Expected a record's name in UTF-8");
  }
  if (![0, 0xffff].includes(view.getUint16(at + 34, true))) throw notOneDisk(source);
  if ((flags & encryptedFlag) !== 0)
    throw source.unsupported(`Expected ${name} to be a plain record but it is encrypted`);
  if (method !== 0 && method !== 8) {
    throw source.unsupported(`Expected ${name} stored or deflated but its method is ${method}`);
  }
  const wide = readWideSizes(source, view, at, at + 46 + nameBytes, extraBytes);
  if ((view.getUint8(at + 38) & directoryAttribute) !== 0 && wide.bytes > 0)
    throw source.corrupt(`Expected a file for ${name} but it is a folder with bytes`);
  if (method === 0 && wide.storedBytes !== wide.bytes)
    throw source.corrupt(`Expected one size for ${name} but received two`);
  return { name, rawName, flags, method, crc: view.getUint32(at + 16, true), ...wide, next };
}

/** Reads the sizes and offset of an entry: 32 bits each, or 64 from the zip64 field if the 32 bits are all ones. */
function readWideSizes(
  source: ZipSource,
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
    if (wide < 0 || wide + 8 > limit) throw source.corrupt("Expected a zip64 field but found none");
    wide += 8;
    return safeSize(source, view.getBigUint64(wide - 8, true));
  };
  // Read in the order of the zip64 field.
  const bytes = value(24);
  const storedBytes = value(20);
  const localOffset = value(42);
  return { bytes, storedBytes, localOffset };
}

/** Converts a 64-bit size. An inflated size may exceed the file, but not the safe integers. */
function safeSize(source: ZipSource, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw source.corrupt(`Expected a size below 2^53 but received ${value}`);
  return Number(value);
}
