// Vgg: preprocessing as a part of the model, of a call and of files; networks of one channel.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultPreprocessing } from "../../lib/image/preprocessing.ts";
import { type Preprocessing, preprocess, readCheckpoint, Vgg } from "../../lib/index.ts";
import { isSlow, testDevice } from "../support/devices.ts";
import { small } from "../support/small-models.ts";

const image = (name: string) => fileURLToPath(new URL(`../golden/images/${name}`, import.meta.url));
const usual = defaultPreprocessing(32, 3);
let scratch: string;
let model: Vgg;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-preprocessing-"));
  model = await Vgg.create("vgg11", { ...small, seed: 3 });
});
afterAll(async () => {
  await model.dispose();
  rmSync(scratch, { recursive: true });
});

/** Expects what `preprocess`, `forward` and a softmax by hand give. */
async function expectByHand(of: Vgg, path: string, call: Partial<Preprocessing> = {}) {
  const input = await preprocess(path, { ...of.preprocessing, ...call });
  const { data } = await of.forward(input);
  const powers = [...data].map((logit) => Math.exp(logit));
  const sum = powers.reduce((total, power) => total + power, 0);
  for (const { index, probability } of await of.classify(path, { preprocess: call }))
    expect(Math.abs(probability - powers[index]! / sum)).toBeLessThan(1e-5);
}

