// Images that cost far more than their pixels justify are refused before a decoder sees them, or read without the costly parts.
import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it, vi } from "vitest";
import { cropWindow } from "../../lib/image/crop.ts";
import { openImage } from "../../lib/image/decode.ts";
import { reasonOfDecoder } from "../../lib/image/errors.ts";
import { type DecodedFormat, formatOf } from "../../lib/image/format.ts";
import { maxSide } from "../../lib/image/pixels.ts";
import { firstImageOf } from "../../lib/image/structure.ts";
import { preprocess } from "../../lib/index.ts";
import {
  blackPng,
  pngChunk,
  repeatScan,
  resizeJpeg,
  riffChunk,
  scansOf,
  segment,
} from "../support/hostile-images.ts";
import {
  expectCode,
  expectSame,
  golden,
  goldens,
  pixelsOf,
  plain,
  raw,
  tiff,
} from "../support/images.ts";

/** Returns the bytes that the decoder gets. */
const cut = (bytes: Uint8Array) => {
  const own = Uint8Array.from(bytes);
  return firstImageOf(own, formatOf(own) as DecodedFormat, "test").image;
};
/** Expects that the decoder gets few bytes, and that they decode to the pixels of `same`. */
async function expectCut(bytes: Buffer, maxBytes: number, same: Uint8Array) {
  expect(cut(bytes).length).toBeLessThanOrEqual(maxBytes);
  const [received, expected] = [await pixelsOf(Uint8Array.from(bytes)), await pixelsOf(same)];
  expect([received.width, received.height]).toEqual([expected.width, expected.height]);
  expectSame(received.data, expected.data);
}

describe("ordinary files", () => {
  it.each(goldens.filter((name) => /jpg|avif|tiff?$/.test(name)))(
    "reach the decoder unchanged: %s",
    (name) => {
      expect(cut(golden(name)).equals(golden(name))).toBe(true);
    },
  );
});

describe("an image of extreme shape", () => {
  it("may have sides of at most 65535 pixels", async () => {
    for (const [width, height] of [
      [1, 65_536],
      [65_536, 1],
      [1, 8_000_000],
      [8_388_608, 1],
    ] as const) {
      const bytes = blackPng(width, height);
      await expectCode(
        preprocess(bytes),
        "IMAGE_LIMIT",
        `a buffer of ${bytes.length} bytes: Expected sides of at most 65535 pixels but it has ${width} × ${height}`,
      );
    }
    const large = blackPng(65_536, 3000, "no pixels");
    await expectCode(preprocess(large), "IMAGE_TOO_LARGE", "at most 178956970 pixels");
    const tall = tiff(8, 1, Uint8Array.of(7, 9));
    // ImageLength and RowsPerStrip.
    for (const at of [30, 102]) tall.writeUInt32LE(8_000_000, at);
    await expectCode(preprocess(tall), "IMAGE_LIMIT", "it has 2 × 8000000");
  });

  it("is resized to any size within these bounds", async () => {
    for (const [width, height] of [
      [1, maxSide],
      [maxSide, 1],
    ] as const) {
      const bytes = blackPng(width, height);
      const { shape } = await preprocess(bytes, { resize: 16_384, crop: 1 });
      expect(shape).toEqual([1, 3, 1, 1]);
      for (const resize of [1, 16_384]) {
        for (const crop of [1, resize]) {
          const window = cropWindow({ width, height }, { resize, crop });
          for (const value of Object.values(window)) {
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThan(2 ** 31);
          }
        }
      }
    }
  });

  it("counts the rows that a decoder holds", async () => {
    const { peakBytes } = await openImage(blackPng(maxSide, 100), "test", 1e8);
    // Measured as 40 MiB.
    expect(peakBytes).toBeGreaterThan(40 * 2 ** 20);
  });
});

describe("a decoder's lack of memory or threads", () => {
  it.each([
    "glib: Error creating thread: Resource temporarily unavailable",
    "vips_image_write_to_memory: out of memory -- size == 102MB",
    "Input buffer has corrupt header: vips_tracked: out of memory -- size == 137MB",
    "VipsJpeg: Insufficient memory (case 4)",
    "heif: Invalid input: Unspecified: Memory allocation error (2.0)",
    "std::bad_alloc",
  ])("is not blamed on the image: %s", (line) => {
    const message = `source: bad seek to 1024\n${line}\n`;
    expect(reasonOfDecoder(message, "PNG")).toEqual({ code: "OUT_OF_MEMORY", reason: line });
  });

  it("is reported with its own code", async () => {
    const message = "glib: Error creating thread: Resource temporarily unavailable";
    const decoder = Object.getPrototypeOf(sharp());
    for (const method of ["metadata", "toBuffer"]) {
      const spy = vi.spyOn(decoder, method).mockRejectedValueOnce(new Error(message));
      await expectCode(
        preprocess(golden("small.png")),
        "OUT_OF_MEMORY",
        `the PNG image needs more memory or threads (libvips: ${message})`,
      );
      spy.mockRestore();
    }
  });

  it.each([
    "source: bad seek to 1024",
    'Out of memory reading of "StripOffsets"; tag ignored',
    "heif: Memory allocation error: Security limit exceeded",
  ])("is not reported for what a file demands: %s", (line) => {
    const message = `${line}:\nvips: read error\n`;
    expect(reasonOfDecoder(message, "TIFF")).toEqual({
      code: "IMAGE_CORRUPT",
      reason: line.startsWith("heif") ? "vips: read error" : line,
    });
  });
});

