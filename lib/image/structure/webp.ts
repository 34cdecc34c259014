// Reduces an animated WebP to one frame. Scanning n frames costs a decoder n² steps.
import { Pieces } from "./pieces.js";

/** The chunks that are kept, one of each. The flags of VP8X promise the profile and XMP. */
const needed = ["VP8X", "ICCP", "ANIM", "ANMF", "ALPH", "VP8 ", "VP8L", "EXIF", "XMP "];
const header = 12;

export function cutWebp(bytes: Buffer): Buffer {
  // Only the extended format may have more than one chunk.
  if (bytes.length < header + 8 || bytes.toString("latin1", header, header + 4) !== "VP8X")
    return bytes;
  const riffEnd = 8 + bytes.readUInt32LE(4);
  if (riffEnd > bytes.length) return bytes;
  const pieces = new Pieces(bytes);
  pieces.keep(0, header);
  const left = new Map(needed.map((name) => [Buffer.from(name, "latin1").readUInt32BE(), name]));
  let at = header;
  while (at + 8 <= riffEnd) {
    const size = bytes.readUInt32LE(at + 4);
    const end = at + 8 + size + (size & 1);
    // The decoder reports that the chunk is truncated.
    if (end > riffEnd) return bytes;
    if (left.delete(bytes.readUInt32BE(at))) pieces.keep(at, end);
    at = end;
  }
  const cut = Buffer.from(pieces.join());
  cut.writeUInt32LE(cut.length - 8, 4);
  return cut;
}
