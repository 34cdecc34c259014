// A download that goes on where it stopped: its bytes gather in a partial file, beside which the server's name for them is kept.
import { constants } from "node:fs";
import { type FileHandle, open, rm, stat, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { bare } from "../check.js";
import { VggError } from "../errors.js";
import { withFile } from "../files/errors.js";
import { readWhole } from "../files/read-whole.js";
import { writeAll } from "../files/replace.js";
import { type Client, Interrupted, openClient, type Response, shown } from "./http.js";

export interface Progress {
  /** Of the whole file, those of an earlier call included. */
  readonly receivedBytes: number;
  /** Undefined where the server does not say. */
  readonly totalBytes: number | undefined;
  /** Another process downloads the file, and this one waits for it. */
  readonly isWaiting?: boolean;
}

export interface DownloadOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** How many tries in a row may bring no new byte, besides the first. */
  readonly retries: number;
  /** Before the first retry; each next waits twice as long. */
  readonly retryDelayMs: number;
  readonly onProgress: (progress: Progress) => void;
}

const utf8 = bare({ encoding: "utf8" } as const);
const longestDelayMs = 30_000;
const longestRetryAfterMs = 300_000;

/**
 * How long to wait before the next try, in ms.
 * @param failures tries in a row without a new byte
 * @param retryAfter the header: seconds, or a date
 */
export function retryDelayMs(
  failures: number,
  baseMs: number,
  retryAfter?: string,
  now = Date.now(),
): number {
  const backOffMs = Math.min(baseMs * 2 ** Math.max(0, failures - 1), longestDelayMs);
  if (retryAfter === undefined) return backOffMs;
  const wishMs = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - now;
  return Number.isNaN(wishMs) ? backOffMs : Math.max(wishMs, backOffMs);
}

/** Where the file named by ETag or Last-Modified of the bytes so far is kept. */
function notePath(part: string): string {
  return `${part}.json`;
}

/** Removes a partial file and what is kept beside it. @throws {VggError} FOLDER_UNUSABLE */
export async function discardPart(part: string): Promise<void> {
  await withFile(part, () =>
    Promise.all([part, notePath(part)].map((path) => rm(path, bare({ force: true })))),
  );
}

/** Removes a partial file to which no byte came. */
export async function discardEmptyPart(part: string): Promise<void> {
  const status = await stat(part).catch(() => undefined);
  if (status?.size === 0) await discardPart(part).catch(() => {});
}

/** The partial file of one download while it is written. */
class Part {
  readonly path: string;
  readonly #file: FileHandle;
  size: number;
  /** How many responses the bytes come from; two for what an earlier call left, of which nothing is known. */
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

  /** The ETag or Last-Modified of these bytes, if they came from this address. */
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

  /** Keeps what a response calls these bytes. */
  note(url: URL, response: Response): Promise<void> {
    this.responses++;
    const etag = response.header("etag");
    // A weak ETag may not stand in If-Range (RFC 9110, 13.1.5).
    const validator = etag?.startsWith('"') ? etag : response.header("last-modified");
    const text = JSON.stringify({ url: shown(url), validator });
    return this.#try(() => writeFile(notePath(this.path), text, utf8));
  }
}

// "bytes 100-199/200", or "bytes */200" with a 416; undefined where it is something else.
function parseContentRange(
  value = "",
): { start: number | undefined; total: number | undefined } | undefined {
  const match = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(value.trim());
  if (match === null) return undefined;
  const number = (text: string | undefined) =>
    /^\d+$/.test(text ?? "") ? Number(text) : undefined;
  return { start: number(match[1]), total: number(match[2]) };
}