describe("a decoder's reason", () => {
  it.each([
    ["VipsJpeg: premature end", "PNG", undefined],
    [
      "VipsJpeg: premature end\npngload_buffer: libspng read error",
      "PNG",
      "pngload_buffer: libspng read error",
    ],
    ["VipsJpeg: premature end", "JPEG", "VipsJpeg: premature end"],
    ["Unknown error", "PNG", undefined],
    ["source: read error", "WebP", "source: read error"],
  ] as const)("%j, for %s, is told if it can be about the image", (message, format, reason) => {
    expect(reasonOfDecoder(message, format)).toEqual({ code: "IMAGE_CORRUPT", reason });
  });
});

describe("a JPEG", async () => {
  const progressive = await plain(64, 48)
    .jpeg({ progressive: true, optimizeScans: true })
    .toBuffer();
  const sequential = await plain(64, 48).jpeg().toBuffer();

  it("may pass over its coefficients only as often as its size allows", async () => {
    // A 64 × 48 image costs little either way, and PIL reads it.
    const { width, data } = await pixelsOf(repeatScan(progressive, 300));
    expect(width).toBe(64);
    expectSame(data, (await pixelsOf(progressive)).data);
    const large = resizeJpeg(progressive, 6000, 6000);
    expect(cut(large).length).toBe(large.length);
    await expectCode(
      preprocess(repeatScan(large, 60)),
      "IMAGE_LIMIT",
      "Expected at most 54 passes over the components of a JPEG of 36000000 pixels but it has more",
    );
  });

  it("may scan each component once if it is sequential", async () => {
    const at = scansOf(sequential)[0]!;
    const scan = Buffer.concat([segment(0xda, Buffer.of(1, 1, 0, 0, 63, 0)), Buffer.alloc(8)]);
    const many = [sequential.subarray(0, at), ...Array(20).fill(scan), sequential.subarray(-2)];
    await expectCode(preprocess(Buffer.concat(many)), "IMAGE_LIMIT", "at most 16 passes");
    // If the first scan has all components, it is the only one that counts.
    many[0] = sequential.subarray(0, -2);
    expect(cut(Buffer.concat(many)).length).toBeGreaterThan(0);
    many.splice(0, 1, sequential.subarray(0, at), scan, sequential.subarray(at, -2));
    await expectCode(preprocess(Buffer.concat(many)), "IMAGE_LIMIT", "at most 16 passes");
  });

  it("cannot hide scans behind a marker without a segment", async () => {
    const large = repeatScan(resizeJpeg(progressive, 6000, 6000), 60);
    const at = scansOf(large)[1]!;
    const hidden = Buffer.concat([large.subarray(0, at), Buffer.of(0xff, 1), large.subarray(at)]);
    await expectCode(preprocess(hidden), "IMAGE_LIMIT", "at most 54 passes");
  });

  it("may have at most 8 bytes of scans a pixel, and 65536 segments", async () => {
    const at = scansOf(progressive)[1]!;
    const data = Buffer.alloc(1_100_000, 1);
    const long = Buffer.concat([progressive.subarray(0, at), data, progressive.subarray(at)]);
    await expectCode(preprocess(long), "IMAGE_LIMIT", "at most 1073152 bytes of JPEG scans");
    for (const byte of [Buffer.of(1), Buffer.of(0xff, 0), Buffer.of(0xff)]) {
      const last = Buffer.concat([progressive.subarray(0, -2), Buffer.alloc(1_100_000, byte)]);
      for (const end of [Buffer.of(0xff, 0xd9), Buffer.alloc(0)]) {
        const whole = Buffer.concat([last, end]);
        await expectCode(preprocess(whole), "IMAGE_LIMIT", "at most 1073152 bytes of JPEG scans");
      }
    }
    const comments = Array(70_000).fill(segment(0xfe, Buffer.alloc(0)));
    const many = Buffer.concat([sequential.subarray(0, 2), ...comments, sequential.subarray(2)]);
    await expectCode(preprocess(many), "IMAGE_LIMIT", "at most 65536 JPEG segments");
  });
});

