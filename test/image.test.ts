// Images: decoded as PIL does, resized and normalised as torchvision does, and refused with a class and a code.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  createReadStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { fileURLToPath, pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decode } from "../lib/image/decode.ts";
import { cropPixels, imageNetMean, imageNetStd } from "../lib/image/preprocess.ts";
import { type ImageSource, preprocess, type TensorData, VggError } from "../lib/index.ts";
import { native } from "../lib/native.ts";

const folder = fileURLToPath(new URL("golden/images/", import.meta.url));
const goldens = readdirSync(folder).filter((file) => /^[^.]+\.[a-z]+$/.test(file));
const golden = (name: string) => readFileSync(join(folder, name));
const photo = golden("portrait.jpg");
const drawing = golden("landscape.png");
const pixelsOf = (bytes: Uint8Array) => decode(bytes, "test", 1e8);

const scratch = mkdtempSync(join(tmpdir(), "vgg-image-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Pixels (height, width, channels) as an image that sharp can write. */
const raw = (width: number, height: number, channels: 1 | 2 | 3 | 4, data: number[]) =>
  sharp(Uint8Array.from(data), { raw: { width, height, channels } });
const plain = (width: number, height: number, colour = { r: 200, g: 100, b: 50 }) =>
  sharp({ create: { width, height, channels: 3, background: colour } });

/** A TIFF of 2 × 1 grey samples, and perhaps tags that nobody knows. */
function tiff(bits: number, sampleFormat: number, samples: Uint8Array, extra: number[] = []) {
  const long = 4;
  const tags = [
    [256, 2],
    [257, 1],
    [258, bits],
    [259, 1],
    [262, 1],
    [273, 0],
    [277, 1],
    [278, 1],
    [279, samples.byteLength],
    [339, sampleFormat],
    ...extra.map((tag) => [tag, 5]),
  ] as [number, number][];
  const head = Buffer.alloc(10 + tags.length * 12 + 4);
  head.write("II*\0\x08", "latin1");
  head.writeUInt16LE(tags.length, 8);
  for (const [i, [tag, value]] of tags.entries()) {
    const at = 10 + i * 12;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(long, at + 2);
    head.writeUInt32LE(1, at + 4);
    head.writeUInt32LE(tag === 273 ? head.length : value, at + 8);
  }
  return Buffer.concat([head, samples]);
}

/** toEqual takes a second for so many numbers. */
function expectSame(received: TensorData, expected: TensorData) {
  const bytes = (data: TensorData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  expect(received.length).toBe(expected.length);
  expect(bytes(received).equals(bytes(expected))).toBe(true);
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => null,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

async function expectCode(promise: Promise<unknown>, code: string, message: RegExp | string = "") {
  const error = await failure(promise);
  expect(error).toBeInstanceOf(VggError);
  expect((error as VggError).code, error.message).toBe(code);
  expect(error.message).toMatch(message);
}

describe("preprocess, against torchvision", () => {
  // Lossless formats must agree to the bit; decoders of the others may round in another way.
  it.each(goldens)("makes torchvision's crop of %s", async (name) => {
    const expected = (await pixelsOf(golden(`${name}.crop.png`))).data;
    const received = await cropPixels(join(folder, name));
    expect(received.length).toBe(expected.length);
    const difference = expected.reduce((sum, value, i) => sum + Math.abs(value - received[i]!), 0);
    expect(difference / expected.length).toBeLessThanOrEqual(/png|gif/.test(name) ? 0 : 0.5);
  });

  it.each(goldens)("makes torchvision's tensor of %s", async (name) => {
    const expected = JSON.parse(golden(`${name}.json`).toString());
    const { width, height } = await pixelsOf(golden(name));
    expect([width, height]).toEqual([expected.width, expected.height]);
    const tensor = await preprocess(join(folder, name));
    expect(tensor.shape).toEqual([1, ...expected.shape]);
    expect(tensor.dtype).toBe("float32");
    const tolerance = /png|gif/.test(name) ? 0 : 3 / 255 / 0.224;
    for (const [i, at] of expected.at.entries()) {
      const difference = Math.abs((tensor.data[at] as number) - expected.values[i]);
      expect(difference).toBeLessThanOrEqual(tolerance);
    }
    const area = 224 * 224;
    for (const channel of [0, 1, 2]) {
      const values = tensor.data.subarray(channel * area, (channel + 1) * area) as Float32Array;
      const mean = values.reduce((sum, value) => sum + value, 0) / area;
      expect(Math.abs(mean - expected.mean[channel])).toBeLessThan(1e-3);
    }
  });

  it("makes a batch of an array, in its order", async () => {
    const names = ["small.png", "gray.png", "alpha.png", "landscape.png", "small.png", "gray.png"];
    const batch = await preprocess(names.map((name) => join(folder, name)));
    expect(batch.shape).toEqual([6, 3, 224, 224]);
    const size = 3 * 224 * 224;
    for (const [i, name] of names.entries()) {
      const one = await preprocess(golden(name));
      expectSame(batch.data.slice(i * size, (i + 1) * size), one.data);
    }
  });

  it("takes other sizes, means and deviations", async () => {
    const crop = await cropPixels(drawing, { resizeSize: 64, cropSize: 33 });
    const tensor = await preprocess(drawing, {
      resizeSize: 64,
      cropSize: 33,
      mean: [0, 0.5, 0],
      std: [1, 1, 2],
    });
    expect(tensor.shape).toEqual([1, 3, 33, 33]);
    const area = 33 * 33;
    for (const i of [0, 7, area - 1]) {
      expect(tensor.data[i]).toBeCloseTo(crop[3 * i]! / 255, 6);
      expect(tensor.data[area + i]).toBeCloseTo(crop[3 * i + 1]! / 255 - 0.5, 6);
      expect(tensor.data[2 * area + i]).toBeCloseTo(crop[3 * i + 2]! / 255 / 2, 6);
    }
    expect((await preprocess(drawing, { resizeSize: 64 })).shape).toEqual([1, 3, 64, 64]);
    expect(imageNetMean).toEqual([0.485, 0.456, 0.406]);
    expect(imageNetStd).toEqual([0.229, 0.224, 0.225]);
  });

  it.each([
    [1, 1],
    [1, 3000],
    [3000, 1],
    [2, 3],
    [257, 256],
    [256, 259],
  ])("crops %i × %i", async (width, height) => {
    const crop = await cropPixels(await plain(width, height).png().toBuffer());
    expect(crop.length).toBe(224 * 224 * 3);
    for (let i = 0; i < crop.length; i += 3)
      if (crop[i] !== 200 || crop[i + 1] !== 100 || crop[i + 2] !== 50)
        throw new Error(`pixel ${i / 3} is ${crop.slice(i, i + 3)}`);
  });

  it("cuts at Python's round(): a half goes to the even neighbour", async () => {
    // Column x has the grey x. Of 257 columns 33 / 2 = 16.5 go before the crop: 16; of 259, 17.5: 18.
    for (const [width, first] of [
      [257, 16],
      [259, 18],
    ] as const) {
      const grey = Array.from({ length: width * 256 }, (_, i) => Math.min(i % width, 255));
      const crop = await cropPixels(await raw(width, 256, 1, grey).png().toBuffer());
      expect(crop[0]).toBe(first);
    }
  });
});

describe("the addon's resizeCrop", () => {
  /** Output samples of one row: the triangle filter without fixed point. */
  function resizeAxis(row: number[], size: number): number[] {
    const scale = row.length / size;
    const support = Math.max(scale, 1);
    return Array.from({ length: size }, (_, i) => {
      const centre = (i + 0.5) * scale;
      const weights = row.map((_, k) => Math.max(0, 1 - Math.abs(k + 0.5 - centre) / support));
      const sum = weights.reduce((a, b) => a + b);
      return row.reduce((total, value, k) => total + (value * weights[k]!) / sum, 0);
    });
  }
  const transpose = (rows: number[][]) => rows[0]!.map((_, x) => rows.map((row) => row[x]!));

  it.each([
    [1, 1, 3, 2],
    [5, 7, 5, 7],
    [40, 31, 7, 13],
    [3, 50, 30, 11],
    [97, 61, 256, 161],
    [101, 103, 1, 1],
  ])("resizes %i × %i to %i × %i by the definition", async (width, height, toWidth, toHeight) => {
    const pixels = Uint8Array.from(
      { length: width * height * 3 },
      (_, i) => (i * 2654435761) >>> 24,
    );
    const cropSize = Math.min(toWidth, toHeight);
    const [left, top] = [toWidth - cropSize, toHeight - cropSize];
    const plan = { width, height, resizedWidth: toWidth, resizedHeight: toHeight, left, top };
    const received = new Uint8Array(await native().resizeCrop(pixels, { ...plan, cropSize }));
    for (const channel of [0, 1, 2]) {
      const rows = Array.from({ length: height }, (_, y) =>
        Array.from({ length: width }, (_, x) => pixels[(y * width + x) * 3 + channel]!),
      );
      const narrow = rows.map((row) => resizeAxis(row, toWidth));
      const resized = transpose(transpose(narrow).map((column) => resizeAxis(column, toHeight)));
      for (let y = 0; y < cropSize; ++y) {
        for (let x = 0; x < cropSize; ++x) {
          const expected = resized[top + y]![left + x]!;
          const value = received[(y * cropSize + x) * 3 + channel]!;
          // Each pass rounds.
          if (Math.abs(value - expected) > 1.01)
            throw new Error(`(${x}, ${y}) is ${value}, not ${expected}`);
        }
      }
    }
  });

  it("refuses pixels and windows that do not fit", () => {
    const plan = { width: 2, height: 2, resizedWidth: 4, resizedHeight: 4, left: 0, top: 0 };
    const call = (bytes: number, change: object) => () =>
      native().resizeCrop(new Uint8Array(bytes), { ...plan, cropSize: 4, ...change });
    for (const refused of [
      call(11, {}),
      call(12, { left: 1 }),
      call(12, { top: -1 }),
      call(12, { cropSize: 5 }),
      call(12, { cropSize: 0 }),
      call(12, { width: 0 }),
      call(12, { left: 2 ** 53, cropSize: 2 ** 53 }),
    ]) {
      expect(refused).toThrow("Expected");
    }
  });
});

describe("decoding", () => {
  const colour = [200, 100, 50];
  it.each<[string, () => Promise<Uint8Array>, number]>([
    ["PNG", () => plain(64, 48).png().toBuffer(), 0],
    ["JPEG", () => plain(64, 48).jpeg({ quality: 95 }).toBuffer(), 2],
    ["WebP", () => plain(64, 48).webp({ lossless: true }).toBuffer(), 0],
    ["GIF", () => plain(64, 48).gif().toBuffer(), 0],
    ["TIFF", () => plain(64, 48).tiff({ compression: "lzw" }).toBuffer(), 0],
    ["BigTIFF", () => plain(64, 48).tiff({ bigtiff: true, compression: "none" }).toBuffer(), 0],
    ["AVIF", () => plain(64, 48).avif({ lossless: true }).toBuffer(), 1],
    ["PNG of 16 bits", () => plain(64, 48).toColourspace("rgb16").png().toBuffer(), 0],
    ["CMYK JPEG", () => plain(64, 48).toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer(), 32],
    ["CMYK TIFF", () => plain(64, 48).toColourspace("cmyk").tiff().toBuffer(), 32],
  ])("reads %s", async (_, make, tolerance) => {
    const { width, height, data } = await pixelsOf(await make());
    expect([width, height, data.length]).toEqual([64, 48, 64 * 48 * 3]);
    for (const [channel, value] of colour.entries()) {
      expect(Math.abs(data[channel]! - value)).toBeLessThanOrEqual(tolerance);
    }
  });

  it("drops alpha and leaves the colour below it", async () => {
    const image = raw(2, 1, 4, [9, 50, 70, 0, 8, 9, 10, 128]);
    for (const bytes of [
      await image.clone().png().toBuffer(),
      await image.clone().webp({ lossless: true, exact: true }).toBuffer(),
      await image.clone().tiff({ compression: "none" }).toBuffer(),
    ]) {
      expect([...(await pixelsOf(bytes)).data]).toEqual([9, 50, 70, 8, 9, 10]);
    }
  });

  it("expands grey, grey with alpha, one bit and palettes", async () => {
    const expectPixels = async (bytes: Uint8Array, pixels: number[]) =>
      expect([...(await pixelsOf(bytes)).data]).toEqual(pixels);
    await expectPixels(await raw(2, 1, 1, [3, 200]).png().toBuffer(), [3, 3, 3, 200, 200, 200]);
    await expectPixels(await raw(2, 1, 2, [9, 0, 8, 255]).png().toBuffer(), [9, 9, 9, 8, 8, 8]);
    await expectPixels(
      await raw(2, 1, 1, [0, 255]).toColourspace("b-w").tiff({ bitdepth: 1 }).toBuffer(),
      [0, 0, 0, 255, 255, 255],
    );
    await expectPixels(
      await raw(2, 1, 3, [255, 0, 0, 0, 0, 255]).png({ palette: true }).toBuffer(),
      [255, 0, 0, 0, 0, 255],
    );
  });

  it("keeps the high byte of 16 bits", async () => {
    const samples = new Uint16Array([0x00ff, 0x1234, 0xff00, 0x80ff]);
    const image = sharp(samples, { raw: { width: 4, height: 1, channels: 1 } });
    const { data } = await pixelsOf(await image.toColourspace("grey16").png().toBuffer());
    expect([data[0], data[3], data[6], data[9]]).toEqual([0, 0x12, 0xff, 0x80]);
    const little = Uint8Array.of(0xff, 0x80, 0, 0x90);
    expect([...(await pixelsOf(tiff(16, 1, little))).data]).toEqual([
      0x80, 0x80, 0x80, 0x90, 0x90, 0x90,
    ]);
  });

  it("ignores colour profiles, as PIL does", async () => {
    const bytes = await plain(8, 8).withIccProfile("p3").png().toBuffer();
    expect((await sharp(bytes).metadata()).icc).toBeDefined();
    const stored = await sharp(bytes, { ignoreIcc: true }).raw().toBuffer();
    expect([...(await pixelsOf(bytes)).data.subarray(0, 3)]).toEqual([...stored.subarray(0, 3)]);
  });

  it("takes the first frame of animations and the first page of TIFF", async () => {
    const frame = (value: number) => plain(8, 8, { r: value, g: 0, b: 0 }).png().toBuffer();
    const both = sharp([await frame(255), await frame(0)], { join: { animated: true } });
    for (const bytes of [
      await both.clone().gif().toBuffer(),
      await both.clone().webp({ lossless: true }).toBuffer(),
      await both.clone().tiff({ compression: "none" }).toBuffer(),
    ]) {
      expect((await sharp(bytes).metadata()).pages).toBe(2);
      const { height, data } = await pixelsOf(bytes);
      expect([height, data[0]]).toEqual([8, 255]);
    }
  });

  it.each([
    [1, [1, 2, 3, 4, 5, 6]],
    [2, [2, 1, 4, 3, 6, 5]],
    [3, [6, 5, 4, 3, 2, 1]],
    [4, [5, 6, 3, 4, 1, 2]],
    [5, [1, 3, 5, 2, 4, 6]],
    [6, [5, 3, 1, 6, 4, 2]],
    [7, [6, 4, 2, 5, 3, 1]],
    [8, [2, 4, 6, 1, 3, 5]],
  ])("turns EXIF orientation %i upright", async (orientation, expected) => {
    const image = raw(2, 3, 1, [1, 2, 3, 4, 5, 6]).withMetadata({ orientation });
    const { width, data } = await pixelsOf(await image.png().toBuffer());
    expect(width).toBe(orientation < 5 ? 2 : 3);
    expect([...data].filter((_, i) => i % 3 === 0)).toEqual(expected);
  });

  it("does not mind an unknown tag, or bytes after the end", async () => {
    expect([...(await pixelsOf(tiff(8, 1, Uint8Array.of(7, 9), [65000]))).data]).toEqual([
      7, 7, 7, 9, 9, 9,
    ]);
    for (const bytes of [photo, drawing])
      expect((await pixelsOf(Buffer.concat([bytes, Buffer.from("more")]))).width).toBeGreaterThan(
        1,
      );
  });

  it("leaves the caller's own sharp as it is", async () => {
    await preprocess(drawing);
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"/>');
    expect((await sharp(svg).metadata()).width).toBe(3);
  });
});

describe("what is no image", () => {
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
    ["text", Buffer.from("not an image"), "IMAGE_FORMAT", /it is text$/],
    ["SVG", Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), "IMAGE_FORMAT", /SVG/],
    ["SVG after a blank", Buffer.from("\n<?xml version='1.0'?><svg/>"), "IMAGE_FORMAT", /SVG/],
    ["PDF", Buffer.from("%PDF-1.7\n%\xe2\xe3"), "IMAGE_FORMAT", /PDF/],
    ["HEIC", box("heic\0\0\0\0mif1heic"), "IMAGE_FORMAT", /HEIC/],
    ["HEIC that is also mif1", box("mif1\0\0\0\0avifheic"), "IMAGE_FORMAT", /HEIC/],
    ["JPEG XL", box("").fill("\0\0\0\x0cJXL \r\n", 0, 10, "latin1"), "IMAGE_FORMAT", /JPEG XL/],
    ["BMP", Buffer.from("BM\0\0\0\0"), "IMAGE_FORMAT", /BMP/],
    ["a pointer of Git LFS", Buffer.from("version https://git-lfs.x"), "IMAGE_FORMAT", /Git LFS/],
    ["zeros", new Uint8Array(64), "IMAGE_FORMAT", /begins with 0000000000000000$/],
    ["two bytes of a JPEG", photo.subarray(0, 2), "IMAGE_FORMAT", /begins with ffd8$/],
    ["a RIFF that is no WebP", Buffer.from("RIFF\0\0\0\0WAVEfmt "), "IMAGE_FORMAT", /52494646/],
    ["TIFF of float32", tiff(32, 3, new Uint8Array(8)), "IMAGE_FORMAT", /samples are float/],
    ["TIFF of 32 bits", tiff(32, 1, new Uint8Array(8)), "IMAGE_FORMAT", /samples are uint/],
    ["ten bytes of a JPEG", photo.subarray(0, 10), "IMAGE_CORRUPT", /whole JPEG/],
    ["half a JPEG", photo.subarray(0, photo.length >> 1), "IMAGE_CORRUPT", /premature end/],
    ["a JPEG without its end", photo.subarray(0, -2), "IMAGE_CORRUPT", /premature end/],
    ["twenty bytes of a PNG", drawing.subarray(0, 20), "IMAGE_CORRUPT", /whole PNG/],
    ["half a PNG", drawing.subarray(0, drawing.length >> 1), "IMAGE_CORRUPT", /whole PNG/],
    ["a PNG with a wrong checksum", damaged, "IMAGE_CORRUPT", /whole PNG/],
    ["a PNG of no width", noWidth, "IMAGE_CORRUPT", /whole PNG/],
    ["half a GIF", golden("palette.gif").subarray(0, 9000), "IMAGE_CORRUPT", /whole GIF/],
    ["half a WebP", golden("photo.webp").subarray(0, 9000), "IMAGE_CORRUPT", /whole WebP/],
    ["half a TIFF", tiff(8, 1, new Uint8Array(2)).subarray(0, 60), "IMAGE_CORRUPT", /whole TIFF/],
    ["an AVIF of nothing", box("avif\0\0\0\0mif1avif"), "IMAGE_CORRUPT", /whole AVIF/],
    ["a JPEG that claims 65500²", huge, "IMAGE_TOO_LARGE", /65500 × 65500/],
    ["a PNG that claims 65500²", hugePng, "IMAGE_TOO_LARGE", /65500 × 65500/],
  ])("refuses %s", async (_, bytes, code, message) => {
    await expectCode(preprocess(bytes), code, message);
  });

  it("refuses half an AVIF", async () => {
    const bytes = await plain(64, 48).avif().toBuffer();
    await expectCode(preprocess(bytes.subarray(0, -20)), "IMAGE_CORRUPT", /whole AVIF/);
  });

  it("goes by the bytes and not by the name", async () => {
    const svg = join(scratch, "image.png");
    writeFileSync(svg, "<svg/>");
    await expectCode(preprocess(svg), "IMAGE_FORMAT", svg);
    const png = join(scratch, "image.svg");
    writeFileSync(png, drawing);
    expect((await preprocess(png)).size).toBe(3 * 224 * 224);
  });

  it("keeps to maxPixels and maxBytes, which may be met", async () => {
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

  it("lives on after bytes that were changed at random", async () => {
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
          expect(error.code).toMatch(/^IMAGE_(FORMAT|CORRUPT|TOO_LARGE)$/);
        });
      }
    }
    expect((await preprocess(drawing)).size).toBe(150_528);
  });
});

