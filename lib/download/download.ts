// Downloads that resume: the bytes go to a partial file, and the server's validator for them to a file beside it.
import { constants } from "node:fs";
import { type FileHandle, open, rm, stat, writeFile } from "node:fs/promises";
import { bare, optionOf } from "../check.js";
import { VggError } from "../errors.js";
import { withFile } from "../files/errors.js";
import { despiteUse } from "../files/in-use.js";
import { readWhole } from "../files/read-whole.js";
import { writeAll } from "../files/replace.js";
import {
  type Client,
  type Connection,
  Interrupted,
  openClient,
  type Response,
  refusal,
  shown,
} from "./http.js";
import { type RetryOptions, retrying } from "./retry.js";

/** How far a download is. */
export interface Progress {
  /** Bytes of the whole file, including the bytes from earlier calls. */
  readonly receivedBytes: number;
  /** Undefined if the server does not say. */
  readonly totalBytes: number | undefined;
  /** Another process downloads the file, and this one waits for it. */
  readonly isWaiting?: boolean;
  /** `Vgg.load` reads the file, and counts the bytes of its parameters. */
  readonly isReading?: boolean;
}

export interface DownloadOptions extends RetryOptions {
  readonly timeoutMs: number;
  readonly onProgress: (progress: Progress) => void;
  readonly connection?: Connection | undefined;
}

/** What is downloaded of a file, and how much of it there may be. */
export interface Extent {
  readonly expectedBytes: number | undefined;
  readonly maxBytes: number;
  /** Downloads `expectedBytes` from this byte on, of a file of `totalBytes`. Absent: the whole file. */
  readonly span?: { readonly start: number; readonly totalBytes: number } | undefined;
}

/** The server sends whole files only. */
export class RangeRefused extends Error {}

const utf8 = bare({ encoding: "utf8" } as const);
/** Returns the path of the file that keeps the ETag or Last-Modified of the bytes so far. */
function notePath(part: string): string {
  return `${part}.json`;
}

/** Removes a partial file and its validator. @throws {VggError} FOLDER_UNUSABLE */
export async function discardPart(part: string): Promise<void> {
  await withFile(part, () =>
    Promise.all(
      [part, notePath(part)].map((path) => despiteUse(() => rm(path, bare({ force: true })))),
    ),
  );
}

/** Removes a partial file if it is empty. */
export async function discardEmptyPart(part: string): Promise<void> {
  const status = await stat(part).catch(() => undefined);
  if (status?.size === 0) await discardPart(part).catch(() => {});
}

/** The partial file of one download while it is written. */
class Part {
  readonly path: string;
  readonly #file: FileHandle;
  size: number;
  /** The number of responses that the bytes come from. Unknown for bytes of an earlier call, which count as two. */
  responses: number;

  private constructor(path: string, file: FileHandle, size: number) {
    this.path = path;
    this.#file = file;
    this.size = size;
    this.responses = size > 0 ? 2 : 0;
  }

  static async open(path: string): Promise<Part> {
    return withFile(path, async () => {
      const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
      try {
        return new Part(path, file, (await file.stat()).size);
      } catch (error) {
        await file.close().catch(() => {});
        throw error;
      }
    });
  }

