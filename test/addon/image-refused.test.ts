// Files that are no images, images of unsupported kinds and damaged images: a class and a code for each.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { preprocess } from "../../lib/index.ts";

import {
  drawing,
  expectCode,
  folder,
  golden,
  goldens,
  photo,
  plain,
  scratch,
  tiff,
} from "../support/images.ts";

describe("a TIFF of a kind that is not supported", () => {
  const changed = (tag: number, value: number) => {
    const bytes = tiff(8, 1, new Uint8Array(2), [tag]);
    for (let at = 10; at < 10 + 11 * 12; at += 12)
      if (bytes.readUInt16LE(at) === tag) bytes.writeUInt32LE(value, at + 8);
    return bytes;
  };
  it.each<[string, Uint8Array]>([
    ["old-style JPEG compression", changed(259, 6)],
    ["LZMA compression", changed(259, 34_925)],
    ["compression 12345", changed(259, 12_345)],
    ["CIELab colours", changed(262, 8)],
    ["samples of 12 bits", tiff(12, 1, new Uint8Array(3))],
  ])("is not called damaged: %s", async (reason, bytes) => {
    await expectCode(preprocess(bytes), "IMAGE_FORMAT", `it has ${reason}`);
  });
});

describe("what is not an image", () => {
  const damaged = Buffer.from(drawing);
  damaged[50_000]! ^= 1;
  const huge = Buffer.from(photo);
  const frame = huge.indexOf(Buffer.of(0xff, 0xc0));
  huge.writeUInt16BE(65500, frame + 5);
  huge.writeUInt16BE(65500, frame + 7);
  const hugePng = Buffer.from(drawing);
  hugePng.writeUInt32BE(65500, 16);
  hugePng.writeUInt32BE(65500, 20);
  const noWidth = Buffer.from(drawing);
  noWidth.writeUInt32BE(0, 16);
  const box = (brands: string) => Buffer.from(`\0\0\0\x18ftyp${brands}`.padEnd(64, "\0"), "latin1");

  it.each<[string, Uint8Array, string, RegExp]>([
    ["nothing", new Uint8Array(), "IMAGE_FORMAT", /^a buffer of 0 bytes: .* but it is empty$/],
    [
      "text",
      Buffer.from("not an image"),
      "IMAGE_FORMAT",
      /it is text, which begins with "not an image"$/,
    ],
    ["SVG", Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), "IMAGE_FORMAT", /SVG/],
    ["SVG after white space", Buffer.from("\n<?xml version='1.0'?><svg/>"), "IMAGE_FORMAT", /SVG/],
    ["PDF", Buffer.from("%PDF-1.7\n%\xe2\xe3"), "IMAGE_FORMAT", /PDF/],
    ["HEIC", box("heic\0\0\0\0mif1heic"), "IMAGE_FORMAT", /HEIC/],
    ["HEIC that is also mif1", box("mif1\0\0\0\0avifheic"), "IMAGE_FORMAT", /HEIC/],
    ["JPEG XL", box("").fill("\0\0\0\x0cJXL \r\n", 0, 10, "latin1"), "IMAGE_FORMAT", /JPEG XL/],
    ["BMP", Buffer.from("BM\0\0\0\0"), "IMAGE_FORMAT", /BMP image of an unknown kind/],
    ["a Git LFS pointer", Buffer.from("version https://git-lfs.x"), "IMAGE_FORMAT", /Git LFS/],
    ["zeros", new Uint8Array(64), "IMAGE_FORMAT", /begins with zeros/],
    [
      "two bytes of a JPEG",
      photo.subarray(0, 2),
      "IMAGE_FORMAT",
      /begins with the bytes ff d8 \(hexadecimal\)$/,
    ],
    [
      "a RIFF file that is not WebP",
      Buffer.from("RIFF\0\0\0\0WAVEfmt "),
      "IMAGE_FORMAT",
      /it is a video or a sound \(RIFF\)$/,
    ],
    ["TIFF of float32", tiff(32, 3, new Uint8Array(8)), "IMAGE_FORMAT", /samples are float/],
    ["32-bit TIFF", tiff(32, 1, new Uint8Array(8)), "IMAGE_FORMAT", /samples are uint/],
    [
      "ten bytes of a JPEG",
      photo.subarray(0, 10),
      "IMAGE_CORRUPT",
      /the JPEG image is cut off or damaged/,
    ],
    ["half a JPEG", photo.subarray(0, photo.length >> 1), "IMAGE_CORRUPT", /premature end/],
    ["a JPEG without its end", photo.subarray(0, -2), "IMAGE_CORRUPT", /premature end/],
    [
      "twenty bytes of a PNG",
      drawing.subarray(0, 20),
      "IMAGE_CORRUPT",
      /the PNG image is cut off or damaged/,
    ],
    [
      "half a PNG",
      drawing.subarray(0, drawing.length >> 1),
      "IMAGE_CORRUPT",
      /the PNG image is cut off or damaged/,
    ],
    [
      "a PNG with a wrong checksum",
      damaged,
      "IMAGE_CORRUPT",
      /the PNG image is cut off or damaged/,
    ],
    ["a PNG of zero width", noWidth, "IMAGE_CORRUPT", /the PNG image is cut off or damaged/],
    [
      "half a GIF",
      golden("palette.gif").subarray(0, 9000),
      "IMAGE_CORRUPT",
      /the GIF image is cut off or damaged/,
    ],
    [
      "half a WebP",
      golden("photo.webp").subarray(0, 9000),
      "IMAGE_CORRUPT",
      /the WebP image is cut off or damaged/,
    ],
    [
      "half a TIFF",
      tiff(8, 1, new Uint8Array(2)).subarray(0, 60),
      "IMAGE_CORRUPT",
      /the TIFF image is cut off or damaged/,
    ],
    [
      "an empty AVIF",
      box("avif\0\0\0\0mif1avif"),
      "IMAGE_CORRUPT",
      /the AVIF image is cut off or damaged/,
    ],
    ["a JPEG that claims 65500²", huge, "IMAGE_TOO_LARGE", /65500 × 65500/],
    ["a PNG that claims 65500²", hugePng, "IMAGE_TOO_LARGE", /65500 × 65500/],
  ])("refuses %s", async (_, bytes, code, message) => {
    await expectCode(preprocess(bytes), code, message);
  });

  it("refuses half an AVIF", async () => {
    const bytes = await plain(64, 48).avif().toBuffer();
    await expectCode(
      preprocess(bytes.subarray(0, -20)),
      "IMAGE_CORRUPT",
      /the AVIF image is cut off or damaged/,
    );
  });

  it("recognises the format by the bytes, not by the name", async () => {
    const svg = join(scratch, "image.png");
    writeFileSync(svg, "<svg/>");
    await expectCode(preprocess(svg), "IMAGE_FORMAT", svg);
    for (const name of ["image.svg", "image.jfif", "image.jpe", "image"]) {
      const png = join(scratch, name);
      writeFileSync(png, drawing);
      expect((await preprocess(png)).size).toBe(3 * 224 * 224);
    }
  });

  it("refuses what exceeds maxPixels or maxBytes, and accepts what equals them", async () => {
    const maxPixels = 500 * 375;
    expect((await preprocess(drawing, { maxPixels })).size).toBe(150_528);
    await expectCode(
      preprocess(drawing, { maxPixels: maxPixels - 1 }),
      "IMAGE_TOO_LARGE",
      "Expected at most 187499 pixels but it has 500 × 375",
    );
    const path = join(folder, "landscape.png");
    for (const source of [drawing, path, pathToFileURL(path)]) {
      expect((await preprocess(source, { maxBytes: drawing.length })).size).toBe(150_528);
      await expectCode(preprocess(source, { maxBytes: drawing.length - 1 }), "IMAGE_TOO_LARGE");
    }
  });

  it("survives random changes of bytes", async () => {
    let random = 1;
    const next = (below: number) => {
      random = (random * 1664525 + 1013904223) >>> 0;
      return random % below;
    };
    for (const name of goldens) {
      for (let round = 0; round < 8; ++round) {
        const bytes = Buffer.from(golden(name).subarray(0, 4096 + next(40_000)));
        for (let i = 0; i < 12; ++i) bytes[next(i < 6 ? 256 : bytes.length)] = next(256);
        await preprocess(bytes).catch((error) => {
          expect(error.code).toMatch(/^IMAGE_(FORMAT|CORRUPT|TOO_LARGE|LIMIT)$/);
        });
      }
    }
    expect((await preprocess(drawing)).size).toBe(150_528);
  });
});
