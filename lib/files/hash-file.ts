// Computes a file's size and hash.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { fileError, isMissing } from "./errors.js";

export interface Hashed {
  readonly bytes: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
}

/**
 * Returns a file's size and hash, or undefined if there is no file.
 * @param onBytes called with the bytes read so far
 * @throws {VggError} FOLDER_UNUSABLE @throws the signal's reason
 */
export async function hashFile(
  path: string,
  signal?: AbortSignal,
  onBytes: (bytes: number) => void = () => {},
): Promise<Hashed | undefined> {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    const file = await open(path);
    try {
      const buffer = new Uint8Array(2 ** 20);
      for (let read = -1; read !== 0; bytes += read) {
        signal?.throwIfAborted();
        onBytes(bytes);
        read = (await file.read(buffer, 0, buffer.length)).bytesRead;
        hash.update(buffer.subarray(0, read));
      }
      onBytes(bytes);
    } finally {
      await file.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (isMissing(error)) return;
    throw fileError(error, path);
  }
  return { bytes, sha256: hash.digest("hex") };
}
