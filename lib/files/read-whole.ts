// Reads a small file whole.
import { open } from "node:fs/promises";
import { fileError, isMissing, wordsOf } from "./errors.js";

const pieceBytes = 65_536;

/**
 * Reads a file as UTF-8. Node's `readFile` takes a read of fewer bytes than requested for the end of the file, and its
 * streams take options from Object.prototype.
 * @throws {NodeJS.ErrnoException} the system's error
 */
export async function readWhole(path: string): Promise<string> {
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
  return new TextDecoder().decode(Buffer.concat(pieces)); // removes the byte order mark that some editors write
}

/**
 * Reads a file that an argument names, as UTF-8.
 * @param argument the name of the argument or flag, for errors
 * @throws {RangeError} no such file, or a folder @throws {VggError} FOLDER_UNUSABLE
 */
export function readNamedFile(path: string, argument: string): Promise<string> {
  return readWhole(path).catch((cause: NodeJS.ErrnoException) => {
    if (!isMissing(cause) && cause.code !== "EISDIR") throw fileError(cause, path);
    throw new RangeError(
      `Expected a file for ${argument} but received ${path}: ${wordsOf(cause.code!)}`,
    );
  });
}
