// Helpers for the tests of images: images with torchvision's results, images that are drawn or written byte by byte, and expected refusals.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, expect } from "vitest";
import { cropPixels, type ReadingOptions } from "../../lib/image/crop.ts";
import { openImage } from "../../lib/image/decode.ts";
import {
  defaultPreprocessing,
  type Preprocessing,
  resolvePreprocessing,
} from "../../lib/image/preprocessing.ts";
import { openSource } from "../../lib/image/source.ts";
import { type ImageSource, type TensorData, VggError } from "../../lib/index.ts";

export const folder = fileURLToPath(new URL("../golden/images/", import.meta.url));
export const goldens = readdirSync(folder).filter((file) => /^[^.]+\.[a-z]+$/.test(file));
export const golden = (name: string) => readFileSync(join(folder, name));
export const photo = golden("portrait.jpg");
export const drawing = golden("landscape.png");
export const cropOf = (
  source: ImageSource,
  preprocess: Partial<Preprocessing> = {},
  options: ReadingOptions = {},
) => {
  const preprocessing = resolvePreprocessing(
    preprocess,
    defaultPreprocessing(preprocess.crop ?? 224, preprocess.channels ?? 3),
    "preprocess",
  );
  return cropPixels(openSource(source, "source"), preprocessing, options);
};
export const pixelsOf = async (bytes: Uint8Array, maxPixels = 1e8) =>
  (await openImage(bytes, "test", maxPixels)).decode();

/** A temporary folder for the test file that imports this module. It is removed at the end. */
export const scratch = mkdtempSync(join(tmpdir(), "vgg-image-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Pixels (height, width, channels) as an image that sharp can write. */
export const raw = (width: number, height: number, channels: 1 | 2 | 3 | 4, data: number[]) =>
  sharp(Uint8Array.from(data), { raw: { width, height, channels } });
export const plain = (width: number, height: number, colour = { r: 200, g: 100, b: 50 }) =>
  sharp({ create: { width, height, channels: 3, background: colour } });

/** The pixels of an upright image as a file with this EXIF orientation stores them. */
export function lie(upright: Uint8Array, width: number, height: number, orientation: number) {
  const lying = new Uint8Array(upright.length);
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      const column = [2, 3, 6, 7].includes(orientation) ? width - 1 - x : x;
      const row = [3, 4, 7, 8].includes(orientation) ? height - 1 - y : y;
      const to = orientation < 5 ? row * width + column : column * height + row;
      lying.set(upright.subarray((y * width + x) * 3, (y * width + x + 1) * 3), to * 3);
    }
  }
  return lying;
}

/** A TIFF of 2 × 1 grey samples, with optional unknown tags. */
export function tiff(
  bits: number,
  sampleFormat: number,
  samples: Uint8Array,
  extra: number[] = [],
) {
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

/** A TIFF of 2 × 1 pixels of 16 bits: red, green and blue, and extra samples of these meanings. */
export function tiffOfExtras(extras: readonly number[]) {
  const perPixel = 3 + extras.length;
  const samples = Buffer.alloc(2 * perPixel * 2, 0x55);
  const tags: (readonly [tag: number, values: readonly number[]])[] = [
    [256, [2]],
    [257, [1]],
    [258, new Array<number>(perPixel).fill(16)],
    [259, [1]],
    [262, [2]],
    [273, [0]],
    [277, [perPixel]],
    [278, [1]],
    [279, [samples.length]],
    [338, extras],
  ];
  const short = 3;
  const head = Buffer.alloc(10 + tags.length * 12 + 4);
  head.write("II*\0\x08", "latin1");
  head.writeUInt16LE(tags.length, 8);
  const outside: Buffer[] = [];
  let end = head.length;
  for (const [i, [tag, values]] of tags.entries()) {
    const at = 10 + i * 12;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(short, at + 2);
    head.writeUInt32LE(values.length, at + 4);
    const bytes = Buffer.from(Uint16Array.from(values).buffer);
    if (bytes.length <= 4) bytes.copy(head, at + 8);
    else {
      head.writeUInt32LE(end, at + 8);
      outside.push(bytes);
      end += bytes.length;
    }
  }
  head.writeUInt16LE(end, 10 + 5 * 12 + 8); // where the samples begin
  return Buffer.concat([head, ...outside, samples]);
}

/** Compares faster than toEqual, which takes a second for an image. */
export function expectSame(received: TensorData, expected: TensorData) {
  const bytes = (data: TensorData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  expect(received.length).toBe(expected.length);
  expect(bytes(received).equals(bytes(expected))).toBe(true);
}

export async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => null,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

export async function expectCode(
  promise: Promise<unknown>,
  code: string,
  message: RegExp | string = "",
) {
  const error = await failure(promise);
  expect(error).toBeInstanceOf(VggError);
  expect((error as VggError).code, error.message).toBe(code);
  expect(error.message).toMatch(message);
}
