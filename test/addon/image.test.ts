// Images are resized, cropped and normalised as torchvision does it.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { imageNetMean, imageNetStd } from "../../lib/image/preprocessing.ts";
import { preprocess } from "../../lib/index.ts";
import { native } from "../../lib/native/load.ts";

import {
  cropOf,
  drawing,
  expectSame,
  folder,
  golden,
  goldens,
  lie,
  pixelsOf,
  plain,
  raw,
} from "../support/images.ts";

describe("preprocess, against torchvision", () => {
  // Lossless formats must agree to the bit. Decoders of the other formats may round differently.
  it.each(goldens)("makes torchvision's crop of %s", async (name) => {
    const expected = (await pixelsOf(golden(`${name}.crop.png`))).data;
    const received = await cropOf(join(folder, name));
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

  it("makes a batch from an array, in its order", async () => {
    const names = ["small.png", "gray.png", "alpha.png", "landscape.png", "small.png", "gray.png"];
    const batch = await preprocess(names.map((name) => join(folder, name)));
    expect(batch.shape).toEqual([6, 3, 224, 224]);
    const size = 3 * 224 * 224;
    for (const [i, name] of names.entries()) {
      const one = await preprocess(golden(name));
      expectSame(batch.data.slice(i * size, (i + 1) * size), one.data);
    }
  });

  it("still accepts the earlier names of resize and crop, and no two names of one option", async () => {
    const now = await preprocess(drawing, { resize: 64, crop: 33 });
    expectSame((await preprocess(drawing, { resizeSize: 64, cropSize: 33 })).data, now.data);
    await expect(preprocess(drawing, { resize: 64, resizeSize: 64 })).rejects.toThrow(
      "Expected one option for options.resize and options.resizeSize",
    );
  });

  it("accepts other sizes, means and standard deviations", async () => {
    const crop = await cropOf(drawing, { resize: 64, crop: 33 });
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
    const crop = await cropOf(await plain(width, height).png().toBuffer());
    expect(crop.length).toBe(224 * 224 * 3);
    for (let i = 0; i < crop.length; i += 3)
      if (crop[i] !== 200 || crop[i + 1] !== 100 || crop[i + 2] !== 50)
        throw new Error(`pixel ${i / 3} is ${crop.slice(i, i + 3)}`);
  });

  it("crops at Python's round(), which rounds halves to even", async () => {
    // Column x has the grey x. With 257 columns (257 - 224) / 2 = 16.5 precede the crop, rounded to 16. With 259, 17.5 round to 18.
    for (const [width, first] of [
      [257, 16],
      [259, 18],
    ] as const) {
      const grey = Array.from({ length: width * 256 }, (_, i) => Math.min(i % width, 255));
      const crop = await cropOf(await raw(width, 256, 1, grey).png().toBuffer());
      expect(crop[0]).toBe(first);
    }
  });
});

describe("the addon's resizeCrop", () => {
  /** Output samples of one row: the triangle filter in floating point. */
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
    [50, 3, 11, 30],
    [97, 61, 256, 161],
    [101, 103, 1, 1],
  ])(
    "resizes %i × %i to %i × %i as the definition does",
    async (width, height, toWidth, toHeight) => {
      const pixels = Uint8Array.from(
        { length: width * height * 3 },
        (_, i) => (i * 2654435761) >>> 24,
      );
      const cropSize = Math.min(toWidth, toHeight);
      const [left, top] = [toWidth - cropSize, toHeight - cropSize];
      const geometry = { width, height, resizedWidth: toWidth, resizedHeight: toHeight, left, top };
      const resize = async (taken: Uint8Array, orientation: number) => {
        const crop = { cropWidth: cropSize, cropHeight: cropSize };
        const all = {
          ...geometry,
          ...crop,
          orientation,
          interpolation: "bilinear",
          channels: 3,
        } as const;
        const cropped = new Uint8Array(await native().resizeCrop(taken, all));
        expect(taken.length).toBe(0);
        return cropped;
      };
      const received = await resize(pixels.slice(), 1);
      for (const orientation of [2, 3, 4, 5, 6, 7, 8])
        expectSame(await resize(lie(pixels, width, height, orientation), orientation), received);
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
    },
  );

  it("refuses pixels and windows that do not fit", () => {
    const window = { width: 2, height: 2, resizedWidth: 4, resizedHeight: 4, left: 0, top: 0 };
    const geometry = {
      ...window,
      cropWidth: 4,
      cropHeight: 4,
      orientation: 1,
      interpolation: "bilinear",
      channels: 3,
    } as const;
    const call = (bytes: number, change: object) => () =>
      native().resizeCrop(new Uint8Array(bytes), { ...geometry, ...change });
    for (const refused of [
      call(11, {}),
      call(12, { left: 1 }),
      call(12, { top: -1 }),
      call(12, { cropWidth: 5 }),
      call(12, { cropHeight: 0 }),
      call(12, { width: 0 }),
      call(12, { orientation: 0 }),
      call(12, { orientation: 9 }),
      call(12, { left: 2 ** 53, cropWidth: 2 ** 53 }),
      call(12, { channels: 2 }),
      call(12, { interpolation: "hamming" }),
    ]) {
      expect(refused).toThrow("Expected");
    }
  });
});
