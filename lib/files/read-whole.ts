// A small file in one piece.
import { createReadStream } from "node:fs";

/**
 * Node.js's own `readFile` takes a read that brings less than it asked for as the end of the file.
 * @throws {NodeJS.ErrnoException} what the system refused
 */
export async function readWhole(path: string): Promise<string> {
  const chunks: Buffer[] = await createReadStream(path).toArray();
  return new TextDecoder().decode(Buffer.concat(chunks)); // without the mark that some editors put first
}