describe("arguments", () => {
  it.each<[string, unknown, typeof TypeError | typeof RangeError, string]>([
    ["a number", 7, TypeError, "for source but received 7"],
    ["null", null, TypeError, "for source but received null"],
    ["undefined", undefined, TypeError, "for source but received undefined"],
    ["an object", {}, TypeError, "for source but received an object"],
    ["Float32Array", new Float32Array(3), TypeError, "received an instance of Float32Array"],
    ["SharedArrayBuffer", new SharedArrayBuffer(3), TypeError, "for source but received"],
    ["an array of mixed things", [drawing, 7], TypeError, "for source[1] but received 7"],
    ["an array of holes", Array(2), TypeError, "for source[0] but received"],
    ["an array in an array", [[drawing]], TypeError, "for source[0] but received"],
    ["an empty array", [], RangeError, "for source but received []"],
    ["an empty path", "", RangeError, 'Expected a path for source but received ""'],
    ["a path with NUL", "a\0b", RangeError, "Expected a path"],
    ["an unknown scheme", "ftp://host/a.png", RangeError, "http, https, file or data URL"],
    ["a blob URL", new URL("blob:nodedata:x"), RangeError, "http, https, file or data URL"],
    ["a URL that is none", "http://", RangeError, "Expected a valid URL"],
    ["a file URL of another machine", "file://host/a.png", RangeError, "of this machine"],
  ])("refuses %s", async (_, source, type, message) => {
    const error = await failure(preprocess(source as ImageSource));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^Expected .* for .* but received /);
  });

  it.each<[object | null, typeof TypeError | typeof RangeError, string]>([
    [{ resize: 256 }, TypeError, 'for options but received "resize"'],
    [null, TypeError, "for options but received null"],
    [{ resizeSize: "256" }, TypeError, "options.resizeSize"],
    [{ resizeSize: 0 }, RangeError, "options.resizeSize"],
    [{ resizeSize: 1e9 }, RangeError, "options.resizeSize"],
    [{ cropSize: 257 }, RangeError, "from 1 to 256 for options.cropSize"],
    [{ cropSize: 1.5 }, RangeError, "options.cropSize"],
    [{ maxPixels: Number.NaN }, RangeError, "options.maxPixels"],
    [{ maxBytes: -1 }, RangeError, "options.maxBytes"],
    [{ timeoutMs: Number.POSITIVE_INFINITY }, RangeError, "options.timeoutMs"],
    [{ signal: {} }, TypeError, "an AbortSignal for options.signal"],
    [{ mean: 0.5 }, TypeError, "options.mean"],
    [{ mean: ["0", 0, 0] }, TypeError, "options.mean"],
    [{ mean: [0, 0] }, RangeError, "options.mean"],
    [{ std: [1, 0, 1] }, RangeError, "options.std"],
    [{ std: [1, 1, Number.NaN] }, RangeError, "options.std"],
  ])("refuses the options %j", async (options, type, message) => {
    const error = await failure(preprocess(drawing, options as never));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toContain(message);
  });

  it("copies bytes before the call returns", async () => {
    const expected = (await preprocess(drawing)).data;
    const bytes = Uint8Array.from(drawing);
    const transferred = Uint8Array.from(drawing).buffer;
    const shared = new Uint8Array(new SharedArrayBuffer(drawing.length));
    shared.set(drawing);
    const results = [preprocess(bytes), preprocess(transferred), preprocess([shared])];
    bytes.fill(0);
    shared.fill(0);
    structuredClone(transferred, { transfer: [transferred] });
    for (const result of await Promise.all(results)) expectSame(result.data, expected);
    await expectCode(preprocess(transferred), "IMAGE_FORMAT", "it is empty");
  });
});

