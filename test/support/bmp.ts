// Writes BMP files of every header, byte by byte.
export interface BmpParts {
  /** Size of the header, which tells the version. Default 40. */
  header?: 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124;
  width: number;
  /** Negative: the first row is the upper one. */
  height: number;
  bits: number;
  compression?: number;
  /** Colours, each red, green and blue. */
  palette?: readonly (readonly number[])[];
  masks?: readonly number[];
  /** Default: the length of the palette. */
  colours?: number;
  /** Default: where the pixels really begin. */
  offset?: number;
  pixels: readonly number[];
}

export function bmp(parts: BmpParts): Buffer {
  const { header = 40, width, height, bits, compression = 0, palette = [], masks = [] } = parts;
  const head = Buffer.alloc(14 + header);
  head.write("BM", "latin1");
  head.writeUInt32LE(header, 14);
  if (header === 12) {
    head.writeUInt16LE(width, 18);
    head.writeUInt16LE(height, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt16LE(bits, 24);
  } else {
    head.writeInt32LE(width, 18);
    head.writeInt32LE(height, 22);
    head.writeUInt16LE(1, 26);
    head.writeUInt16LE(bits, 28);
  }
  if (header >= 40) {
    head.writeUInt32LE(compression, 30);
    head.writeUInt32LE(parts.colours ?? palette.length, 46);
  }
  const inside = header >= 52;
  for (const [i, mask] of masks.entries()) if (inside) head.writeUInt32LE(mask, 54 + 4 * i);
  const behind = inside
    ? []
    : masks.flatMap((mask) => [0, 8, 16, 24].map((by) => (mask >>> by) & 255));
  const table = palette.flatMap(([red, green, blue]) => [
    ...[blue!, green!, red!],
    ...(header === 12 ? [] : [0]),
  ]);
  const before = Buffer.concat([head, Buffer.from([...behind, ...table])]);
  before.writeUInt32LE(parts.offset ?? before.length, 10);
  return Buffer.concat([before, Buffer.from(parts.pixels)]);
}
