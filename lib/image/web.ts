// Images in objects: a Blob, the body of a Request or a Response, and pixels.
import { types } from "node:util";
import { checkInteger, optionOf, rangeError, typeError } from "../check.js";
import { imageError } from "./errors.js";
import {
  type BlobLike,
  type BodyLike,
  isNodeStream,
  isWebStream,
  type PixelsLike,
  type RawPixels,
} from "./objects.js";
import {
  bytesAtHand,
  cancelUnread,
  checkSize,
  nodeStream,
  nothing,
  type OpenedSource,
  webStream,
  wholeOf,
} from "./read.js";

/** A File's name in quotes: it may come from a stranger. */
function nameOfBlob(blob: BlobLike): string {
  const name = optionOf(blob as BlobLike & { name?: unknown }, "name");
  return typeof name === "string" && name !== ""
    ? `the file ${JSON.stringify(name)}`
    : `a Blob of ${blob.size} bytes`;
}

/** A Blob never changes, so it need not be copied. */
export function openBlob(blob: BlobLike, place = ""): OpenedSource {
  const name = place + nameOfBlob(blob);
  return {
    name,
    places: undefined,
    heldBytes: 0,
    read: async (limits) => {
      checkSize(name, blob.size, limits.maxBytes);
      const stream = blob.stream();
      if (isWebStream(stream)) return webStream(stream, name).read(limits);
      return wholeOf(() => blob.arrayBuffer(), name, limits);
    },
    discard: nothing,
  };
}

/** The name of a Request or a Response: a Response has a status. */
function nameOfBody(source: BodyLike, place: string): string {
  const { url, status } = source as { url?: unknown; status?: unknown };
  if (typeof url === "string" && url !== "" && typeof status === "number") return url;
  return place + (typeof status === "number" ? "a Response" : "a Request");
}

/** @throws {RangeError} a body that was read, or is being read */
export function openBody(source: BodyLike, argument: string, place = ""): OpenedSource {
  const name = nameOfBody(source, place);
  const { body } = source;
  const isLocked = isWebStream(body) && body.locked;
  if (source.bodyUsed || isLocked)
    throw rangeError("a Request or Response whose body nobody has read", argument, source);
  const { status, statusText } = source as { status?: unknown; statusText?: unknown };
  if (typeof status === "number" && (status < 200 || status > 299)) {
    const message = `Expected a status of 2xx but received ${status} ${statusText ?? ""}`.trim();
    const discard = () => {
      if (isWebStream(body)) cancelUnread(body);
      else if (isNodeStream(body)) body.destroy();
    };
    const read = async () => {
      discard();
      throw imageError(name, "IMAGE_UNREADABLE", message);
    };
    return { name, places: undefined, heldBytes: 0, read, discard };
  }
  if (isNodeStream(body)) return nodeStream(body, name);
  if (isWebStream(body)) return webStream(body, name);
  if (body === null) return { ...bytesAtHand(new Uint8Array()), name };
  const read: OpenedSource["read"] = (limits) => wholeOf(() => source.arrayBuffer(), name, limits);
  return { name, places: undefined, heldBytes: 0, read, discard: nothing };
}

/** ImageData has no channels: it has 4. */
function channelsOf(source: PixelsLike, argument: string): RawPixels["channels"] {
  const channels = optionOf(source as RawPixels, "channels");
  if (channels === undefined && types.isUint8ClampedArray(source.data)) return 4;
  if (channels === 1 || channels === 3 || channels === 4) return channels;
  const fail = typeof channels === "number" ? rangeError : typeError;
  throw fail("1, 3 or 4", `${argument}.channels`, channels);
}

const maxSide = 2 ** 31 - 1;

/**
 * Copies the pixels, because the caller may change them while a decoder's thread reads.
 * @throws {TypeError} a size that is no number @throws {RangeError} another number of samples
 */
export function openRawPixels(source: PixelsLike, argument: string, place = ""): OpenedSource {
  const { data } = source;
  const width = checkInteger(source.width, `${argument}.width`, 1, maxSide);
  const height = checkInteger(source.height, `${argument}.height`, 1, maxSide);
  const channels = channelsOf(source, argument);
  const length = width * height * channels;
  if (data.length !== length) {
    const expected = `${height} × ${width} × ${channels} = ${length} samples`;
    throw rangeError(expected, `${argument}.data`, data.length);
  }
  const copy = new Uint8Array(length);
  copy.set(data);
  const name = `${place}an image of ${width} × ${height} pixels`;
  return {
    name,
    places: undefined,
    heldBytes: length,
    read: async ({ maxBytes }) => {
      checkSize(name, length, maxBytes);
      return { data: copy, width, height, channels };
    },
    discard: nothing,
  };
}
