// Preprocessing that files state: safetensors' metadata, timm's config.json, Hugging Face's preprocessor_config.json.
import { describe, expect, it } from "vitest";
import { commandLineMessage } from "../../../lib/errors.ts";
import { defaultPreprocessing } from "../../../lib/image/preprocessing.ts";
import { type Preprocessing, VggError } from "../../../lib/index.ts";
import { readHuggingFace } from "../../../lib/vgg/preprocessing/hugging-face.ts";
import { combine, type Statement } from "../../../lib/vgg/preprocessing/statement.ts";
import { readMetadata, toMetadata } from "../../../lib/vgg/preprocessing/stored.ts";
import { readTimm } from "../../../lib/vgg/preprocessing/timm.ts";

type Given = Partial<Preprocessing>;
const usual = defaultPreprocessing(224, 3);
/** Combines one statement with options, for its own image size unless another is given. */
function follow(statement: Statement | undefined, given: Given = {}, imageSize?: number) {
  const size = imageSize ?? statement?.crop ?? 224;
  const all = statement === undefined ? [] : [statement];
  const options = Object.assign(Object.create(null), given);
  return combine(options, all, { inChannels: 3, imageSize: size });
}
function refusal(statement: Statement | undefined, given?: Given): VggError {
  try {
    follow(statement, given);
  } catch (error) {
    expect(error).toBeInstanceOf(VggError);
    return error as VggError;
  }
  throw new Error("Expected a refusal");
}

describe("timm's config.json", () => {
  const read = (config: unknown) => readTimm(config, "m/config.json", "vgg16");
  const published = {
    architecture: "vgg16",
    num_classes: 1000,
    pretrained_cfg: {
      tag: "tv_in1k",
      input_size: [3, 224, 224],
      interpolation: "bilinear",
      crop_pct: 0.875,
      crop_mode: "center",
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    },
  };
  const changed = (change: object) =>
    read({ ...published, pretrained_cfg: { ...published.pretrained_cfg, ...change } });

  it("of torchvision's weights gives torchvision's preprocessing", () => {
    expect(follow(read(published))).toEqual(usual);
  });

  it.each<[object, Partial<Preprocessing>]>([
    [{ crop_pct: 0.9 }, { resize: 248 }],
    [{ crop_pct: 1, crop_mode: "squash" }, { resize: "squash" }],
    [
      { input_size: [3, 288, 288], crop_pct: 1 },
      { resize: 288, crop: 288 },
    ],
    [{ interpolation: "bicubic" }, { interpolation: "bicubic" }],
    [{ interpolation: null, crop_pct: null, crop_mode: null }, { interpolation: "bicubic" }],
    [
      { mean: [0.5], std: [0.5, 0.5, 0.25] },
      { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.25] },
    ],
  ])("with %j is followed", (change, expected) => {
    expect(follow(changed(change))).toEqual({ ...usual, ...expected });
  });

  it("may have its fields at the top level, as older files do", () => {
    const { pretrained_cfg, ...rest } = published;
    expect(follow(read({ ...rest, ...pretrained_cfg, mean: [0, 0, 0] }))).toMatchObject({
      mean: [0, 0, 0],
      resize: 256,
    });
  });

  it.each<[object, Given, string]>([
    [
      { crop_mode: "border" },
      { resize: 256 },
      'm/config.json: Expected "center" or "squash", since borders are not drawn, for crop_mode but received "border"; the option preprocess.resize overrides it',
    ],
    [
      { crop_mode: "squash" },
      { resize: "squash" },
      'the crop_mode "squash" only with 1 for crop_pct',
    ],
    [{ crop_pct: 1.2 }, { resize: 224 }, "for crop_pct but received 1.2"],
    [{ input_size: [3, 224, 192] }, { resize: 224 }, "for input_size"],
    [{ interpolation: "hamming" }, { interpolation: "box" }, "for interpolation"],
    [{ mean: [0, 0] }, { mean: [0] }, "one or three finite numbers for mean"],
    [{ std: "0.5" }, { std: [1] }, "for std"],
  ])("with %j is refused in words unless an option overrides it", (change, given, message) => {
    const error = refusal(changed(change));
    expect(error.code).toBe("CHECKPOINT_UNSUPPORTED");
    expect(error.message).toContain(message);
    expect(follow(changed(change), given)).toMatchObject(
      Object.fromEntries(
        Object.entries(given).filter(([name]) => name !== "mean" && name !== "std"),
      ),
    );
  });

  it.each([
    [undefined],
    ["text"],
    [{ compilerOptions: {} }],
    [{ mean: [0, 0, 0] }],
    [{ ...published, architecture: "resnet50" }],
    [{ ...published, architecture: "vgg16_bn.tv_in1k" }],
  ])("counts as none if it is another program's or another architecture's: %j", (config) => {
    expect(read(config)).toBeUndefined();
  });

  it("is known by its architecture with a tag too", () => {
    expect(read({ ...published, architecture: "vgg16.tv_in1k" })).toBeDefined();
  });
});

