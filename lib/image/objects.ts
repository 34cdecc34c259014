// Tells objects that images come from by what they can do: each may be of another realm or of a package.
import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { types } from "node:util";
import { optionOf } from "../check.js";

/** A Blob or a File. */
export interface BlobLike {
  /** Its length, in bytes. */
  readonly size: number;
  /** Gives its bytes as a web stream. */
  readonly stream: () => unknown;
  /** Gives its bytes. */
  readonly arrayBuffer: () => Promise<ArrayBuffer>;
}

/** A Request or a Response. */
export interface BodyLike {
  /** A stream, or null. */
  readonly body: unknown;
  /** Whether the body was read, or is being read. */
  readonly bodyUsed: boolean;
  /** Gives the body. */
  readonly arrayBuffer: () => Promise<ArrayBuffer>;
}

/**
 * Decoded pixels: `data` is (height, width, channels) in 0 … 255, in rows without gaps, as sharp's `raw()` gives them.
 * @example
 * import sharp from "sharp";
 * const { data, info } = await sharp("cat.jpg").raw().toBuffer({ resolveWithObject: true });
 * const predictions = await model.classify({ data, ...info, channels: 3 });
 */
export interface RawPixels {
  /** Exactly height × width × channels samples. */
  readonly data: Uint8Array | Uint8ClampedArray;
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** 1: grey. 3: red, green and blue. 4: these and alpha, which is dropped. */
  readonly channels: 1 | 3 | 4;
}

/** Pixels of a canvas. They have red, green, blue and alpha. */
export interface ImageDataLike {
  /** Exactly height × width × 4 samples. */
  readonly data: Uint8ClampedArray;
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
}

/** Pixels that the caller decoded. */
export type PixelsLike = RawPixels | ImageDataLike;

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

function hasMethods(value: unknown, names: readonly PropertyKey[]): value is object {
  const read = (name: PropertyKey) => (value as Record<PropertyKey, unknown>)[name];
  return isObject(value) && names.every((name) => typeof read(name) === "function");
}

/** Whether this is a Node stream, also one of another package such as readable-stream. */
export function isNodeStream(source: unknown): source is Readable {
  return hasMethods(source, ["pipe", "on", "destroy", Symbol.asyncIterator]);
}

/** Whether this is a web stream. */
export function isWebStream(source: unknown): source is ReadableStream {
  return (
    hasMethods(source, ["getReader", "cancel", "pipeTo"]) &&
    typeof (source as ReadableStream).locked === "boolean"
  );
}

export function isBlob(source: unknown): source is BlobLike {
  return (
    hasMethods(source, ["stream", "arrayBuffer", "slice"]) &&
    typeof optionOf(source as BlobLike, "size") === "number"
  );
}

export function isBody(source: unknown): source is BodyLike {
  return (
    hasMethods(source, ["arrayBuffer", "text"]) &&
    typeof optionOf(source as BodyLike, "bodyUsed") === "boolean"
  );
}

export function isRawPixels(source: unknown): source is PixelsLike {
  if (!isObject(source)) return false;
  const data = optionOf(source as PixelsLike, "data");
  return (
    (types.isUint8Array(data) || types.isUint8ClampedArray(data)) &&
    optionOf(source as PixelsLike, "width") !== undefined
  );
}

/** Whether an object has a width and numbers of another type than pixels may have. */
export function isOtherPixels(source: unknown): source is { readonly data: unknown } {
  if (!isObject(source)) return false;
  const data = optionOf(source as PixelsLike, "data");
  const isNumbers = types.isTypedArray(data) || types.isArrayBuffer(data) || Array.isArray(data);
  return isNumbers && optionOf(source as PixelsLike, "width") !== undefined;
}