describe("sources", () => {
  const path = join(folder, "landscape.png");
  const whole = () => preprocess(drawing).then(({ data }) => data);
  const chunks = function* () {
    for (let i = 0; i < drawing.length; i += 10_000) yield drawing.subarray(i, i + 10_000);
  };

  it.each<[string, () => ImageSource]>([
    ["a path", () => path],
    ["a file URL", () => pathToFileURL(path)],
    ["a file URL as a string", () => pathToFileURL(path).href],
    ["a data URL", () => `data:image/png;base64,${drawing.toString("base64")}`],
    ["a Buffer", () => drawing],
    ["a part of a larger buffer", () => Buffer.concat([photo, drawing]).subarray(photo.length)],
    ["an ArrayBuffer", () => Uint8Array.from(drawing).buffer],
    ["a file's stream", () => createReadStream(path)],
    ["a Node stream", () => Readable.from(chunks())],
    ["a web stream", () => ReadableStream.from(chunks())],
    ["a Blob's stream", () => new Blob([drawing]).stream() as ReadableStream],
  ])("reads %s", async (_, make) => {
    expectSame((await preprocess(make())).data, await whole());
    expectSame((await preprocess([make()])).data, await whole());
  });

  it.skipIf(process.platform === "win32")("refuses what is no regular file", async () => {
    const fifo = join(scratch, "fifo");
    expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
    for (const special of [fifo, scratch, "/dev/zero", "/dev/null"]) {
      await expectCode(preprocess(special), "IMAGE_UNREADABLE", `${special}: `);
    }
  });

  it("says that a file is missing, by name", async () => {
    const missing = join(scratch, "missing.jpg");
    await expectCode(preprocess(missing), "IMAGE_UNREADABLE", `${missing}: `);
    await expectCode(preprocess(missing), "IMAGE_UNREADABLE", /ENOENT$/);
    const stream = createReadStream(missing);
    await expectCode(preprocess(stream), "IMAGE_UNREADABLE", /^a stream: .* ENOENT$/);
  });

  it("fails with the first failure of a batch, and unread streams that fail crash nothing", async () => {
    const missing = () => createReadStream(join(scratch, "missing.jpg"));
    const batch = [Buffer.from("text"), ...Array.from({ length: 20 }, missing)];
    await failure(preprocess(batch));
    await new Promise((resolve) => setTimeout(resolve, 50));
  });

  it("refuses streams in use, spent streams and streams of other things", async () => {
    const locked = ReadableStream.from(chunks());
    locked.getReader();
    expect(await failure(preprocess(locked))).toBeInstanceOf(RangeError);
    const spent = createReadStream(path);
    await preprocess(spent);
    expect(await failure(preprocess(spent))).toBeInstanceOf(RangeError);
    for (const stream of [
      Readable.from(["text"]),
      createReadStream(path, "latin1"),
      ReadableStream.from([[1, 2]]),
    ]) {
      const error = await failure(preprocess(stream as Readable));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(
        /^Expected chunks that are Uint8Array for a stream but received/,
      );
    }
  });

  it("stops a stream that has too many bytes, and destroys it", async () => {
    const node = new Readable({ read: () => node.push(Buffer.alloc(1000)) });
    await expectCode(preprocess(node, { maxBytes: 5000 }), "IMAGE_TOO_LARGE", "a stream: ");
    expect(node.destroyed).toBe(true);
    let isCancelled = false;
    const web = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel: () => {
        isCancelled = true;
      },
    });
    await expectCode(preprocess(web, { maxBytes: 5000 }), "IMAGE_TOO_LARGE");
    expect(isCancelled).toBe(true);
  });

  it("says why a stream failed", async () => {
    const node = new Readable({ read: () => node.destroy(new Error("the disk is gone")) });
    await expectCode(preprocess(node), "IMAGE_UNREADABLE", "the disk is gone");
    const web = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    await expectCode(preprocess(web), "IMAGE_UNREADABLE", "gone");
  });

  it("rejects with the signal's reason, before and while it waits, and destroys the stream", async () => {
    const reason = new Error("enough");
    for (const source of [path, drawing, pathToFileURL(path), Readable.from(chunks()), [path]]) {
      expect(await failure(preprocess(source, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    }
    const node = new PassThrough();
    const web = new ReadableStream<Uint8Array>();
    for (const stream of [node, web]) {
      const controller = new AbortController();
      const result = failure(preprocess([path, stream], { signal: controller.signal }));
      setTimeout(() => controller.abort(reason), 20);
      expect(await result).toBe(reason);
    }
    expect(node.destroyed).toBe(true);
    const controller = new AbortController();
    const decoding = failure(preprocess(drawing, { signal: controller.signal }));
    setImmediate(() => controller.abort(reason));
    expect(await decoding).toBe(reason);
    expect((await preprocess(drawing, { signal: new AbortController().signal })).size).toBe(
      150_528,
    );
  });
});

describe("http", () => {
  let server: Server;
  let root: string;
  let answer: RequestListener;
  beforeAll(async () => {
    server = createServer((request, response) => answer(request, response)).listen(0, "127.0.0.1");
    await once(server, "listening");
    root = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it("reads an image, after a redirect too", async () => {
    answer = (request, response) =>
      request.url === "/old"
        ? response.writeHead(302, { location: "/new" }).end()
        : response.end(drawing);
    const expected = (await preprocess(drawing)).data;
    expectSame((await preprocess(`${root}/new`)).data, expected);
    expectSame((await preprocess(new URL(`${root}/old`))).data, expected);
  });

  it("names the URL and the status", async () => {
    for (const status of [404, 500, 304]) {
      answer = (_, response) => response.writeHead(status).end();
      const message = new RegExp(`^${root}/a\\.png: .*received ${status} `);
      await expectCode(preprocess(`${root}/a.png`), "IMAGE_UNREADABLE", message);
    }
  });

  it("refuses a URL with a password, and does not repeat it", async () => {
    const error = await failure(preprocess(root.replace("//", "//me:secret@")));
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).not.toContain("secret");
  });

  it("says that nobody answers, or that the answer broke off", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    other.close();
    await once(other, "close");
    await expectCode(
      preprocess(`http://127.0.0.1:${port}/`),
      "IMAGE_UNREADABLE",
      /received ECONNREFUSED$/,
    );
    answer = (_, response) => {
      response.writeHead(200, { "content-length": drawing.length });
      response.write(drawing.subarray(0, 1000), () => response.destroy());
    };
    await expectCode(preprocess(root), "IMAGE_UNREADABLE");
  });

  it("refuses an answer that is no image, or none at all", async () => {
    answer = (_, response) => response.end("<!doctype html>");
    await expectCode(preprocess(root), "IMAGE_FORMAT", "HTML");
    answer = (_, response) => response.writeHead(204).end();
    await expectCode(preprocess(root), "IMAGE_FORMAT", "it is empty");
  });

  it("stops at timeoutMs, before the answer and within it, and closes the connection", async () => {
    for (const begin of [false, true]) {
      const closed = new Promise((resolve) => {
        answer = (_, response) => {
          response.on("close", resolve);
          if (begin) response.write(drawing.subarray(0, 1000));
        };
      });
      const message = "Expected the whole answer within 100 ms";
      await expectCode(preprocess(root, { timeoutMs: 100 }), "IMAGE_UNREADABLE", message);
      await closed;
    }
  });

  it("stops at maxBytes, by the declared length and by what comes", async () => {
    for (const headers of [{ "content-length": 1e9 }, {}]) {
      const closed = new Promise((resolve) => {
        answer = (_, response) => {
          response.on("close", resolve).writeHead(200, headers);
          response.write(drawing);
        };
      });
      await expectCode(preprocess(root, { maxBytes: 5000 }), "IMAGE_TOO_LARGE", root);
      await closed;
    }
  });

  it("rejects with the signal's reason and closes the connection", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const closed = new Promise((resolve) => {
      answer = (_, response) => {
        response.on("close", resolve);
        response.write(drawing.subarray(0, 1000));
        controller.abort(reason);
      };
    });
    expect(await failure(preprocess(root, { signal: controller.signal }))).toBe(reason);
    await closed;
  });
});
