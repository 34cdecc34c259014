// What Vgg.load, save and create refuse: weights of another network, damaged files, and wrong options.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePytorch } from "../../lib/checkpoint/pytorch/write.ts";
import {
  type AnyTensor,
  pullWeights,
  Tensor,
  Vgg,
  VggError,
  writeSafetensors,
} from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";
import { lazy, small } from "../support/small-models.ts";

let scratch: string;
let model: Vgg;
let state: Map<string, AnyTensor>;
let saved: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-load-"));
  model = await Vgg.create("vgg11", { ...small, seed: 3, labels: [..."abcdefghij"] });
  state = await model.stateDict();
  saved = join(scratch, "saved.safetensors");
  await model.save(saved, { metadata: { note: "a test" } });
});
afterAll(async () => {
  await model.dispose();
  rmSync(scratch, { recursive: true });
});

describe("Vgg.save and Vgg.load", () => {
  it("refuse the weights of another network, and say which one it is", async () => {
    const refuse = async (arch: "vgg11" | "vgg13", path: string, options: object = {}) => {
      const error = await Vgg.load(arch, path, {
        device: testDevice,
        imageSize: 32,
        ...options,
      }).catch((e) => e);
      expect(error).toBeInstanceOf(VggError);
      expect(model.device.memoryStats().parameterBytes).toBeLessThan(700e6);
      return error as VggError;
    };
    const other = await refuse("vgg13", saved);
    expect(other.code).toBe("STATE_DICT_MISMATCH");
    expect(other.message).toBe(
      `${saved}: Expected a vgg13 but the file is a vgg11; load it with "vgg11" or without an architecture`,
    );
    expect((await refuse("vgg11", saved, { numClasses: 11 })).message).toContain(
      "Expected numClasses 11 as in the options but the file has 10",
    );
    expect((await refuse("vgg11", saved, { hiddenFeatures: 65 })).message).toContain(
      "Expected hiddenFeatures 65 as in the options but the file has 64",
    );
    expect((await refuse("vgg11", saved, { inChannels: 1 })).message).toContain("inChannels 1");
    expect((await refuse("vgg11", join(scratch, "missing.pth"))).code).toBe(
      "CHECKPOINT_UNREADABLE",
    );

    const write = async (change: (tensors: Map<string, AnyTensor>) => void) => {
      const tensors = new Map(state);
      change(tensors);
      const path = join(scratch, "changed.safetensors");
      await writeSafetensors(path, tensors);
      return path;
    };
    const lacking = await refuse("vgg11", await write((t) => t.delete("features.8.bias")));
    expect(lacking.message).toContain("Missing keys: features.8.bias");
    const shaped = await refuse(
      "vgg11",
      await write((t) => t.set("features.8.bias", Tensor.zeros([255]))),
    );
    expect(shaped.message).toContain("features.8.bias (expected (256), received (255))");
    const typed = await refuse(
      "vgg11",
      await write((t) => t.set("features.8.bias", Tensor.zeros([256], "int32"))),
    );
    expect(typed.code).toBe("CHECKPOINT_UNSUPPORTED");
    const old = await refuse(
      "vgg11",
      await write((t) => {
        for (const [from, to] of [
          ["0", "1"],
          ["3", "4"],
        ])
          for (const suffix of ["weight", "bias"]) {
            t.set(`classifier.${to}.${suffix}`, t.get(`classifier.${from}.${suffix}`)!);
            t.delete(`classifier.${from}.${suffix}`);
          }
      }),
    );
    expect(old.message).toContain("before March 2017");

    // The damage shows only at the end of the data. The model is then freed.
    const path = join(scratch, "damaged.pth");
    await writePytorch(path, lazy(state));
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
    expect((await refuse("vgg11", path)).message).toContain("CRC-32");
    rmSync(path);
  });

  it("name what a mistyped name most likely stands for", async () => {
    await expect(Vgg.create("VGG16-BN" as never)).rejects.toThrow('; did you mean "vgg16_bn"?');
    await expect(Vgg.create("vgg12" as never)).rejects.toThrow(/received "vgg12"$/);
    await expect(model.getParameter("features.0.wieght")).rejects.toThrow(
      '; did you mean "features.0.weight"?',
    );
    await expect(model.getParameter("features.1.weight")).rejects.toThrow(/weight"$/);
  });

  it.each<[string, () => Promise<unknown>]>([
    ...["seed", "device", "precision", "inChannels", "numClasses", "imageSize", "labels"].map(
      (name): [string, () => Promise<unknown>] => [
        name,
        () => Vgg.create("vgg11", { ...small, [name]: null }),
      ],
    ),
    ...["numClasses", "inChannels", "labels", "verify"].map(
      (name): [string, () => Promise<unknown>] => [
        `load's ${name}`,
        () => Vgg.load("vgg11", saved, { device: testDevice, imageSize: 32, [name]: null }),
      ],
    ),
    ...["top", "batchSize"].map((name): [string, () => Promise<unknown>] => [
      name,
      () => model.classify([], { [name]: null }),
    ]),
    ...["warmup", "iterations"].map((name): [string, () => Promise<unknown>] => [
      name,
      () => model.profile(1, { [name]: null }),
    ]),
    ...["timeoutMs", "retries", "retryDelayMs"].map((name): [string, () => Promise<unknown>] => [
      name,
      () => pullWeights("vgg11", "DEFAULT", { folder: scratch, offline: true, [name]: null }),
    ]),
  ])("refuse null for %s instead of taking the default", async (_, call) => {
    await expect(call()).rejects.toThrow(TypeError);
    await expect(call()).rejects.toThrow("but received null");
  });

  it.each<[string, () => Promise<unknown>, new (...args: never[]) => Error]>([
    [
      "a signal that is a number",
      () => Vgg.load("vgg11", saved, { signal: 5 as never }),
      TypeError,
    ],
    [
      "an unknown precision, before a download",
      () => Vgg.load("vgg11", "DEFAULT", { precision: "bad" as never }),
      RangeError,
    ],
    [
      "labels that are a number, before a download",
      () => Vgg.load("vgg11", "DEFAULT", { labels: 5 as never }),
      TypeError,
    ],
    ["a Map of options", () => Vgg.create("vgg11", new Map() as never), TypeError],
    [
      "an unknown option of writing",
      () => writeSafetensors("x", {}, { foo: 1 } as never),
      TypeError,
    ],
    ["an empty path", () => model.save(""), RangeError],
    ["a name of PyTorch's files", () => model.save("out.pth"), RangeError],
    ["a path that is a number", () => Vgg.load("vgg11", 3 as never), TypeError],
    ["a path alone that is a number", () => Vgg.load(3 as never), TypeError],
    ["a source that is null", () => Vgg.load("vgg11", null as never), TypeError],
    ["options without a source", () => Vgg.load("vgg11", undefined as never, {}), TypeError],
    ["an architecture without a source", () => Vgg.load("vgg11"), RangeError],
    ["options after an architecture alone", () => Vgg.load("vgg11", {}), RangeError],
    ["known weights without an architecture", () => Vgg.load("DEFAULT"), RangeError],
    [
      "a path in the place of the architecture",
      () => Vgg.load("a.pth" as never, "vgg11"),
      RangeError,
    ],
    ["a prefix that is a number", () => Vgg.load("x.pth", { prefix: 3 as never }), TypeError],
    [
      "a progress that is no function",
      () => Vgg.load("x.pth", { onProgress: {} as never }),
      TypeError,
    ],
    ["an unknown architecture", () => Vgg.load("vgg12" as never, "x.pth"), RangeError],
    ["an unknown option", () => Vgg.load("vgg11", "x.pth", { weights: 1 } as never), TypeError],
    ["too few labels", () => Vgg.create("vgg11", { ...small, labels: ["a"] }), RangeError],
    [
      "labels that are a string",
      () => Vgg.create("vgg11", { ...small, labels: "abcdefghij" as never }),
      TypeError,
    ],
    ["no path to save to", () => model.save(undefined as never), TypeError],
    ["metadata that is not an object", () => model.save("x", { metadata: 3 as never }), TypeError],
  ])("refuse %s", async (_, call, type) => {
    await expect(call()).rejects.toThrow(type);
  });
});