describe("a PNG", async () => {
  const png = await plain(64, 48).png().toBuffer();
  const headEnd = 33;
  const insert = (...chunks: Buffer[]) =>
    Buffer.concat([png.subarray(0, headEnd), ...chunks, png.subarray(headEnd)]);

  it("reaches the decoder without texts, profiles or unknown chunks", async () => {
    const letters = deflateSync(Buffer.alloc(7_900_000, 65));
    const text = pngChunk("zTXt", Buffer.concat([Buffer.from("k\0\0", "latin1"), letters]));
    const profile = pngChunk("iCCP", Buffer.concat([Buffer.from("k\0\0", "latin1"), letters]));
    const unknown = pngChunk("teSt", Buffer.alloc(0));
    await expectCut(
      insert(...Array(40).fill(text), profile, ...Array(2000).fill(unknown)),
      png.length,
      png,
    );
  });

  it("keeps its transparency, its orientation and its damage", async () => {
    const turned = await raw(2, 3, 1, [1, 2, 3, 4, 5, 6]).withMetadata({ orientation: 6 });
    const bytes = await turned.png().toBuffer();
    expect((await sharp(cut(bytes)).metadata()).orientation).toBe(6);
    const clear = await raw(2, 1, 4, [9, 9, 9, 0, 8, 8, 8, 255]).png({ palette: true }).toBuffer();
    expect((await sharp(cut(clear)).metadata()).hasAlpha).toBe(true);
    await expectCode(
      preprocess(insert().subarray(0, -20)),
      "IMAGE_CORRUPT",
      "the PNG image is cut off or damaged",
    );
  });

  it("may not scatter its data chunks among others", async () => {
    const [text, empty] = ["tEXt", "IDAT"].map((type) => pngChunk(type, Buffer.from("a\0b")));
    const mixed = Array.from({ length: 2002 }, (_, index) => (index % 2 ? text! : empty!));
    await expectCode(preprocess(insert(...mixed)), "IMAGE_LIMIT", "at most 1000 runs");
  });
});

describe("an animation or a file of many pages", () => {
  it("reaches the decoder as a GIF of one frame", async () => {
    const gif = await plain(16, 16).gif().toBuffer();
    const frame = gif.subarray(gif.indexOf(Buffer.of(0x2c, 0, 0, 0, 0)), -1);
    const many = Buffer.concat([gif.subarray(0, -1), ...Array(5000).fill(frame), Buffer.of(0x3b)]);
    await expectCut(many, gif.length, gif);
    const comments = Array(66_000).fill(Buffer.of(0x21, 0xfe, 1, 65, 0));
    const at = gif.length - 1 - frame.length;
    const late = Buffer.concat([gif.subarray(0, at), ...comments, gif.subarray(at)]);
    await expectCode(preprocess(late), "IMAGE_LIMIT", "at most 65536 blocks");
  });

  it("reaches the decoder as one GIF frame after an extension whose first block is empty", async () => {
    const gif = await plain(16, 16).gif().toBuffer();
    const at = gif.indexOf(Buffer.of(0x2c, 0, 0, 0, 0));
    const extension = Buffer.of(0x21, 1, 0, 2, 65, 65, 0);
    const frames = Array(5000).fill(gif.subarray(at, -1));
    const many = Buffer.concat([gif.subarray(0, at), extension, ...frames, Buffer.of(0x3b)]);
    await expectCut(many, gif.length + extension.length, gif);
  });

  it("reaches the decoder as a WebP of one frame, with its orientation", async () => {
    const still = await plain(16, 16).webp({ lossless: true }).toBuffer();
    const canvas = Buffer.alloc(10);
    canvas[0] = 2;
    canvas.writeUIntLE(15, 4, 3);
    canvas.writeUIntLE(15, 7, 3);
    const place = Buffer.alloc(16);
    canvas.copy(place, 6, 4, 10);
    place.writeUIntLE(100, 12, 3);
    const frame = riffChunk("ANMF", Buffer.concat([place, still.subarray(12)]));
    const parts = [riffChunk("VP8X", canvas), riffChunk("ANIM", Buffer.alloc(6))];
    const file = (...chunks: Buffer[]) =>
      riffChunk("RIFF", Buffer.concat([Buffer.from("WEBP"), ...parts, ...chunks]));
    await expectCut(file(...Array(5000).fill(frame)), file(frame).length, still);

    const bytes = await plain(2, 3)
      .withMetadata({ orientation: 6, icc: "p3" })
      .webp({ lossless: true })
      .toBuffer();
    const { width, height, orientation } = await pixelsOf(bytes);
    expect([width, height, orientation]).toEqual([3, 2, 6]);
  });

  it("reaches the decoder as a TIFF of one page", async () => {
    const page = (value: number) => plain(8, 8, { r: value, g: 0, b: 0 }).png().toBuffer();
    for (const bigtiff of [false, true]) {
      const pages = await sharp([await page(255), await page(9), await page(0)], {
        join: { animated: true },
      })
        .tiff({ compression: "none", bigtiff })
        .toBuffer();
      expect((await sharp(pages).metadata()).pages).toBe(3);
      expect((await sharp(cut(pages)).metadata()).pages ?? 1).toBe(1);
      const { height, data } = await pixelsOf(Uint8Array.from(pages));
      expect([height, data[0]]).toEqual([8, 255]);
    }
    const one = tiff(8, 1, Uint8Array.of(7, 9));
    expect(cut(one).equals(one)).toBe(true);
  });
});
