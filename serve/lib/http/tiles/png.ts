// Writes 8-bit grey pixels as a PNG. The level 0 is transparent.
import { promisify } from "node:util";
import { crc32, deflate } from "node:zlib";

/** 8-bit levels (height, width). */
export interface GreyImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

const deflated = promisify(deflate);
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Returns the bytes of a PNG file. */
export async function encodePng({ width, height, data }: GreyImage): Promise<Uint8Array> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits, grey, deflate, adaptive filters, not interlaced.
  header.set([8, 0, 0, 0, 0], 8);
  const rows = Buffer.alloc(height * (width + 1));
  // Each row begins with its filter; 0 is none.
  for (let y = 0; y < height; y++)
    rows.set(data.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = await deflated(rows, { level: 4 });
  const transparent = Buffer.from([0, 0]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("tRNS", transparent),
    chunk("IDAT", packed),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Length, name, bytes, and the checksum of name and bytes. */
function chunk(name: string, bytes: Uint8Array): Buffer {
  const all = Buffer.alloc(bytes.length + 12);
  all.writeUInt32BE(bytes.length, 0);
  all.write(name, 4, "latin1");
  all.set(bytes, 8);
  all.writeUInt32BE(crc32(all.subarray(4, bytes.length + 8)), bytes.length + 8);
  return all;
}
