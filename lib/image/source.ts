// Sources of images: bytes, a file, a URL or a stream. Each is read whole, and never beyond a limit.
import { constants, open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { fileURLToPath } from "node:url";
import { types } from "node:util";
import { bare, rangeError, typeError } from "../check.js";
import { VggError } from "../errors.js";
import { wordsOf } from "../files/errors.js";
import { isUrl } from "../realm.js";
import { onAbort } from "../signal.js";
import { imageError, reasonOf } from "./errors.js";
import { downloads, type Limiter, openFiles } from "./limiter.js";

/**
 * An encoded image: a path; an http, https, file or data URL, also as a string; its bytes; or a stream of bytes, of
 * Node or of the web, which is read to its end or destroyed.
 */
export type ImageSource =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Readable
  | ReadableStream<Uint8Array>;

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
  /** @throws {VggError} IMAGE_UNREADABLE, IMAGE_TOO_LARGE; or the reason of `signal` */
  read(limits: ReadLimits): Promise<Uint8Array>;
}

/**
 * Checks the argument, and copies its bytes if it has them.
 * @throws {TypeError} not an image source @throws {RangeError} an empty path, a URL of another kind, a stream in use
 */
export function openSource(source: unknown, argument: string): OpenedSource {
  if (types.isUint8Array(source)) return bytesAtHand(source);
  // A detached ArrayBuffer cannot have a view.
  if (types.isArrayBuffer(source))
    return bytesAtHand(source.byteLength === 0 ? new Uint8Array() : new Uint8Array(source));
  if (typeof source === "string") return openString(source, argument);
  if (isUrl(source)) return openUrl(new URL(source.href), argument, source);
  if (isNodeStream(source)) {
    if (source.readableEnded) throw rangeError("a stream that nobody has read", argument, source);
    return nodeStream(source);
  }
  if (isWebStream(source)) {
    if (source.locked) throw rangeError("a stream that nobody reads", argument, source);
    return webStream(source);
  }
  throw typeError(
    "a path, a URL, a Uint8Array, an ArrayBuffer or a stream of bytes",
    argument,
    source,
  );
}

/** Opens each source of an array. @throws as `openSource` */
export function openSources(sources: readonly unknown[], argument: string): OpenedSource[] {
  return Array.from(sources, (source, index) => openSource(source, `${argument}[${index}]`));
}

function openString(source: string, argument: string): OpenedSource {
  if (/^(https?|file|data):|^[a-z][a-z0-9+.-]+:\/\//i.test(source)) {
    if (!URL.canParse(source)) throw rangeError("a valid URL", argument, source);
    return openUrl(new URL(source), argument, source);
  }
  if (source === "" || source.includes("\0")) throw rangeError("a path", argument, source);
  return file(source, source);
}

function openUrl(url: URL, argument: string, received: string | URL): OpenedSource {
  switch (url.protocol) {
    case "http:":
    case "https:": {
      const name = url.href;
      if (url.username !== "" || url.password !== "") {
        // fetch refuses it too, but repeats the password in its message.
        throw rangeError(
          "a URL without user and password",
          argument,
          `${url.protocol}//…@${url.host}`,
        );
      }
      return { name, places: downloads, read: (limits) => download(name, name, limits) };
    }
    case "data:": {
      const { href } = url;
      const name = `a data URL of ${href.length} characters`;
      return { name, places: undefined, read: (limits) => download(href, name, limits) };
    }
    case "file:":
      try {
        return file(fileURLToPath(url), url.href);
      } catch {
        throw rangeError("a file URL of this machine", argument, url.href);
      }
    default:
      throw rangeError("an http, https, file or data URL", argument, String(received));
  }
}

function checkSize(name: string, bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw imageError(
      name,
      "IMAGE_TOO_LARGE",
      `Expected at most ${maxBytes} bytes but it has ${bytes} or more`,
    );
  }
}

/** Copies the bytes now, because the caller may change or transfer the array while the decoder's threads read. */
function bytesAtHand(bytes: Uint8Array): OpenedSource {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  const name = `a buffer of ${copy.byteLength} bytes`;
  return {
    places: undefined,
    name,
    read: async ({ maxBytes }) => {
      checkSize(name, copy.byteLength, maxBytes);
      return copy;
    },
  };
}

function file(path: string, name: string): OpenedSource {
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
  const read = (limits: ReadLimits) => readable(name, limits, () => readFile(limits));
  return { name, places: openFiles, read };
}

/** Converts errors of the system, the network or a stream to a VggError. */
async function readable(
  name: string,
  { signal }: Pick<ReadLimits, "signal">,
  read: () => Promise<Uint8Array>,
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
    throw imageError(name, "IMAGE_UNREADABLE", message, error);
  }
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
        if (!response.ok) {
          throw imageError(
            name,
            "IMAGE_UNREADABLE",
            `Expected a status of 2xx but received ${response.status} ${response.statusText}`.trim(),
          );
        }
        checkSize(name, Number(response.headers.get("content-length")), maxBytes);
        if (response.body === null) return new Uint8Array();
        return await collect(readWeb(response.body, stop.signal), name, maxBytes);
      } catch (error) {
        if (!isLate) throw error;
        const message = `Expected the whole answer within ${timeoutMs} ms`;
        throw imageError(name, "IMAGE_UNREADABLE", message, error);
      }
    });
  } finally {
    clearTimeout(timer);
    release();
    // Closes the connection if the body was not read to its end.
    stop.abort();
  }
}

function hasMethods(value: unknown, names: readonly PropertyKey[]): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    names.every((name) => typeof (value as Record<PropertyKey, unknown>)[name] === "function")
  );
}

/** Whether this is a Node stream, also one of another package such as readable-stream. */
function isNodeStream(source: unknown): source is Readable {
  return hasMethods(source, ["pipe", "on", "destroy", Symbol.asyncIterator]);
}

/** Whether this is a web stream, also one of another realm or of a package. */
function isWebStream(source: unknown): source is ReadableStream {
  return (
    hasMethods(source, ["getReader", "cancel", "pipeTo"]) &&
    typeof (source as ReadableStream).locked === "boolean"
  );
}

function nodeStream(stream: Readable): OpenedSource {
  const name = "a stream";
  // A stream may fail before its turn; reading it then reports the error.
  stream.on("error", () => {});
  const read = (limits: ReadLimits) => {
    const release = onAbort(limits.signal, () => void stream.destroy());
    return readable(name, limits, () => collect(stream, name, limits.maxBytes)).finally(release);
  };
  return { name, places: undefined, read };
}

function webStream(stream: ReadableStream): OpenedSource {
  const name = "a stream";
  return {
    places: undefined,
    name,
    read: (limits) =>
      readable(name, limits, () => collect(readWeb(stream, limits.signal), name, limits.maxBytes)),
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

/** Reads all chunks. Leaving the loop early destroys the stream. */
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
  return Buffer.concat(parts, length);
}
