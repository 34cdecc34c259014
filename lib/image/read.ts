// Reading images whole, and never beyond a limit: bytes, files, answers of servers, and streams.
import { constants, open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { types } from "node:util";
import { bare, typeError } from "../check.js";
import { VggError } from "../errors.js";
import { wordsOf } from "../files/errors.js";
import { onAbort } from "../signal.js";
import { imageError, reasonOf } from "./errors.js";
import { downloads, type Limiter, openFiles } from "./limiter.js";
import type { OwnPixels } from "./pixels.js";
import { isTemporaryCode, isTemporaryStatus, mayPass } from "./temporary.js";

export interface ReadLimits {
  readonly maxBytes: number;
  /** Time limit for http and https, from the request to the last byte. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A source whose argument was checked and whose bytes, if it has them, were copied. */
export interface OpenedSource {
  /** The source's name in messages. */
  readonly name: string;
  /** One unit is held from before `read` until decoding begins. A stream needs none: the caller opened it. */
  readonly places: Limiter | undefined;
  /** Bytes of the caller that were copied. */
  readonly heldBytes: number;
  /** @throws {VggError} IMAGE_UNREADABLE, IMAGE_TOO_LARGE; or the reason of `signal` */
  read(limits: ReadLimits): Promise<Uint8Array | OwnPixels>;
  /** Destroys or cancels a stream of a call that has failed, unless it was read to its end. */
  discard(): void;
}

/** What `discard` does if there is no stream. */
export const nothing = (): void => {};

/** Ends the streams of a call that failed. */
export function discardAll(sources: Iterable<OpenedSource>): void {
  for (const source of sources) source.discard();
}

/** @throws {VggError} IMAGE_TOO_LARGE */
export function checkSize(name: string, bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw imageError(
      name,
      "IMAGE_TOO_LARGE",
      `Expected at most ${maxBytes} bytes but it has ${bytes} or more`,
    );
  }
}

/**
 * Copies the bytes now, because the caller may change or transfer the array while the decoder's threads read.
 * @param place where the source is among others, and a comma
 */
export function bytesAtHand(bytes: Uint8Array, place = ""): OpenedSource {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  const name = `${place}a buffer of ${copy.byteLength} bytes`;
  return {
    places: undefined,
    heldBytes: copy.byteLength,
    name,
    read: async ({ maxBytes }) => {
      checkSize(name, copy.byteLength, maxBytes);
      return copy;
    },
    discard: nothing,
  };
}

/** A file of this machine. @param name the path or URL */
export function file(path: string, name: string): OpenedSource {
  const readFile = async ({ maxBytes, signal }: ReadLimits) => {
    // Without O_NONBLOCK, opening a FIFO waits for its writer.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw imageError(name, "IMAGE_UNREADABLE", "Expected a regular file");
      checkSize(name, stat.size, maxBytes);
      const bytes = new Uint8Array(stat.size);
      let length = 0;
      while (length < bytes.byteLength) {
        signal.throwIfAborted();
        const { bytesRead } = await handle.read(bytes, length, bytes.byteLength - length, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return bytes.subarray(0, length);
    } finally {
      await handle.close();
    }
  };
  const read = (limits: ReadLimits) =>
    readable(name, limits, () => readFile(limits), hintFor(path));
  return { name, places: openFiles, heldBytes: 0, read, discard: nothing };
}

/** How base64 of a JPEG, PNG, GIF, WebP or TIFF begins. */
const base64Images = /^(\/9j\/|iVBORw0KGg|R0lGODdh|R0lGODlh|UklGR|SUkqA|TU0AK)/;

/** Explains why no file has such a name, if it is base64. */
function hintFor(path: string): string {
  const isLikely = path.length > 200 || base64Images.test(path);
  const ends = `${path.slice(0, 1000)}${path.slice(-100)}`;
  const isBase64 = isLikely && /^[\w+/=\r\n-]+$/.test(ends);
  return isBase64 ? '; looks like base64: decode it with Buffer.from(…, "base64")' : "";
}

/** Converts errors of the system, the network or a stream to a VggError. */
async function readable(
  name: string,
  { signal }: Pick<ReadLimits, "signal">,
  read: () => Promise<Uint8Array>,
  hint = "",
): Promise<Uint8Array> {
  signal.throwIfAborted();
  try {
    const bytes = await read();
    signal.throwIfAborted();
    return bytes;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof VggError) throw error;
    if (error instanceof NotBytes) throw error.refusal;
    const reason = reasonOf(error);
    const message = wordsOf(reason) ?? `cannot be read: ${reason}`;
    const refusal = imageError(name, "IMAGE_UNREADABLE", message + hint, error);
    throw isTemporaryCode(reason) ? mayPass(refusal) : refusal;
  }
}

/** Reads what an object gives in one piece. */
export function wholeOf(
  give: () => Promise<ArrayBuffer>,
  name: string,
  limits: ReadLimits,
): Promise<Uint8Array> {
  return readable(name, limits, async () => {
    const bytes = new Uint8Array(await give());
    checkSize(name, bytes.byteLength, limits.maxBytes);
    return bytes.slice(); // the object may keep its ArrayBuffer
  });
}

/** An answer of an http or https server. */
export function webFile(name: string): OpenedSource {
  const read = (limits: ReadLimits) => download(name, name, limits);
  return { name, places: downloads, heldBytes: 0, read, discard: nothing };
}

/** A data URL. */
export function dataUrl(href: string, place = ""): OpenedSource {
  const name = `${place}a data URL of ${href.length} characters`;
  const read = (limits: ReadLimits) => download(href, name, limits);
  return { name, places: undefined, heldBytes: href.length, read, discard: nothing };
}

/** Says that a server did not send the image. */
function refusalOf({ status, statusText }: Response, name: string): VggError {
  const message = `Expected a status of 2xx but received ${status} ${statusText}`.trim();
  const refusal = imageError(name, "IMAGE_UNREADABLE", message);
  return isTemporaryStatus(status) ? mayPass(refusal) : refusal;
}

async function download(url: string, name: string, limits: ReadLimits): Promise<Uint8Array> {
  const { maxBytes, timeoutMs, signal } = limits;
  // One controller for both reasons: in Node 20 AbortSignal.any may be collected together with its timeout.
  const stop = new AbortController();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stop.abort();
  }, timeoutMs);
  const release = onAbort(signal, () => stop.abort());
  try {
    return await readable(name, limits, async () => {
      try {
        const response = await fetch(url, bare({ signal: stop.signal }));
        if (!response.ok) throw refusalOf(response, name);
        checkSize(name, Number(response.headers.get("content-length")), maxBytes);
        if (response.body === null) return new Uint8Array();
        return await collect(readWeb(response.body, stop.signal), name, maxBytes);
      } catch (error) {
        if (!isLate) throw error;
        const message = `Expected the whole answer within ${timeoutMs} ms`;
        throw mayPass(imageError(name, "IMAGE_UNREADABLE", message, error));
      }
    });
  } finally {
    clearTimeout(timer);
    release();
    // Closes the connection if the body was not read to its end.
    stop.abort();
  }
}