  #try(step: () => Promise<void>): Promise<void> {
    const kept = "what came is kept, and the next call goes on from there";
    return withFile(this.path, step, kept);
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#try(() => writeAll(this.#file, bytes, this.size));
    this.size += bytes.length;
  }

  clear(): Promise<void> {
    this.size = 0;
    this.responses = 0;
    return this.#try(() => this.#file.truncate());
  }

  sync(): Promise<void> {
    return this.#try(() => this.#file.sync());
  }

  close(): Promise<void> {
    return this.#try(() => this.#file.close());
  }

  /** Returns the ETag or Last-Modified of these bytes, if they came from this address. */
  async validator(url: URL): Promise<string | undefined> {
    try {
      const note = JSON.parse(await readWhole(notePath(this.path)));
      return note.url === shown(url) && typeof note.validator === "string"
        ? note.validator
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** Saves the ETag or Last-Modified of a response. */
  note(url: URL, response: Response): Promise<void> {
    this.responses++;
    const etag = response.header("etag");
    // A weak ETag must not be used in If-Range (RFC 9110, 13.1.5).
    const validator = etag?.startsWith('"') ? etag : response.header("last-modified");
    const text = JSON.stringify({ url: shown(url), validator });
    return this.#try(() => writeFile(notePath(this.path), text, utf8));
  }
}

/** Parses "bytes 100-199/200", or a 416's range without a start. Undefined for anything else. */
export function parseContentRange(
  value = "",
): { start: number | undefined; total: number | undefined } | undefined {
  const match = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(value.trim());
  if (match === null) return undefined;
  const number = (text: string | undefined) =>
    /^\d+$/.test(text ?? "") ? Number(text) : undefined;
  return { start: number(match[1]), total: number(match[2]) };
}

/**
 * Checks that a response continues the partial file, and clears the file if the response starts at byte 0 or does not fit.
 * Returns the size of the whole file, or "complete" if no byte is missing.
 */
async function accept(
  response: Response,
  part: Part,
  url: URL,
  extent: Extent,
): Promise<{ totalBytes: number | undefined } | "complete"> {
  const { expectedBytes } = extent;
  const span = optionOf(extent, "span");
  const { status } = response;
  if (status === 200 && span !== undefined) {
    if (part.size === 0) throw new RangeRefused();
    // With If-Range, the whole file also means that its bytes are others now.
    await part.clear();
    throw new Interrupted("the server answered with the whole file");
  }
  if (status === 200) {
    if (part.size > 0) await part.clear();
    const length = response.header("content-length");
    return { totalBytes: length === undefined ? undefined : Number(length) };
  }
  const range = parseContentRange(response.header("content-range"));
  if (status === 206) {
    const start = part.size + (span?.start ?? 0);
    const total = span?.totalBytes ?? expectedBytes;
    const isOther =
      range === undefined ||
      range.start !== start ||
      (total !== undefined && range.total !== undefined && range.total !== total);
    if (!isOther) return { totalBytes: span === undefined ? range.total : expectedBytes };
    const received = response.header("content-range") ?? "no range";
    const problem = `Expected the bytes from ${start} on but received ${received}`;
    await part.clear();
    throw new Interrupted(problem);
  }
  if (status === 416 && part.size > 0) {
    if (range?.total === part.size && span === undefined) return "complete";
    await part.clear();
    throw new Interrupted("the server knows no such range");
  }
  throw refusal(response, url);
}

/** Sends one request and appends its body to the partial file. */
async function attempt(
  client: Client,
  part: Part,
  url: URL,
  extent: Extent,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const { expectedBytes, maxBytes } = extent;
  const span = optionOf(extent, "span");
  const headers: Record<string, string> = Object.create(null);
  headers["accept-encoding"] = "identity";
  headers["user-agent"] = "vgg-cudnn";
  const start = part.size + (span?.start ?? 0);
  if (span !== undefined) headers.range = `bytes=${start}-${span.start + expectedBytes! - 1}`;
  else if (part.size > 0) headers.range = `bytes=${start}-`;
  if (part.size > 0) {
    // Without If-Range the bytes may be of another file; the hash detects that.
    const validator = await part.validator(url);
    if (validator !== undefined) headers["if-range"] = validator;
  }
  const response = await client.get(url, headers);
  try {
    const accepted = await accept(response, part, url, extent);
    if (accepted === "complete") return;
    const totalBytes = accepted.totalBytes ?? expectedBytes;
    await part.note(url, response);
    onProgress({ receivedBytes: part.size, totalBytes });
    for (;;) {
      const bytes = await response.read();
      if (bytes === undefined) break;
      if (part.size + bytes.length > maxBytes) {
        await discardPart(part.path);
        throw new VggError(
          "HASH_MISMATCH",
          `Expected at most ${maxBytes} bytes from ${shown(url)} but received more; nothing was kept`,
        );
      }
      await part.append(bytes);
      onProgress({ receivedBytes: part.size, totalBytes });
    }
    if (totalBytes !== undefined && part.size < totalBytes)
      throw new Interrupted(`the body ended after ${part.size} of ${totalBytes} bytes`);
  } finally {
    response.discard();
  }
}

/**
 * Completes a partial file from its current size on. Does not check the content.
 * @returns whether all bytes came from one response; if not, they may be of different files
 * @throws {VggError} DOWNLOAD_FAILED, DISK_FULL, FOLDER_UNUSABLE; HASH_MISMATCH: more than `maxBytes` arrived
 * @throws {RangeRefused} the extent is a span, and the server sends whole files only
 * @throws the signal's reason
 */
export async function download(
  url: URL,
  partPath: string,
  extent: Extent,
  options: DownloadOptions,
): Promise<{ isOfOneResponse: boolean }> {
  const { signal, timeoutMs, onProgress } = options;
  const span = optionOf(extent, "span");
  const part = await Part.open(partPath);
  let client: Client | undefined;
  try {
    await retrying(
      url,
      options,
      () => part.size,
      async () => {
        if (part.size > 0 && part.size === extent.expectedBytes) return;
        const isTooLong = span !== undefined && part.size > extent.expectedBytes!;
        if (isTooLong) await part.clear();
        client ??= await openClient(timeoutMs, signal, optionOf(options, "connection"));
        await attempt(client, part, url, extent, onProgress);
      },
    );
    await part.sync();
  } catch (error) {
    await part.close().catch(() => {});
    throw error;
  } finally {
    await client?.close();
  }
  await part.close();
  return { isOfOneResponse: part.responses <= 1 };
}