describe("preprocess", () => {
  it("is torchvision's by default, in proportion to the image size", () => {
    expect(model.preprocessing).toEqual({
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
      ...{ resize: 37, crop: 32, interpolation: "bilinear", channels: 3 },
      ...{ maxPixels: 178_956_970, orientation: true },
    });
    expect(Object.isFrozen(model.preprocessing)).toBe(true);
    expect(Object.isFrozen(model.preprocessing?.mean)).toBe(true);
    expect(() => {
      (model as { preprocessing: unknown }).preprocessing = usual;
    }).toThrow(TypeError);
  });

  it.each<Partial<Preprocessing>>([
    {},
    { resize: "squash" },
    { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
    { mean: [0.5], std: [0.25], resize: 40, interpolation: "bicubic" },
    { interpolation: "nearest", resize: 32 },
  ])("is followed by classify: %j", async (given) => {
    await expectByHand(model, image("landscape.png"), given);
  });

  it("may have a crop of any size from 32 pixels in a call", async () => {
    await expectByHand(model, image("landscape.png"), { resize: 120, crop: 113 });
  });

  it("gives a model its image size", async () => {
    const options = {
      device: testDevice,
      numClasses: 10,
      hiddenFeatures: 64,
      preprocess: { crop: 96 },
    };
    await using other = await Vgg.create("vgg11", options);
    expect(other.imageSize).toBe(96);
    expect(other.preprocessing).toMatchObject({ resize: 110, crop: 96 });
    await expect(Vgg.create("vgg11", { ...options, imageSize: 64 })).rejects.toThrow(
      "Expected 64, the network's image size, for preprocess.crop but received 96",
    );
  });

  it("of a model holds for its calls, and a call replaces parts of it", async () => {
    const own = { resize: "squash", mean: [0.5], std: [0.5] } as const;
    await using squashed = await Vgg.create("vgg11", { ...small, seed: 3, preprocess: own });
    const path = image("landscape.png");
    expect(squashed.preprocessing).toMatchObject({ resize: "squash", mean: [0.5, 0.5, 0.5] });
    expect(await squashed.classify(path)).toEqual(await model.classify(path, { preprocess: own }));
    expect(await squashed.classify(path, { preprocess: { resize: 37 } })).toEqual(
      await model.classify(path, { preprocess: { ...own, resize: 37 } }),
    );
    expect(await squashed.classify(path)).not.toEqual(await model.classify(path));
    await expectByHand(squashed, path);
  });

  it("keeps each call's normalisation apart", async () => {
    const path = image("small.png");
    const means = [0.1, 0.2, 0.3].map((mean) => ({ preprocess: { mean: [mean] } }));
    const alone = [];
    for (const call of means) alone.push(await model.classify(path, call));
    expect(await Promise.all(means.map((call) => model.classify(path, call)))).toEqual(alone);
    expect(new Set(alone.map((one) => one[0]!.probability)).size).toBe(3);
  });

  it("may ignore the EXIF orientation, as torchvision's loaders do", async () => {
    const turned = image("rotated.jpg");
    const flat = join(scratch, "flat.jpg");
    // Without its EXIF block the image lies as it is stored.
    const { data, info } = await sharp(turned).raw().toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    await sharp(data, { raw: { width, height, channels } }).png().toFile(flat);
    const call = { preprocess: { orientation: false } };
    expect(await model.classify(turned, call)).toEqual(await model.classify(flat));
    expect(await model.classify(turned)).not.toEqual(await model.classify(flat));
  });

  it("limits the pixels of an image", async () => {
    const call = { preprocess: { maxPixels: 1000 } };
    await expect(model.classify(image("small.png"), call)).rejects.toMatchObject({
      code: "IMAGE_TOO_LARGE",
      message: expect.stringContaining("Expected at most 1000 pixels but it has 97 × 61"),
    });
    for await (const result of model.classifyEach([image("small.png")], call))
      expect(result).toMatchObject({ error: { code: "IMAGE_TOO_LARGE" } });
  });

  it("takes an image of 108 megapixels by default", async () => {
    const create = { width: 12_000, height: 9000, channels: 3, background: "#5a783c" } as const;
    const photo = await sharp({ create, limitInputPixels: false }).jpeg({ quality: 60 }).toBuffer();
    expect(await model.classify(photo)).toHaveLength(5);
  });

  it.each<[unknown, typeof TypeError | typeof RangeError, string]>([
    [7, TypeError, "an object for options.preprocess but received 7"],
    [{ means: [0.5] }, TypeError, 'for options.preprocess but received "means"'],
    [{ mean: 0.5 }, TypeError, "for options.preprocess.mean"],
    [{ mean: [0.5, 0.5] }, RangeError, "for options.preprocess.mean"],
    [{ std: [1e-60] }, RangeError, "numbers other than zero for options.preprocess.std"],
    [{ mean: [1e60] }, RangeError, "finite numbers for options.preprocess.mean"],
    [
      { resize: 31 },
      RangeError,
      "from 1 to 31, the side after the resize, for options.preprocess.crop",
    ],
    [{ crop: 31 }, RangeError, "an integer from 32 to 16384 for options.preprocess.crop"],
    [
      { channels: 1 },
      RangeError,
      "3, the channels of the network, for options.preprocess.channels",
    ],
    [{ maxPixels: 0 }, RangeError, "for options.preprocess.maxPixels"],
    [{ orientation: "no" }, TypeError, "a boolean for options.preprocess.orientation"],
    [{ interpolation: null }, TypeError, "for options.preprocess.interpolation"],
  ])("refuses %j", async (given, type, message) => {
    const call = model.classify(image("small.png"), { preprocess: given as never });
    const error = await call.then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(type);
    expect(error!.message).toContain(message);
    const creation = Vgg.create("vgg11", { ...small, preprocess: given as never });
    await expect(creation).rejects.toThrow(message.replace(/.*options\.preprocess/, "preprocess"));
  });
});

describe("a network of one channel", () => {
  let grey: Vgg;
  beforeAll(async () => {
    grey = await Vgg.create("vgg11", { ...small, inChannels: 1, seed: 4 });
  });
  afterAll(() => grey.dispose());

  it("has a mean and a deviation of 0.5 by default", () => {
    expect(grey.preprocessing).toEqual({ ...usual, mean: [0.5], std: [0.5], channels: 1 });
  });

  it.each(["portrait.jpg", "gray.png", "alpha.png", "palette.gif", "rotated.jpg", "photo.webp"])(
    "classifies %s in grey",
    async (name) => {
      await expectByHand(grey, image(name));
      await expectByHand(grey, image(name), { mean: [0.1307], std: [0.3081], resize: "squash" });
    },
  );

  it("refuses colour", async () => {
    const call = grey.classify(image("gray.png"), { preprocess: { channels: 3 } });
    await expect(call).rejects.toThrow("Expected 1, the channels of the network,");
    const three = grey.classify(image("gray.png"), { preprocess: { mean: [0, 0, 0] } });
    await expect(three).rejects.toThrow("Expected one finite number for options.preprocess.mean");
  });
});

describe("a network of other channels", () => {
  it("takes no preprocessing", async () => {
    const options = { ...small, inChannels: 2, preprocess: { mean: [0.5] } };
    await expect(Vgg.create("vgg11", options)).rejects.toThrow(
      "Expected no preprocess for a network with other than 1 or 3 channels for inChannels",
    );
  });
});

// Files say the same to every device.
describe.skipIf(isSlow)("save and load", () => {
  const given = { resize: "squash", mean: [0.1], std: [0.2], interpolation: "box" } as const;
  const all = { ...usual, ...given, mean: [0.1, 0.1, 0.1], std: [0.2, 0.2, 0.2] };

  it("keep the preprocessing", async () => {
    const preprocess = { ...given, maxPixels: 1e6, orientation: false };
    await using first = await Vgg.create("vgg11", { ...small, preprocess });
    const path = join(scratch, "kept.safetensors");
    await first.save(path);
    await using second = await Vgg.load(path, { device: testDevice });
    // The limit of pixels belongs to a machine.
    expect(second.preprocessing).toEqual({ ...all, orientation: false });
    const preprocessing = { resize: 40, mean: [0.3] } as const;
    await using third = await Vgg.load(path, { device: testDevice, preprocess: preprocessing });
    expect(third.preprocessing).toEqual({
      ...all,
      ...{ resize: 40, mean: [0.3, 0.3, 0.3], orientation: false },
    });
    const call = first.classify(image("landscape.png"), { preprocess: { maxPixels: 2e6 } });
    expect(await second.classify(image("landscape.png"))).toEqual(await call);
  });

  it("read JSON beside the weights, for every format, and its class names", async () => {
    const folder = join(scratch, "timm");
    mkdirSync(folder);
    const path = join(folder, "model.safetensors");
    const { writeSafetensors } = await import("../../lib/index.ts");
    await writeSafetensors(path, await model.stateDict());
    const config = join(folder, "config.json");
    const write = (pretrained: object, architecture = "vgg11") =>
      writeFileSync(
        config,
        JSON.stringify({
          ...{ architecture, num_classes: 10, label_names: [..."abcdefghij"] },
          pretrained_cfg: { input_size: [3, 32, 32], mean: [0.5, 0.5, 0.5], ...pretrained },
        }),
      );
    const load = async (options = {}) => {
      await using loaded = await Vgg.load(path, { device: testDevice, ...options });
      return loaded;
    };
    write({ crop_pct: 0.5, interpolation: "lanczos" });
    const first = await load();
    expect(first.preprocessing).toEqual({
      ...usual,
      ...{ mean: [0.5, 0.5, 0.5], resize: 64, interpolation: "lanczos" },
    });
    expect(first.imageSize).toBe(32);
    expect(first.labels).toEqual([..."abcdefghij"]);
    expect(first.loadReport?.configs).toEqual([config]);
    expect((await load({ imageSize: 64 })).preprocessing).toMatchObject({ resize: 128, crop: 64 });
    expect((await load({ labels: [..."0123456789"] })).labels).toEqual([..."0123456789"]);

    write({ crop_mode: "border" });
    await expect(load()).rejects.toMatchObject({
      code: "CHECKPOINT_UNSUPPORTED",
      message: expect.stringContaining(`${config}: Expected "center" or "squash"`),
    });
    expect((await load({ preprocess: { resize: 40 } })).preprocessing?.resize).toBe(40);

    write({ crop_mode: "border" }, "vgg16");
    const other = await load({ imageSize: 32 });
    expect(other.preprocessing).toEqual(usual);
    expect(other.loadReport?.configs).toEqual([]);

    for (const [text, message] of [
      ["{ cut off", "Expected JSON but received other text; it is not read"],
      ['{"architecture": "vgg11", "pretrained_cfg": 3}', "Expected an object for pretrained_cfg"],
    ] as const) {
      writeFileSync(config, text);
      const { preprocessing, loadReport } = await load({ imageSize: 32 });
      expect([preprocessing, loadReport?.warnings.length]).toEqual([usual, 1]);
      expect(loadReport?.warnings[0]).toContain(`${config}: ${message}`);
    }
    rmSync(config);

    const processor = join(folder, "preprocessor_config.json");
    writeFileSync(processor, "no JSON");
    await expect(load()).rejects.toMatchObject({
      code: "CHECKPOINT_CORRUPT",
      message: `${processor}: Expected a JSON object but received other text`,
    });
    const stated = { size: 32, resample: 3, image_mean: [0.25, 0.25, 0.25], image_std: [1, 1, 1] };
    writeFileSync(processor, JSON.stringify(stated));
    expect((await load()).preprocessing).toEqual({
      ...usual,
      ...{ mean: stated.image_mean, std: [1, 1, 1], resize: "squash", interpolation: "bicubic" },
    });
    expect([...(await readCheckpoint(path)).keys()]).toHaveLength(22);
  });
});
