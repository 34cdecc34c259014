// A wheel that is read by position: over the network by ranges, or from a file.
import { constants, type FileHandle, open } from "node:fs/promises";
import { bare } from "../check.js";
import { type DownloadOptions, parseContentRange, RangeRefused } from "../download/download.js";
import { Interrupted, openClient, type Response, refusal, shown } from "../download/http.js";
import { retrying } from "../download/retry.js";
import { VggError } from "../errors.js";
import { fileError } from "../files/errors.js";
import { readZipEntries, type ZipDirectory, type ZipSource } from "../files/zip-directory.js";
import type { Wheel } from "./types.js";

const limits = { entries: 10_000, bytes: 4 * 2 ** 20 };

/** The error of a wheel that is not what the table says. */
export function otherWheel(name: string, message: string, cause?: unknown): VggError {
  return new VggError("HASH_MISMATCH", `${name}: ${message}`, cause === undefined ? {} : { cause });
}

abstract class Source implements ZipSource {
  readonly size: number;
  /** How messages call the wheel: its address or path. */
  readonly name: string;

  constructor(name: string, size: number) {
    this.name = name;
    this.size = size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = offset + length;
    if (!(offset >= 0 && length >= 0 && length <= limits.bytes && end <= this.size))
      throw this.corrupt(`Expected bytes ${offset} to ${end} but it has ${this.size}`);
    return length === 0 ? new Uint8Array() : this.readWithin(offset, length);
  }

  protected abstract readWithin(offset: number, length: number): Promise<Uint8Array>;

  corrupt(message: string): Error {
    return otherWheel(this.name, `${message}; the file is damaged`);
  }

  unsupported(message: string): Error {
    return otherWheel(this.name, message);
  }

  tooLarge(message: string): Error {
    return otherWheel(this.name, message);
  }
}

/** Reads the response to a request for the bytes [start, end) of `total`. */
async function readRange(
  response: Response,
  url: URL,
  { start, end, total }: { start: number; end: number; total: number },
): Promise<Uint8Array> {
  if (response.status === 200) throw new RangeRefused();
  const range = parseContentRange(response.header("content-range"));
  if ([206, 416].includes(response.status) && (range?.total ?? total) !== total)
    throw otherWheel(shown(url), `Expected ${total} bytes but the server has ${range?.total}`);
  if (response.status !== 206) throw refusal(response, url);
  if (range?.start !== start)
    throw new Interrupted(`Expected the bytes from ${start} on but received others`);
  const bytes = new Uint8Array(end - start);
  let done = 0;
  for (;;) {
    const piece = await response.read();
    if (piece === undefined) break;
    if (done + piece.length > bytes.length)
      throw new Interrupted(`Expected ${bytes.length} bytes but received more`);
    bytes.set(piece, done);
    done += piece.length;
  }
  if (done < bytes.length)
    throw new Interrupted(`the body ended after ${done} of ${bytes.length} bytes`);
  return bytes;
}

/** A wheel on a server. It keeps the bytes of the last request: a directory mostly lies within the last bytes, which are read first. */
export class RemoteWheel extends Source {
  readonly #url: URL;
  readonly #options: DownloadOptions;
  #kept: { start: number; bytes: Uint8Array } | undefined;

  constructor(url: URL, wheel: Wheel, options: DownloadOptions) {
    super(shown(url), wheel.size);
    this.#url = url;
    this.#options = options;
  }

  /** @throws {RangeRefused} the server sends whole files only */
  protected async readWithin(offset: number, length: number): Promise<Uint8Array> {
    const kept = this.#kept;
    const isKept =
      kept !== undefined &&
      offset >= kept.start &&
      offset + length <= kept.start + kept.bytes.length;
    const { start, bytes } = isKept
      ? kept
      : { start: offset, bytes: await this.#fetch(offset, offset + length) };
    this.#kept = { start, bytes };
    return bytes.subarray(offset - start, offset - start + length);
  }

  async #fetch(start: number, end: number): Promise<Uint8Array> {
    const url = this.#url;
    const { timeoutMs, signal, connection } = this.#options;
    const client = await openClient(timeoutMs, signal, connection);
    try {
      return await retrying(
        url,
        this.#options,
        () => 0,
        async () => {
          const headers = bare({
            "accept-encoding": "identity",
            "user-agent": "vgg-cudnn",
            range: `bytes=${start}-${end - 1}`,
          });
          const response = await client.get(url, headers);
          try {
            return await readRange(response, url, { start, end, total: this.size });
          } finally {
            response.discard();
          }
        },
      );
    } finally {
      await client.close();
    }
  }
}

/** A file that is read by position. Its size need not be the one of the wheel: it may hold a part of one. */
export class OpenFile {
  readonly path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** @throws {VggError} FOLDER_UNUSABLE */
  static async open(path: string): Promise<OpenFile> {
    // Without O_NONBLOCK, opening a FIFO waits for its writer.
    const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
    try {
      return new OpenFile(path, await open(path, flags));
    } catch (error) {
      throw fileError(error, path);
    }
  }

  /** Reads at most `length` bytes; fewer at the end of the file. @throws {VggError} FOLDER_UNUSABLE */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#handle
        .read(bytes, done, length - done, offset + done)
        .catch((error) => {
          throw fileError(error, this.path);
        });
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => {}); // what was read stays valid
  }
}

/** A wheel in a file. */
export class LocalWheel extends Source {
  readonly #file: OpenFile;

  constructor(file: OpenFile, wheel: Wheel) {
    super(file.path, wheel.size);
    this.#file = file;
  }

  protected async readWithin(offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#file.read(offset, length);
    if (bytes.length < length) throw this.corrupt(`Expected ${this.size} bytes but it has fewer`);
    return bytes;
  }
}

/** Reads a wheel's directory, within limits that NVIDIA's wheels are far from. */
export function readWheelDirectory(source: ZipSource): Promise<ZipDirectory> {
  return readZipEntries(source, limits);
}