/** What a response brings from which byte on, after the partial file was made fit for it. "complete": nothing is missing. */
async function accept(
  response: Response,
  part: Part,
  url: URL,
  expectedBytes: number | undefined,
): Promise<{ totalBytes: number | undefined } | "complete"> {
  const { status } = response;
  if (status === 200) {
    if (part.size > 0) await part.clear();
    const length = response.header("content-length");
    return { totalBytes: length === undefined ? undefined : Number(length) };
  }
  const range = parseContentRange(response.header("content-range"));
  if (status === 206) {
    const isOther =
      range === undefined ||
      range.start !== part.size ||
      (expectedBytes !== undefined && range.total !== undefined && range.total !== expectedBytes);
    if (!isOther) return { totalBytes: range.total };
    const received = response.header("content-range") ?? "no range";
    const problem = `Expected the bytes from ${part.size} on but received ${received}`;
    await part.clear();
    throw new Interrupted(problem);
  }
  if (status === 416 && part.size > 0) {
    if (range?.total === part.size) return "complete";
    await part.clear();
    throw new Interrupted("the server knows no such range");
  }
  const retryAfter = response.header("retry-after");
  const problem = `the server answered ${status}`;
  if (status === 408 || status === 429 || status >= 500)
    throw new Interrupted(problem, { retryAfter });
  throw new VggError("DOWNLOAD_FAILED", `Could not download ${shown(url)}: ${problem}`);
}

/** One request and its body. */
async function attempt(
  client: Client,
  part: Part,
  url: URL,
  limits: { expectedBytes: number | undefined; maxBytes: number },
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const headers: Record<string, string> = Object.create(null);
  headers["accept-encoding"] = "identity";
  headers["user-agent"] = "vgg-cudnn";
  if (part.size > 0) {
    headers.range = `bytes=${part.size}-`;
    // Without it the bytes may be of another file; the hash tells.
    const validator = await part.validator(url);
    if (validator !== undefined) headers["if-range"] = validator;
  }
  const response = await client.get(url, headers);
  try {
    const accepted = await accept(response, part, url, limits.expectedBytes);
    if (accepted === "complete") return;
    const totalBytes = accepted.totalBytes ?? limits.expectedBytes;
    await part.note(url, response);
    onProgress({ receivedBytes: part.size, totalBytes });
    for (;;) {
      const bytes = await response.read();
      if (bytes === undefined) break;
      if (part.size + bytes.length > limits.maxBytes) {
        await discardPart(part.path);
        throw new VggError(
          "HASH_MISMATCH",
          `Expected at most ${limits.maxBytes} bytes from ${shown(url)} but received more; nothing was kept`,
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
 * Fills a partial file, from the byte on that it has. Its content is not checked here.
 * @returns whether the bytes came from one response: if not, they may not fit together
 * @throws {VggError} DOWNLOAD_FAILED, DISK_FULL, FOLDER_UNUSABLE; HASH_MISMATCH: more than `maxBytes` came
 * @throws the signal's reason
 */
export async function download(
  url: URL,
  partPath: string,
  limits: { expectedBytes: number | undefined; maxBytes: number },
  options: DownloadOptions,
): Promise<{ isOfOneResponse: boolean }> {
  const { signal, timeoutMs, retries, onProgress } = options;
  const part = await Part.open(partPath);
  let client: Client | undefined;
  try {
    let failures = 0;
    for (let farthest = part.size; ; farthest = Math.max(farthest, part.size)) {
      if (part.size > 0 && part.size === limits.expectedBytes) break;
      client ??= await openClient(timeoutMs, signal);
      try {
        await attempt(client, part, url, limits, onProgress);
        break;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Interrupted)) throw error;
        failures = part.size > farthest ? 0 : failures + 1;
        const waitMs = retryDelayMs(failures, options.retryDelayMs, error.retryAfter);
        if (failures > retries || waitMs > longestRetryAfterMs) {
          const later =
            failures > retries ? "" : ` and asks for ${Math.ceil(waitMs / 1000)} s of patience`;
          const tries = failures <= 1 ? "" : ` (${failures} tries)`;
          const kept = part.size === 0 ? "" : `; ${part.size} bytes are kept for the next call`;
          throw new VggError(
            "DOWNLOAD_FAILED",
            `Could not download ${shown(url)}: ${error.message}${later}${tries}${kept}`,
            { cause: error },
          );
        }
        // Up to half as much again, so that many clients do not come back at once.
        await delay(waitMs * (1 + Math.random() / 2), undefined, bare({ signal })).catch(() => {});
        signal.throwIfAborted();
      }
    }
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
