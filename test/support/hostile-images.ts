// Builds image files whose decoding would cost far more than their pixels justify.
import { crc32, deflateSync } from "node:zlib";

/** A JPEG's marker segment. */
export const segment = (marker: number, data: Buffer) =>
  Buffer.concat([Buffer.of(0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255), data]);

/** The offsets of a JPEG's scans. Our segments do not contain the bytes of their marker. */
export function scansOf(jpeg: Buffer): number[] {
  const scans: number[] = [];
  const marker = Buffer.of(0xff, 0xda);
  for (let at = jpeg.indexOf(marker); at >= 0; at = jpeg.indexOf(marker, at + 1)) scans.push(at);
  return scans;
}

/** Writes another size into the frame header of a JPEG. */
export function resizeJpeg(jpeg: Buffer, width: number, height: number): Buffer {
  const sized = Buffer.from(jpeg);
  const frame = [0xc0, 0xc2].map((marker) => jpeg.indexOf(Buffer.of(0xff, marker)));
  const at = Math.max(...frame);
  sized.writeUInt16BE(height, at + 5);
  sized.writeUInt16BE(width, at + 7);
  return sized;
}

/** Repeats a scan of a progressive JPEG `count` more times. A scan without refinement may follow itself. */
export function repeatScan(jpeg: Buffer, count: number): Buffer {
  const scans = scansOf(jpeg);
  const whole = scans.findIndex((at) => jpeg[at + 4] === 1 && jpeg[at + 9] === 0);
  const [from, to] = [scans[whole]!, scans[whole + 1] ?? jpeg.length - 2];
  const scan = jpeg.subarray(from, to);
  return Buffer.concat([jpeg.subarray(0, to), ...Array(count).fill(scan), jpeg.subarray(to)]);
}

export function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const chunk = Buffer.alloc(8 + body.length);
  chunk.writeUInt32BE(data.length);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), 4 + body.length);
  return chunk;
}

/** An RGB PNG of zeros, or one without pixel data. */
export function blackPng(width: number, height: number, pixels?: "no pixels"): Buffer {
  const head = Buffer.concat([numbers(4, width, height), numbers(1, 8, 2, 0, 0, 0)]);
  const size = pixels === undefined ? (3 * width + 1) * height : 0;
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    pngChunk("IHDR", head),
    pngChunk("IDAT", deflateSync(Buffer.alloc(size))),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

export function riffChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(8 + data.length + (data.length & 1));
  chunk.write(type, "latin1");
  chunk.writeUInt32LE(data.length, 4);
  data.copy(chunk, 8);
  return chunk;
}

/** Big-endian numbers of `size` bytes each. */
export const numbers = (size: 1 | 2 | 4, ...values: number[]) => {
  const bytes = Buffer.alloc(size * values.length);
  for (const [index, value] of values.entries()) bytes.writeUIntBE(value, index * size, size);
  return bytes;
};
export const box = (type: string, ...parts: Buffer[]) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([numbers(4, 8 + body.length), Buffer.from(type, "latin1"), body]);
};
export const fullBox = (type: string, version: number, ...parts: Buffer[]) =>
  box(type, numbers(4, version << 24), ...parts);

/** An AVIF grid of columns × columns tiles. Each is the coded image of `tile`, `side` pixels wide and high. */
export function avifGrid(tile: Buffer, side: number, columns: number, width: number): Buffer {
  const find = (type: string) => {
    const at = tile.indexOf(type) - 4;
    return tile.subarray(at, at + tile.readUInt32BE(at));
  };
  const coded = find("mdat").subarray(8);
  const count = columns * columns;
  const tiles = Array.from({ length: count }, (_, index) => index + 2);
  const grid = Buffer.concat([
    numbers(1, 0, 1, columns - 1, columns - 1),
    numbers(4, width, width),
  ]);
  const item = (id: number, type: string) =>
    fullBox("infe", 2, numbers(2, id, 0), Buffer.from(`${type}\0`));
  const place = (id: number, at: number, length: number) =>
    Buffer.concat([numbers(2, id, 0, 1), numbers(4, at, length)]);
  const size = (pixels: number) => fullBox("ispe", 0, numbers(4, pixels, pixels));
  const fileAt = (at: number) => {
    const meta = fullBox(
      "meta",
      0,
      fullBox("hdlr", 0, numbers(4, 0), Buffer.from("pict"), Buffer.alloc(13)),
      fullBox("pitm", 0, numbers(2, 1)),
      fullBox(
        "iloc",
        0,
        numbers(1, 0x44, 0),
        numbers(2, count + 1),
        place(1, at + coded.length, grid.length),
        ...tiles.map((id) => place(id, at, coded.length)),
      ),
      fullBox(
        "iinf",
        0,
        numbers(2, count + 1),
        item(1, "grid"),
        ...tiles.map((id) => item(id, "av01")),
      ),
      fullBox("iref", 0, box("dimg", numbers(2, 1, count, ...tiles))),
      box(
        "iprp",
        box("ipco", size(width), size(side), find("av1C"), find("pixi")),
        fullBox(
          "ipma",
          0,
          numbers(4, count + 1),
          numbers(2, 1),
          numbers(1, 2, 1, 4),
          ...tiles.map((id) => Buffer.concat([numbers(2, id), numbers(1, 3, 2, 0x83, 4)])),
        ),
      ),
    );
    return Buffer.concat([tile.subarray(0, tile.readUInt32BE(0)), meta, box("mdat", coded, grid)]);
  };
  return fileAt(fileAt(0).length - coded.length - grid.length);
}
