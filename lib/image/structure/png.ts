// Removes the texts, profiles and animation frames of a PNG, which libpng would inflate and keep.
import { Pieces } from "./pieces.js";

const type = (name: string) => Buffer.from(name, "latin1").readUInt32BE();
const tRNS = type("tRNS");
const eXIf = type("eXIf");
const IEND = type("IEND");

/** Keeps the signature, the chunks that a decoder must understand, transparency and the orientation. */
export function cutPng(bytes: Buffer): Buffer {
  const pieces = new Pieces(bytes);
  pieces.keep(0, 8);
  let at = 8;
  while (at + 12 <= bytes.length) {
    const end = at + 12 + bytes.readUInt32BE(at);
    // The decoder reports that the chunk is truncated.
    if (end > bytes.length) break;
    const name = bytes.readUInt32BE(at + 4);
    const isAncillary = (bytes[at + 4]! & 0x20) !== 0;
    if (!isAncillary || name === tRNS || name === eXIf) pieces.keep(at, end);
    at = end;
    if (name === IEND) return pieces.join();
  }
  pieces.keep(at, bytes.length);
  return pieces.join();
}
