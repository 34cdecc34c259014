// Sources of images: what a caller may give, checked at the call.
import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { fileURLToPath } from "node:url";
import { types } from "node:util";
import { rangeError, typeError } from "../check.js";
import { isUrl } from "../realm.js";
import {
  type BlobLike,
  type BodyLike,
  isBlob,
  isBody,
  isNodeStream,
  isOtherPixels,
  isRawPixels,
  isWebStream,
  type PixelsLike,
} from "./objects.js";
import {
  bytesAtHand,
  dataUrl,
  file,
  nodeStream,
  type OpenedSource,
  webFile,
  webStream,
} from "./read.js";
import { openBlob, openBody, openRawPixels } from "./web.js";

export type { OpenedSource } from "./read.js";

/**
 * An image, encoded or as pixels.
 *
 * - A path; or an http, https, file or data URL, also as a string.
 * - Its bytes, which are copied at the call: a Uint8Array or an ArrayBuffer.
 * - A stream of bytes, of Node or of the web, which is read to its end or destroyed.
 * - A Blob or File; a Request or Response, whose body is read.
 * - Pixels (height, width, channels), which are copied at the call: {@link RawPixels}, or an ImageData.
 */
export type ImageSource =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Readable
  | ReadableStream<Uint8Array>
  | BlobLike
  | BodyLike
  | PixelsLike;

/**
 * Checks the argument, and copies its bytes if it has them.
 * @param place where the source is among others, and a comma; messages have it if the source has no address
 * @throws {TypeError} not an image source
 * @throws {RangeError} an empty path, a URL of another kind, a stream or body in use, pixels of another size
 */
export function openSource(source: unknown, argument: string, place = ""): OpenedSource {
  if (types.isUint8Array(source)) return bytesAtHand(source, place);
  // A detached ArrayBuffer cannot have a view.
  if (types.isArrayBuffer(source))
    return bytesAtHand(source.byteLength === 0 ? new Uint8Array() : new Uint8Array(source), place);
  if (typeof source === "string") return openString(source, argument, place);
  if (isUrl(source)) return openUrl(new URL(source.href), argument, source, place);
  if (isNodeStream(source)) {
    if (source.readableEnded) throw rangeError("a stream that nobody has read", argument, source);
    return nodeStream(source, `${place}a stream`);
  }
  if (isWebStream(source)) {
    if (source.locked) throw rangeError("a stream that nobody reads", argument, source);
    return webStream(source, `${place}a stream`);
  }
  if (isBlob(source)) return openBlob(source, place);
  if (isBody(source)) return openBody(source, argument, place);
  if (isRawPixels(source)) return openRawPixels(source, argument, place);
  if (isOtherPixels(source))
    throw typeError("a Uint8Array or Uint8ClampedArray", `${argument}.data`, source.data);
  throw typeError(
    "a path, a URL, bytes, a stream, a Blob, a Request, a Response or pixels with their width and height",
    argument,
    source,
  );
}

/** Opens each source of an array. With more than one, a message tells which one it is about. @throws as `openSource` */
export function openSources(sources: readonly unknown[], argument: string): OpenedSource[] {
  return Array.from(sources, (source, index) => {
    const name = `${argument}[${index}]`;
    return openSource(source, name, sources.length > 1 ? `${name}, ` : "");
  });
}

function openString(source: string, argument: string, place: string): OpenedSource {
  if (/^(https?|file|data):|^[a-z][a-z0-9+.-]+:\/\//i.test(source)) {
    if (!URL.canParse(source)) throw rangeError("a valid URL", argument, source);
    return openUrl(new URL(source), argument, source, place);
  }
  if (source === "" || source.includes("\0")) throw rangeError("a path", argument, source);
  return file(source, source);
}

function openUrl(url: URL, argument: string, received: string | URL, place: string): OpenedSource {
  switch (url.protocol) {
    case "http:":
    case "https:":
      if (url.username !== "" || url.password !== "") {
        // fetch refuses it too, but repeats the password in its message.
        const hidden = `${url.protocol}//…@${url.host}`;
        throw rangeError("a URL without user and password", argument, hidden);
      }
      return webFile(url.href);
    case "data:":
      return dataUrl(url.href, place);
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
