// Unpacks one member of a wheel into its file: a stream, whose size, checksum and hash are checked before it gets its name.
import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { constants, crc32, createInflateRaw } from "node:zlib";
import { bare } from "../check.js";
import { replaceFile } from "../files/replace.js";
import {
  checkLocalHeader,
  localHeaderBytes,
  type ZipDirectory,
  type ZipEntry,
  type ZipSource,
} from "../files/zip-directory.js";
import type { WheelMember } from "./types.js";
import { type OpenFile, otherWheel } from "./wheel-source.js";

const pieceBytes = 2 ** 20;

/** A member, and where it lies in its wheel. */
export interface Located {
  readonly member: WheelMember;
  readonly entry: ZipEntry;
  /** The byte before which its data must end: the next entry's header, or the directory. */
  readonly end: number;
  /** The bytes that hold its header and data. The header's extra fields are unknown until it is read. */
  readonly spanBytes: number;
}

const longestExtraBytes = 65_535;

/** Finds members in a wheel's directory, and checks what it says of them. @throws the source's errors */
export function locate(
  source: ZipSource,
  directory: ZipDirectory,
  members: readonly WheelMember[],
): Located[] {
  const starts = directory.entries.map(({ localOffset }) => localOffset);
  const bounds = [...starts, directory.offset].sort((a, b) => a - b);
  return members.map((member) => {
    const entry = directory.entries.find(({ name }) => name === member.path);
    if (entry === undefined) throw source.corrupt(`Expected ${member.path} in it but found none`);
    const { localOffset, storedBytes, bytes } = entry;
    if (bytes !== member.size)
      throw source.corrupt(`Expected ${member.size} bytes for ${member.path} but found ${bytes}`);
    if (starts.indexOf(localOffset) !== starts.lastIndexOf(localOffset))
      throw source.corrupt(`Expected ${member.path} apart from other files but they overlap`);
    const end = bounds.find((bound) => bound > localOffset) ?? localOffset;
    const shortest = localHeaderBytes(entry) + storedBytes;
    if (localOffset + shortest > end)
      throw source.corrupt(`Expected ${member.path} before byte ${end} but it reaches further`);
    const spanBytes = Math.min(end - localOffset, shortest + longestExtraBytes);
    return { member, entry, end, spanBytes };
  });
}

/** Reads the bytes [start, end) of a file, in pieces. */
async function* pieces(file: OpenFile, start: number, end: number, signal: AbortSignal) {
  for (let at = start; at < end; ) {
    signal.throwIfAborted();
    const piece = await file.read(at, Math.min(pieceBytes, end - at));
    if (piece.length === 0) return;
    at += piece.length;
    yield piece;
  }
}

const zlibCodes = ["Z_DATA_ERROR", "Z_BUF_ERROR", "Z_NEED_DICT"];

/**
 * Writes a member to `target`, whole or not at all.
 * @param file holds the wheel from byte `base` on
 * @throws {VggError} HASH_MISMATCH: it is not what the directory or the table says; DISK_FULL, FOLDER_UNUSABLE
 * @throws the signal's reason
 */
export async function unpack(
  source: ZipSource & { readonly name: string },
  { member, entry, end }: Located,
  { file, base }: { file: OpenFile; base: number },
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const wrong = (message: string, cause?: unknown) =>
    otherWheel(source.name, `${message} for ${member.path}; nothing of it was kept`, cause);
  const header = await file.read(entry.localOffset - base, localHeaderBytes(entry));
  if (header.length < localHeaderBytes(entry))
    throw wrong("Expected a header but found only its beginning");
  const data = checkLocalHeader(source, entry, header, end) - base;
  const hash = createHash("sha256");
  let bytes = 0;
  let crc = 0;
  let taken = entry.storedBytes;
  await replaceFile(target, async (output) => {
    const write = async (content: AsyncIterable<Uint8Array>) => {
      for await (const piece of content) {
        signal.throwIfAborted();
        bytes += piece.length;
        if (bytes > member.size) throw wrong(`Expected ${member.size} bytes but received more`);
        crc = crc32(piece, crc);
        hash.update(piece);
        await output.write(piece);
      }
    };
    const stored = pieces(file, data, data + entry.storedBytes, signal);
    if (entry.method === 0) await write(stored);
    else {
      const inflate = createInflateRaw(
        bare({ chunkSize: pieceBytes, finishFlush: constants.Z_FINISH }),
      );
      await pipeline(stored, inflate, write).catch((error) => {
        signal.throwIfAborted();
        if (!zlibCodes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
        throw wrong(`Expected deflated data but received other (${error.message})`, error);
      });
      taken = inflate.bytesWritten;
    }
    if (taken !== entry.storedBytes)
      throw wrong(`Expected ${entry.storedBytes} deflated bytes but received ${taken}`);
    if (bytes !== member.size) throw wrong(`Expected ${member.size} bytes but received ${bytes}`);
    if (crc !== entry.crc) throw wrong(`Expected the CRC-32 ${entry.crc} but received ${crc}`);
    const sha256 = hash.digest("hex");
    if (sha256 !== member.sha256)
      throw wrong(`Expected the SHA-256 ${member.sha256} but received ${sha256}`);
  });
}
