// Reads a small file whole.
import { createReadStream } from "node:fs";

/**
 * Reads a file as UTF-8. Node's `readFile` takes a read of fewer bytes than requested for the end of the file.
 * @throws {NodeJS.ErrnoException} the system's error
 */
export async function readWhole(path: string): Promise<string> {
  const chunks: Buffer[] = await createReadStream(path).toArray();
  return new TextDecoder().decode(Buffer.concat(chunks)); // removes the byte order mark that some editors write
}
