// Cuts a GIF after its first frame, because decoders scan all blocks that follow.
import { ExcessiveWork } from "./pieces.js";

const maxBlocks = 65_536;
const comment = 0xfe;
const trailer = Buffer.of(0x3b);

/** Returns the file up to the end of its first frame. @throws {ExcessiveWork} */
export function cutGif(bytes: Buffer): Buffer {
  const colours = (flags: number) => ((flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1));
  let at = 13 + colours(bytes[10] ?? 0);
  for (let blocks = 0; blocks < maxBlocks; ++blocks) {
    const isFrame = bytes[at] === 0x2c;
    // The decoder judges a block that is neither a frame nor an extension.
    if (!isFrame && bytes[at] !== 0x21) return bytes;
    // A frame has its position, its colours and the code size. An extension has its label and, unless it is a comment, a
    // first block, which does not end the extension even if it is empty.
    if (isFrame) at += 11 + colours(bytes[at + 9] ?? 0);
    else at += bytes[at + 1] === comment ? 2 : 3 + (bytes[at + 2] ?? 0);
    while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at]!;
    ++at;
    if (at >= bytes.length || bytes[at] === trailer[0]) return bytes;
    if (isFrame) return Buffer.concat([bytes.subarray(0, at), trailer]);
  }
  throw new ExcessiveWork(`at most ${maxBlocks} blocks before a GIF's first frame`, "more");
}
