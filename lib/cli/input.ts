// Reads small texts of the command line: from a file, or from standard input for "-".
import type { Readable } from "node:stream";
import { readNamedFile, textOf } from "../files/read-whole.js";

/** The word that stands for standard input. */
export const standardInput = "-";

/** The flag or argument that has taken standard input. */
let taker: string | undefined;

/** Returns standard input, which can be read once. @throws {RangeError} another flag or argument has taken it */
export function takeInput(flag: string): Readable {
  if (taker !== undefined)
    throw new RangeError(`Expected standard input once but received it for ${taker} and ${flag}`);
  taker = flag;
  return process.stdin;
}

/**
 * Reads a text as UTF-8, or as UTF-16 with a byte order mark.
 * @param flag the flag or argument that names the file
 * @throws {RangeError} no such file, a folder, or no text @throws {VggError} FOLDER_UNUSABLE
 */
export async function readText(path: string, flag: string): Promise<string> {
  if (path === standardInput) {
    const chunks: Buffer[] = await takeInput(flag).toArray();
    return textOf(Buffer.concat(chunks), "standard input", flag);
  }
  return readNamedFile(path, flag);
}