/** A Node stream, which is read to its end or destroyed. */
export function nodeStream(stream: Readable, name = "a stream"): OpenedSource {
  // A stream may fail before its turn; reading it then reports the error.
  stream.on("error", () => {});
  const read = (limits: ReadLimits) => {
    const release = onAbort(limits.signal, () => void stream.destroy());
    return readable(name, limits, () => collect(stream, name, limits.maxBytes)).finally(release);
  };
  const discard = () => {
    // A socket that was read may have to answer yet.
    if (!stream.readableEnded) stream.destroy();
  };
  return { name, places: undefined, heldBytes: 0, read, discard };
}

/** Cancels a web stream, unless a reader has it, which then ends it. */
export function cancelUnread(stream: ReadableStream): void {
  if (!stream.locked) void stream.cancel().catch(() => {});
}

/** A web stream, which is read to its end or cancelled. */
export function webStream(stream: ReadableStream, name = "a stream"): OpenedSource {
  return {
    places: undefined,
    heldBytes: 0,
    name,
    read: (limits) =>
      readable(name, limits, () => collect(readWeb(stream, limits.signal), name, limits.maxBytes)),
    discard: () => cancelUnread(stream),
  };
}

/** Reads a web stream. Its built-in iterator cannot be stopped while it waits for a chunk. */
async function* readWeb(
  stream: ReadableStream,
  signal: AbortSignal,
): AsyncGenerator<unknown, void, undefined> {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  const release = onAbort(signal, cancel);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    release();
    cancel();
    reader.releaseLock();
  }
}

/** Wraps a TypeError of this package. A TypeError of `fetch` means that the source cannot be read. */
class NotBytes extends Error {
  readonly refusal: TypeError;

  constructor(refusal: TypeError) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/**
 * Reads all chunks into an ArrayBuffer that holds nothing else: the addon frees that of a PPM's pixels, and
 * `Buffer.concat` takes short results from the pool that all Buffers share. Leaving the loop early destroys the stream.
 */
async function collect(
  chunks: AsyncIterable<unknown>,
  name: string,
  maxBytes: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    if (!types.isUint8Array(chunk)) {
      throw new NotBytes(typeError("chunks that are Uint8Array", name, chunk));
    }
    length += chunk.byteLength;
    checkSize(name, length, maxBytes);
    parts.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
