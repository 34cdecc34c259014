// Images of every format: decoded as PIL does.
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { preprocess } from "../../lib/index.ts";

import { bmp } from "../support/bmp.ts";
import {
  cropOf,
  drawing,
  expectSame,
  photo,
  pixelsOf,
  plain,
  raw,
  tiff,
} from "../support/images.ts";

describe("decoding", () => {
  const colour = [200, 100, 50];
  const drawn = Array.from({ length: 64 * 48 }, () => [50, 100, 200]).flat();
  it.each<[string, () => Promise<Uint8Array>, number]>([
    ["PNG", () => plain(64, 48).png().toBuffer(), 0],
    ["JPEG", () => plain(64, 48).jpeg({ quality: 95 }).toBuffer(), 2],
    ["WebP", () => plain(64, 48).webp({ lossless: true }).toBuffer(), 0],
    ["GIF", () => plain(64, 48).gif().toBuffer(), 0],
    ["TIFF", () => plain(64, 48).tiff({ compression: "lzw" }).toBuffer(), 0],
    ["BigTIFF", () => plain(64, 48).tiff({ bigtiff: true, compression: "none" }).toBuffer(), 0],
    ["AVIF", () => plain(64, 48).avif({ lossless: true }).toBuffer(), 1],
    ["16-bit PNG", () => plain(64, 48).toColourspace("rgb16").png().toBuffer(), 0],
    ["BMP", async () => bmp({ width: 64, height: 48, bits: 24, pixels: drawn }), 0],
    ["PPM", async () => Buffer.from(`P3 64 48 255 ${"200 100 50 ".repeat(64 * 48)}`), 0],
  ])("reads %s", async (_, make, tolerance) => {
    const { width, height, data } = await pixelsOf(await make());
    expect([width, height, data.length]).toEqual([64, 48, 64 * 48 * 3]);
    for (const [channel, value] of colour.entries()) {
      expect(Math.abs(data[channel]! - value)).toBeLessThanOrEqual(tolerance);
    }
  });

  it("converts CMYK as PIL does, and takes each CMYK JPEG as inverted", async () => {
    const image = plain(64, 48).toColourspace("cmyk");
    const tiff = await image.clone().tiff({ compression: "none" }).toBuffer();
    const jpeg = await image.clone().jpeg({ quality: 100 }).toBuffer();
    // libvips inverts only with Adobe's marker.
    const unmarked = Buffer.from(jpeg);
    unmarked.write("Other", jpeg.indexOf("Adobe"), "latin1");
    for (const bytes of [tiff, jpeg, unmarked]) {
      const file = sharp(bytes).pipelineColourspace("cmyk").toColourspace("cmyk");
      const inks = (await file.raw().toBuffer()).map((ink) =>
        bytes === unmarked ? 255 - ink : ink,
      );
      const [c, m, y, k] = inks;
      const light = (ink: number) => ((255 - ink) * (255 - k!)) / 255;
      const { data } = await pixelsOf(bytes);
      for (const [i, ink] of [c!, m!, y!].entries())
        expect(Math.abs(data[i]! - light(ink))).toBeLessThanOrEqual(1);
    }
  });

  it("keeps the colour of a GIF's transparent pixels, and gives it to those around its frame", async () => {
    // 3 × 1 pixels; a frame of one pixel covers the second. Colour 1 is transparent.
    const head = [3, 0, 1, 0, 0x80, 0, 0, 9, 8, 7, 200, 100, 50, 0x21, 0xf9, 4, 1, 0, 0, 1, 0];
    const frame = [0x2c, 1, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c, 1, 0, 0x3b];
    const gif = Buffer.concat([Buffer.from("GIF89a"), Buffer.from([...head, ...frame])]);
    const hidden = [200, 100, 50];
    expect([...(await pixelsOf(Buffer.from(gif))).data]).toEqual([...hidden, ...hidden, ...hidden]);
    // Without transparency, the pixels around have the first colour.
    gif[6 + 16] = 0;
    expect([...(await pixelsOf(gif)).data]).toEqual([9, 8, 7, ...hidden, 9, 8, 7]);
  });

  it("drops alpha and keeps the colour under it", async () => {
    const image = raw(2, 1, 4, [9, 50, 70, 0, 8, 9, 10, 128]);
    for (const bytes of [
      await image.clone().png().toBuffer(),
      await image.clone().webp({ lossless: true, exact: true }).toBuffer(),
      await image.clone().tiff({ compression: "none" }).toBuffer(),
    ]) {
      expect([...(await pixelsOf(bytes)).data]).toEqual([9, 50, 70, 8, 9, 10]);
    }
  });

  it("expands grey, grey with alpha, one-bit images and palettes", async () => {
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

  it("keeps the high byte of 16-bit samples, but shows the first 255 of plain grey, as PIL does", async () => {
    const samples = new Uint16Array([0x00ff, 0x1234, 0xff00, 0x80ff]);
    const image = (channels: 1 | 2 | 4) =>
      sharp(samples, { raw: { width: 4 / channels, height: 1, channels } });
    const rgb = await image(4).toColourspace("rgb16").png().toBuffer();
    expect([...(await pixelsOf(rgb)).data]).toEqual([0, 0x12, 0xff]);
    const alpha = await image(2).toColourspace("grey16").png().toBuffer();
    expect([...(await pixelsOf(alpha)).data]).toEqual([0, 0, 0, 0xff, 0xff, 0xff]);
    const grey = await sharp(Uint16Array.of(7, 255, 256, 65_535), {
      raw: { width: 4, height: 1, channels: 1 },
    });
    const { data } = await pixelsOf(await grey.toColourspace("grey16").png().toBuffer());
    expect([data[0], data[3], data[6], data[9]]).toEqual([7, 255, 255, 255]);
    const little = Uint8Array.of(0x80, 0, 0, 0x90);
    expect([...(await pixelsOf(tiff(16, 1, little))).data]).toEqual([
      0x80, 0x80, 0x80, 255, 255, 255,
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
    [1, [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    [2, [3, 2, 1, 6, 5, 4, 9, 8, 7]],
    [3, [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    [4, [7, 8, 9, 4, 5, 6, 1, 2, 3]],
    [5, [1, 4, 7, 2, 5, 8, 3, 6, 9]],
    [6, [7, 4, 1, 8, 5, 2, 9, 6, 3]],
    [7, [9, 6, 3, 8, 5, 2, 7, 4, 1]],
    [8, [3, 6, 9, 2, 5, 8, 1, 4, 7]],
  ])("turns EXIF orientation %i upright", async (orientation, expected) => {
    const image = raw(3, 3, 1, [1, 2, 3, 4, 5, 6, 7, 8, 9]).withMetadata({ orientation });
    const crop = await cropOf(await image.png().toBuffer(), { resize: 3, crop: 3 });
    expect([...crop].filter((_, i) => i % 3 === 0)).toEqual(expected);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "gives the same crop as the upright file, EXIF orientation %i",
    async (orientation) => {
      for (const upright of [photo, drawing]) {
        // The file's orientation undoes this one: 6 and 8 undo each other.
        const lying = await sharp(
          await sharp(upright)
            .withMetadata({ orientation: [1, 2, 3, 4, 5, 8, 7, 6][orientation - 1]! })
            .png()
            .toBuffer(),
        )
          .autoOrient()
          .png()
          .toBuffer();
        const file = await sharp(lying).withMetadata({ orientation }).png().toBuffer();
        const { width, height } = await pixelsOf(upright);
        const turned = await pixelsOf(file);
        expect([turned.width, turned.height]).toEqual([width, height]);
        expectSame(await cropOf(file), await cropOf(upright));
      }
    },
  );

  it("accepts an unknown tag, and bytes after the end", async () => {
    expect([...(await pixelsOf(tiff(8, 1, Uint8Array.of(7, 9), [65000]))).data]).toEqual([
      7, 7, 7, 9, 9, 9,
    ]);
    for (const bytes of [photo, drawing])
      expect((await pixelsOf(Buffer.concat([bytes, Buffer.from("more")]))).width).toBeGreaterThan(
        1,
      );
  });

  it("does not change the caller's own sharp", async () => {
    await preprocess(drawing);
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"/>');
    expect((await sharp(svg).metadata()).width).toBe(3);
  });
});

describe("a JPEG that breaks a rule but is whole", () => {
  const scan = photo.indexOf(Buffer.of(0xff, 0xda));
  it("may have wrong parameters of its scan, as Samsung's cameras write", async () => {
    const bytes = Buffer.from(photo);
    // The last coefficient of the scan: 0 instead of 63.
    bytes[scan + 2 + photo.readUInt16BE(scan + 2) - 2] = 0;
    expectSame((await pixelsOf(bytes)).data, (await pixelsOf(photo)).data);
  });

  it("may have bytes between two markers", async () => {
    for (const junk of [[0], [0, 0x12, 0x34], Array(5000).fill(1)]) {
      const bytes = Buffer.concat([
        photo.subarray(0, scan),
        Buffer.from(junk),
        photo.subarray(scan),
      ]);
      expectSame((await pixelsOf(bytes)).data, (await pixelsOf(photo)).data);
    }
  });
});
