// Cuts a GIF after its first frame, because decoders scan all blocks that follow, and makes its transparent colour opaque.
import { ExcessiveWork } from "./pieces.js";

const maxBlocks = 65_536;
const comment = 0xfe;
const control = 0xf9;
const trailer = Buffer.of(0x3b);

/** Where a frame lies on its canvas, in pixels, and what PIL gives the pixels around it. */
export interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Red, green and blue of the transparent colour, or else of the first. */
  readonly around: readonly number[];
}

export interface FirstFrame {
  /** The file up to the end of its first frame. */
  readonly image: Buffer;
  /** Undefined if it covers the canvas. */
  readonly frame: Frame | undefined;
}

const colours = (flags: number) => ((flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1));

/** Returns a colour of the frame's own table, or else of the file's. Without a table it is grey. */
function colourOf(bytes: Buffer, frame: number, index: number): readonly number[] {
  const [own, shared] = [colours(bytes[frame + 9] ?? 0), colours(bytes[10] ?? 0)];
  const [table, size] = own > 0 ? [frame + 10, own] : [13, shared];
  if (size === 0) return [index, index, index];
  return [0, 1, 2].map((channel) =>
    3 * index + channel < size ? (bytes[table + 3 * index + channel] ?? 0) : 0,
  );
}

/** Returns the frame whose descriptor begins at `at`. */
function frameAt(bytes: Buffer, at: number, transparent: number): Frame | undefined {
  if (at + 10 > bytes.length) return undefined;
  const [left, top, width, height] = [1, 3, 5, 7].map((place) =>
    bytes.readUInt16LE(at + place),
  ) as [number, number, number, number];
  const isWhole =
    left === 0 && top === 0 && width >= bytes.readUInt16LE(6) && height >= bytes.readUInt16LE(8);
  return isWhole
    ? undefined
    : { left, top, width, height, around: colourOf(bytes, at, transparent) };
}

/** Changes the bytes in place: PIL's convert("RGB") ignores transparency. @throws {ExcessiveWork} */
export function cutGif(bytes: Buffer): FirstFrame {
  let transparent = 0;
  let frame: Frame | undefined;
  let at = 13 + colours(bytes[10] ?? 0);
  for (let blocks = 0; blocks < maxBlocks; ++blocks) {
    const isFrame = bytes[at] === 0x2c;
    // The decoder judges a block that is neither a frame nor an extension.
    if (!isFrame && bytes[at] !== 0x21) return { image: bytes, frame };
    if (isFrame) frame = frameAt(bytes, at, transparent);
    else if (bytes[at + 1] === control && at + 7 < bytes.length) {
      if ((bytes[at + 3]! & 1) === 1) transparent = bytes[at + 6]!;
      bytes[at + 3]! &= 0xfe;
    }
    // A frame has its position, its colours and the code size. An extension has its label and, unless it is a comment, a
    // first block, which does not end the extension even if it is empty.
    if (isFrame) at += 11 + colours(bytes[at + 9] ?? 0);
    else at += bytes[at + 1] === comment ? 2 : 3 + (bytes[at + 2] ?? 0);
    while (at < bytes.length && bytes[at] !== 0) at += 1 + bytes[at]!;
    ++at;
    if (at >= bytes.length || bytes[at] === trailer[0]) return { image: bytes, frame };
    if (isFrame) return { image: Buffer.concat([bytes.subarray(0, at), trailer]), frame };
  }
  throw new ExcessiveWork(`at most ${maxBlocks} blocks before a GIF's first frame`, "more");
}
