// Reads a small file whole.

import { open } from "node:fs/promises";
import { VggError } from "../errors.js";
import { formatOf } from "../image/format.js";
import { fileError, isMissing, wordsOf } from "./errors.js";
import { Head } from "./head.js";
import { describeFile } from "./kind.js";

const pieceBytes = 65_536;

/**
 * Reads a file as UTF-8. Node's `readFile` takes a read of fewer bytes than requested for the end of the file, and its
 * streams take options from Object.prototype.
 * @throws {NodeJS.ErrnoException} the system's error
 */
export async function readWhole(path: string): Promise<string> {
  // The decoder removes the byte order mark that some editors write.
  return new TextDecoder().decode(await readBytes(path));
}

async function readBytes(path: string): Promise<Buffer> {
  const file = await open(path);
  const pieces: Buffer[] = [];
  try {
    for (let read = -1; read !== 0; ) {
      const piece = Buffer.alloc(pieceBytes);
      ({ bytesRead: read } = await file.read(piece, 0, pieceBytes));
      pieces.push(piece.subarray(0, read));
    }
  } finally {
    await file.close().catch(() => {}); // what was read stays valid
  }
  return Buffer.concat(pieces);
}

/** Says what bytes are that are no text, as the end of "Expected … but". */
function whatItIs(bytes: Uint8Array): string {
  const image = formatOf(bytes);
  if (image !== null) return `it is ${/^A/.test(image) ? "an" : "a"} ${image} image`;
  const what = describeFile(bytes, "text");
  const isKnown = !/^it (is text|begins with the bytes)/.test(what);
  return isKnown || bytes.includes(0) ? what : "it has bytes that are no UTF-8";
}

/** Whether bytes that decode as text are a file of another kind. A control character in a name alone says nothing. */
function isKnown(bytes: Uint8Array, text: string): boolean {
  if (text.includes("\0") || formatOf(bytes) !== null) return true;
  const isText = new Head(bytes).text !== undefined;
  return !isText && !describeFile(bytes, "text").startsWith("it begins with the bytes");
}

/**
 * Returns the text of bytes in UTF-8, or in UTF-16 with a byte order mark.
 * @param argument the name of the argument or flag, for errors
 * @throws {RangeError} bytes that are no text
 */
export function textOf(bytes: Uint8Array, path: string, argument: string): string {
  const [first, second] = bytes;
  const isLittle = first === 0xff && second === 0xfe;
  const isWide = isLittle || (first === 0xfe && second === 0xff);
  const encoding = isLittle ? "utf-16le" : isWide ? "utf-16be" : "utf-8";
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    if (bytes.byteLength === 0 || isWide || !isKnown(bytes, text)) return text;
  } catch {
    // The error below says what it is.
  }
  throw new RangeError(`Expected text for ${argument} but received ${path}: ${whatItIs(bytes)}`);
}

/**
 * Reads a file that an argument names, as UTF-8.
 * @param argument the name of the argument or flag, for errors
 * @throws {RangeError} a file that is no text; for a flag, no such file or a folder
 * @throws {VggError} FOLDER_UNUSABLE
 */
export async function readNamedFile(path: string, argument: string): Promise<string> {
  const bytes = await readBytes(path).catch((cause: NodeJS.ErrnoException) => {
    if (!isMissing(cause) && cause.code !== "EISDIR") throw fileError(cause, path);
    const message = `Expected a file for ${argument} but received ${path}: ${wordsOf(cause.code!)}`;
    // A flag that names no file is wrong usage of the command line.
    throw argument.startsWith("--")
      ? new RangeError(message)
      : new VggError("FOLDER_UNUSABLE", message, { cause });
  });
  return textOf(bytes, path, argument);
}
