// LPIPS of image files: what is read, in which size, and what is refused.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ImageSource, perceptualDistance, Tensor, Vgg } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";
import { drawing, expectCode, failure, pixelsOf, scratch } from "../support/images.ts";

const size = { width: 70, height: 45 };
const base = await sharp(drawing)
  .resize({ ...size, fit: "fill" })
  .png()
  .toBuffer();
const blurred = await sharp(base).blur(2).png().toBuffer();
const larger = await sharp(base).resize({ width: 140, height: 90, fit: "fill" }).png().toBuffer();

/** The samples of an image as the reference takes them. */
async function tensorOf(bytes: Uint8Array): Promise<Tensor<"float32">> {
  const { data, width, height } = await pixelsOf(bytes);
  const samples = new Float32Array(data.length);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) samples[c * width * height + i] = data[3 * i + c]! / 127.5 - 1;
  return new Tensor([1, 3, height, width], samples);
}

describe("perceptualDistance of images", () => {
  let model: Vgg;
  beforeAll(async () => {
    model = await Vgg.create("vgg16", {
      device: testDevice,
      numClasses: 10,
      hiddenFeatures: 64,
      seed: 7,
    });
  });
  afterAll(() => model.dispose());

  it("agrees with that of Tensors", async () => {
    const images = await perceptualDistance(base, blurred, { model, map: true });
    const [a, b] = await Promise.all([tensorOf(base), tensorOf(blurred)]);
    const tensors = await perceptualDistance(a, b, { model });
    expect(images.total).toHaveLength(1);
    expect(images.map!.shape).toEqual([1, 1, size.height, size.width]);
    expect(images.total[0]).toBeGreaterThan(0.001);
    expect(Math.abs(images.total[0]! / tensors.total[0]! - 1)).toBeLessThan(1e-5);
  });

  it("is 0 for equal pixels in other files, and applies the EXIF orientation", async () => {
    const path = join(scratch, "base.png");
    writeFileSync(path, base);
    expect((await perceptualDistance(path, base, { model })).total).toEqual([0]);
    const turned = await sharp(base)
      .rotate(90)
      .withMetadata({ orientation: 8 })
      .tiff({ compression: "lzw" })
      .toBuffer();
    expect((await perceptualDistance(turned, base, { model })).total).toEqual([0]);
  });

  it("compares each pair of two arrays, which may have several sizes", async () => {
    const [a, b] = [
      [base, base, larger, base],
      [base, blurred, larger, blurred],
    ];
    const { total, layers } = await perceptualDistance(a!, b!, { model });
    expect([total[0], total[2]]).toEqual([0, 0]);
    expect(total[1]).toBeGreaterThan(0.001);
    expect(total[3]).toBe(total[1]);
    expect(layers.map((layer) => layer[2])).toEqual([0, 0, 0, 0, 0]);
    const small = await perceptualDistance(a!.slice(0, 2), b!.slice(0, 2), { model, map: true });
    expect(small.map!.shape).toEqual([2, 1, size.height, size.width]);
    const mixed = await failure(perceptualDistance(a!, b!, { model, map: true }));
    expect(mixed.message).toBe(
      "Expected pairs of one size for options.map but received 70 × 45 and 140 × 90",
    );
  });

  it("resizes b to a's size, or both", async () => {
    const error = await failure(perceptualDistance(base, larger, { model }));
    expect(error.name).toBe("RangeError");
    expect(error.message).toBe(
      "Expected images of one size, or the option resize, for a and b but received 70 × 45 and 140 × 90",
    );
    const toA = await perceptualDistance(larger, base, { model, resize: "a", map: true });
    expect(toA.map!.shape).toEqual([1, 1, 90, 140]);
    const both = await perceptualDistance(base, larger, { model, resize: 32, map: true });
    expect(both.map!.shape).toEqual([1, 1, 32, 50]);
    const limited = { model, resize: 1000, maxPixels: 100_000 };
    expect((await failure(perceptualDistance(base, larger, limited))).message).toBe(
      "Expected at most 100000 pixels after the resize for a but received 1556 × 1000",
    );
  });

  it.each<[string, unknown, unknown, object, string]>([
    ["another number of images", [base], [base, base], {}, "Expected 1 images, as a has, for b"],
    ["an array and one image", [base], base, {}, "Expected an array, as a is, for b"],
    ["no images", [], [], {}, "Expected at least one image for a but received []"],
    ["a number", 1, base, {}, "for a but received 1"],
    ["a Tensor as b", base, Tensor.zeros([1, 3, 32, 32]), {}, "for b but received an instance of"],
    ["another resize", base, base, { resize: "b" }, 'Expected "a" or an integer from 16 to 16384'],
    ["a small resize", base, base, { resize: 15 }, "for options.resize but received 15"],
  ])("refuses %s", async (_, a, b, options, message) => {
    const call = perceptualDistance(a as ImageSource, b as ImageSource, { model, ...options });
    const error = await failure(call);
    expect(["RangeError", "TypeError"]).toContain(error.name);
    expect(error.message).toContain(message);
  });

  it("refuses small, large, broken and missing images", async () => {
    const tiny = await sharp(base).resize({ width: 40, height: 15, fit: "fill" }).png().toBuffer();
    const error = await failure(perceptualDistance([base, tiny], [base, tiny], { model }));
    expect(error.message).toBe(
      "Expected an image of at least 16 × 16 pixels for a[1] but received 40 × 15",
    );
    const call = (a: ImageSource, options = {}) =>
      perceptualDistance(a, base, { model, ...options });
    await expectCode(call(base, { maxPixels: 3000 }), "IMAGE_TOO_LARGE", "at most 3000 pixels");
    await expectCode(call(base.subarray(0, 500)), "IMAGE_CORRUPT");
    await expectCode(call("missing.png"), "IMAGE_UNREADABLE", "missing.png");
  });
});