describe("Hugging Face's preprocessor_config.json", () => {
  const read = (config: Record<string, unknown>) => readHuggingFace(config, "p.json");
  const clip = {
    crop_size: { height: 224, width: 224 },
    do_center_crop: true,
    do_normalize: true,
    do_rescale: true,
    do_resize: true,
    image_mean: [0.485, 0.456, 0.406],
    image_std: [0.229, 0.224, 0.225],
    resample: 2,
    rescale_factor: 0.00392156862745098,
    size: { shortest_edge: 256 },
  };
  const { crop_size: _, do_center_crop: __, ...whole } = clip;

  it.each<[string, Record<string, unknown>, Given]>([
    ["a shorter side and a crop", clip, {}],
    ["old numbers", { ...clip, size: 256, crop_size: 224 }, {}],
    [
      "a square without a crop",
      { ...whole, size: { height: 192, width: 192 } },
      { resize: "squash", crop: 192 },
    ],
    [
      "an old number without a crop",
      { ...whole, size: 224, resample: 3 },
      { resize: "squash", interpolation: "bicubic" },
    ],
    ["a crop as large as the square", { ...clip, size: [224, 224] }, { resize: "squash" }],
    [
      "ConvNeXt's share",
      { ...whole, size: { shortest_edge: 224 }, crop_pct: 0.95 },
      { resize: 235 },
    ],
    [
      "ConvNeXt's large images",
      { ...whole, size: { shortest_edge: 384 }, crop_pct: 1 },
      { resize: "squash", crop: 384 },
    ],
    ["no normalisation", { ...clip, do_normalize: false }, { mean: [0, 0, 0], std: [1, 1, 1] }],
  ])("with %s is followed", (_name, config, expected) => {
    expect(follow(read(config))).toEqual({ ...usual, ...expected });
  });

  it("counts as none if it is about sound or text", () => {
    const whisper = { feature_extractor_type: "WhisperFeatureExtractor", sampling_rate: 16_000 };
    expect(read({ ...whisper, do_normalize: false, feature_size: 80 })).toBeUndefined();
    expect(read({})).toBeUndefined();
  });

  it.each<[Record<string, unknown>, string]>([
    [{ ...clip, rescale_factor: 1 / 127.5 }, "1 / 255 for rescale_factor"],
    [{ ...clip, do_rescale: false }, "true for do_rescale but received false"],
    [{ ...clip, size: { shortest_edge: 256, longest_edge: 512 } }, "nothing for longest_edge"],
    [{ ...clip, resample: 5 }, "a filter of PIL's, for resample but received 5"],
    [{ ...clip, do_resize: false }, "true for do_resize"],
    [{ ...clip, do_flip_channel_order: true }, "false for do_flip_channel_order"],
    [
      { ...clip, size: { height: 256, width: 256 } },
      "256, the side of the squashed image, for crop_size but received 224",
    ],
    [{ ...whole }, "true after a resize of the shorter side for do_center_crop"],
    [{ ...whole, size: { height: 224, width: 336 } }, "for size but received"],
    [{ ...clip, crop_size: { height: 224, width: 200 } }, "the side of a square for crop_size"],
    [
      { ...clip, image_mean: undefined },
      "a number for each channel for image_mean but received nothing",
    ],
    [{ image_processor_type: "ViTImageProcessor", rescale_factor: 0.1 }, "but received 0.1"],
    [{ image_processor_type: "ViTImageProcessor" }, "but received nothing"],
    [{ ...clip, image_std: [1, 0, 1] }, "numbers other than zero for image_std"],
  ])("%# is refused in words", (config, message) => {
    const error = refusal(read(config));
    expect(error.code).toBe("CHECKPOINT_UNSUPPORTED");
    expect(error.message).toContain(message);
    expect(error.message).toMatch(
      /^p\.json: Expected .*; the option preprocess\.\w+ overrides it$/,
    );
  });
});

describe("safetensors' metadata", () => {
  const stored = {
    ...usual,
    resize: "squash",
    interpolation: "lanczos",
    orientation: false,
  } as const;

  it("restores what was stored, but not the limit of pixels", () => {
    const metadata = new Map(Object.entries(toMetadata({ ...stored, maxPixels: 5 })));
    expect(follow(readMetadata(metadata, "m"))).toEqual(stored);
    expect(toMetadata(undefined)).toEqual({});
    const grey = { ...defaultPreprocessing(32, 1), mean: [0.1307], std: [0.3081] };
    const own = readMetadata(new Map(Object.entries(toMetadata(grey))), "m")!;
    expect(combine(undefined, [own], { inChannels: 1, imageSize: 32 })).toEqual(grey);
  });

  it("counts as none if another program wrote it", () => {
    for (const text of ["", "resize 256", "[1]", "7", "null"])
      expect(readMetadata(new Map([["preprocessing", text]]), "m")).toBeUndefined();
  });

  it("is refused if its parts are wrong", () => {
    const wrong = readMetadata(new Map([["preprocessing", '{"resize":-1}']]), "m.safetensors");
    expect(refusal(wrong).message).toMatch(
      /^m\.safetensors: Expected an integer from 1 to 16384 or "squash" for metadata preprocessing\.resize but received -1/,
    );
    expect(follow(wrong, { resize: 300 })).toEqual({ ...usual, resize: 300 });
    const turned = readMetadata(new Map([["preprocessing", '{"orientation":1}']]), "m");
    expect(commandLineMessage(refusal(turned))).toMatch(/; --no-orientation overrides it$/);
  });

  it("decides before files beside it, and options before both", () => {
    const own = readMetadata(new Map([["preprocessing", '{"resize":300,"mean":[0]}']]), "m");
    const beside = readTimm({ pretrained_cfg: { crop_pct: 1, std: [1] } }, "c", "vgg11");
    const options = Object.assign(Object.create(null), { mean: [0.25] });
    const sizes = { inChannels: 3, imageSize: 224 };
    expect(combine(options, [own!, beside!], sizes)).toEqual({
      ...usual,
      ...{ resize: 300, mean: [0.25, 0.25, 0.25], std: [1, 1, 1], interpolation: "bicubic" },
    });
  });

  it("keeps the proportions for another image size", () => {
    expect(follow(readTimm({ pretrained_cfg: {} }, "c", "vgg11"), {}, 112)).toMatchObject({
      resize: 128,
      crop: 112,
    });
  });
});
