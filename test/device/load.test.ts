// Vgg.load and save handle weights under every naming scheme, in every format and precision.
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertTensor } from "../../lib/checkpoint/convert.ts";
import { writePytorch } from "../../lib/checkpoint/pytorch/write.ts";
import { type AnyTensor, readCheckpoint, Tensor, Vgg, writeSafetensors } from "../../lib/index.ts";
import { parameterTable } from "../../lib/vgg/parameters.ts";
import { topology } from "../../lib/vgg/topology.ts";
import { relativeError } from "../support/compare.ts";
import { isSlow, testDevice } from "../support/devices.ts";
import { goldenInput, goldenParameter, readGolden } from "../support/golden.ts";
import { lazy, shape, small } from "../support/small-models.ts";

let scratch: string;
let model: Vgg;
let logits: Tensor;
let state: Map<string, AnyTensor>;
let saved: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-load-"));
  model = await Vgg.create("vgg11", { ...small, seed: 3, labels: [..."abcdefghij"] });
  logits = await model.forward(Tensor.randn(shape, 1));
  state = await model.stateDict();
  saved = join(scratch, "saved.safetensors");
  await model.save(saved, { metadata: { note: "a test" } });
});
afterAll(async () => {
  await model.dispose();
  rmSync(scratch, { recursive: true });
});

/** Loads, computes and disposes. */
async function answer(path: string, options: object = {}): Promise<Tensor> {
  await using loaded = await Vgg.load("vgg11", path, {
    device: testDevice,
    imageSize: 32,
    ...options,
  });
  return loaded.forward(Tensor.randn(shape, 1));
}

describe("Vgg.save and Vgg.load", () => {
  it("restore the same model, with its labels and metadata", async () => {
    await using loaded = await Vgg.load(saved, { device: testDevice });
    expect(loaded).toMatchObject({ arch: "vgg11", numClasses: 10, inChannels: 3, imageSize: 32 });
    expect(loaded.hiddenFeatures).toBe(64);
    expect(loaded.labels).toEqual([..."abcdefghij"]);
    expect(loaded.loadReport).toEqual({
      ...{ path: saved, format: "safetensors", names: "torchvision", ignored: [], configs: [] },
      warnings: [],
    });
    expect(model.loadReport).toBeUndefined();
    expect((await loaded.forward(Tensor.randn(shape, 1))).data).toEqual(logits.data);
    const other = { device: testDevice, imageSize: 64, labels: [..."0123456789"] };
    await using changed = await Vgg.load("vgg11", saved, other);
    expect([changed.imageSize, changed.labels]).toEqual([64, other.labels]);
    const tensors = await readCheckpoint(saved);
    expect([...tensors.keys()].sort()).toEqual([...state.keys()].sort());
  });

  it("keep the width of the hidden layers, and refuse another one", async () => {
    const path = join(scratch, "narrow.safetensors");
    const input = Tensor.randn(shape, 1);
    await using narrow = await Vgg.create("vgg11", { ...small, hiddenFeatures: 16, seed: 3 });
    await narrow.save(path);
    await using loaded = await Vgg.load(path, { device: testDevice, imageSize: 32 });
    expect(loaded.hiddenFeatures).toBe(16);
    expect(await loaded.getParameter("classifier.3.weight")).toMatchObject({ shape: [16, 16] });
    expect((await loaded.forward(input)).data).toEqual((await narrow.forward(input)).data);
    const other = { device: testDevice, hiddenFeatures: 17 };
    await expect(Vgg.load(path, other)).rejects.toMatchObject({
      code: "STATE_DICT_MISMATCH",
      message: `${path}: Expected hiddenFeatures 17 as in the options but the file has 16`,
    });
    await using named = await Vgg.load(path, { ...other, hiddenFeatures: 16 });
    expect(named.hiddenFeatures).toBe(16);
    rmSync(path);
  });

  it("keep batch normalisation's statistics and counters", async () => {
    await using norm = await Vgg.create("vgg11_bn", { ...small, seed: 4 });
    await norm.setParameter("features.1.running_mean", Tensor.randn([64], 5));
    await norm.setParameter(
      "features.1.num_batches_tracked",
      new Tensor([], BigInt64Array.of(42n)),
    );
    const path = join(scratch, "norm.safetensors");
    await norm.save(path);
    await using loaded = await Vgg.load("vgg11_bn", path, { device: testDevice, imageSize: 32 });
    expect((await loaded.getParameter("features.1.num_batches_tracked")).data).toEqual(
      BigInt64Array.of(42n),
    );
    const input = Tensor.randn(shape, 1);
    expect((await loaded.forward(input)).data).toEqual((await norm.forward(input)).data);
  });

  it("read what writePytorch writes, and the parameter names of wrappers, timm and the tutorial", async () => {
    const width = small.hiddenFeatures;
    const rename = (change: (name: string) => string) =>
      new Map([...state].map(([name, t]) => [change(name), t]));
    const timm = new Map(
      [...state].map(([name, t]) => {
        const renamed = name
          .replace("classifier.0", "pre_logits.fc1")
          .replace("classifier.3", "pre_logits.fc2")
          .replace("classifier.6", "head.fc");
        const convolution: Record<string, number[]> = {
          "classifier.0.weight": [width, 512, 7, 7],
          "classifier.3.weight": [width, width, 1, 1],
        };
        return [renamed, convolution[name] ? new Tensor(convolution[name]!, t.data) : t];
      }),
    );
    const variants = {
      "plain.pth": state,
      "wrapped.pth": rename((name) => `module.student._orig_mod.${name}`),
      "features.pth": rename((name) => name.replace("features.", "features.module.")),
      "lightning.pth": new Map([
        ...rename((name) => `model.${name}`),
        ["criterion.weight", Tensor.zeros([2])],
        ["n_averaged", new Tensor([], BigInt64Array.of(3n))],
      ]),
      "head.pth": rename((name) => name.replace("classifier.6.", "classifier.6.1.")),
      "tutorial.pth": rename((name) =>
        name.replace("features", "conv_layers").replace("classifier", "linear_layers"),
      ),
      "timm.pth": timm,
    };
    // The device gets the same elements from each file.
    const slow = ["wrapped.pth", "timm.pth"];
    for (const [file, tensors] of Object.entries(variants)) {
      if (isSlow && !slow.includes(file)) continue;
      const path = join(scratch, file);
      await writePytorch(path, lazy(tensors));
      expect((await answer(path)).data, file).toEqual(logits.data);
      rmSync(path);
    }
  });

  it("report the names that are beside the network", async () => {
    const path = join(scratch, "beside.safetensors");
    const beside = { "fc.weight": Tensor.zeros([2, 10]), "criterion.weight": Tensor.zeros([2]) };
    const names = new Map([...state].map(([name, t]) => [`net.${name}`, t]));
    await writeSafetensors(path, new Map([...names, ...Object.entries(beside)]));
    await using loaded = await Vgg.load(path, { device: testDevice, imageSize: 32 });
    expect([...loaded.loadReport!.ignored].sort()).toEqual(["criterion.weight", "fc.weight"]);
    expect((await loaded.forward(Tensor.randn(shape, 1))).data).toEqual(logits.data);
    rmSync(path);
  });

  it("accept half precision and float64, converted to float32", async () => {
    const halves = [
      ["float16", 2e-3],
      ["bfloat16", 2e-2],
    ] as const;
    for (const [dtype, bound] of isSlow ? halves.slice(0, 1) : halves) {
      const path = join(scratch, `${dtype}.safetensors`);
      const half = new Map([...state].map(([name, t]) => [name, convertTensor(t, dtype)]));
      await writeSafetensors(path, half);
      expect(statSync(path).size).toBeLessThan(statSync(saved).size * 0.51);
      const result = await answer(path);
      const error = relativeError(result.data as Float32Array, logits.data as Float32Array);
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(bound);
      // The device converts as JavaScript does.
      await using widened = await Vgg.create("vgg11", small);
      await widened.loadStateDict(
        new Map([...half].map(([name, t]) => [name, convertTensor(t, "float32")])),
      );
      expect((await widened.forward(Tensor.randn(shape, 1))).data).toEqual(result.data);
      rmSync(path);
    }
    const bias = new Tensor(
      [10],
      Float64Array.from({ length: 10 }, (_, i) => i + 1e-12),
    );
    await model.setParameter("classifier.6.bias", bias);
    expect([...((await model.getParameter("classifier.6.bias")).data as Float32Array)]).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        .map(Math.fround)
        .map((v, i) => Math.fround(v + (i === 0 ? 1e-12 : 0))),
    );
    await model.setParameter("classifier.6.bias", state.get("classifier.6.bias")!);
  });

  it("agree with PyTorch on a golden network that was saved and loaded", async () => {
    const golden = readGolden("vgg11-in3-classes10-batch3-size96-seed5.json");
    const parameters = parameterTable(topology("vgg11", { numClasses: 10 })).map(
      (p, index) => [p.name, goldenParameter(golden.seed, index, p)] as const,
    );
    const path = join(scratch, "golden.pth");
    await writePytorch(path, lazy(new Map(parameters)));
    await using loaded = await Vgg.load("vgg11", path, { device: testDevice, imageSize: 96 });
    const result = await loaded.forward(goldenInput(golden));
    expect(relativeError(result.data as Float32Array, golden.logits.flat())).toBeLessThanOrEqual(
      1e-5,
    );
    rmSync(path);
  });

  it("replace a file whole or not at all, keeping its links and permissions", async () => {
    const tensors = { a: Tensor.randn([3], 1) };
    const target = join(scratch, "target.safetensors");
    const link = join(scratch, "link.safetensors");
    writeFileSync(target, "before", { mode: 0o600 });
    symlinkSync(target, link);
    await writeSafetensors(link, tensors);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect((await readCheckpoint(target)).get("a")!.data).toEqual(tensors.a.data);
    await writeSafetensors(join(scratch, `${"n".repeat(236)}.safetensors`), tensors);

    const failing = async (path: string) => {
      const before = readdirSync(scratch);
      const error = await writeSafetensors(path, tensors).catch((e) => e);
      expect(readdirSync(scratch)).toEqual(before);
      return error;
    };
    expect(await failing("")).toBeInstanceOf(RangeError);
    expect(await failing(scratch)).toBeInstanceOf(RangeError);
    expect(await failing(join(scratch, "no folder", "x"))).toMatchObject({
      code: "FOLDER_UNUSABLE",
    });
    expect(await failing(join(target, "x"))).toMatchObject({ code: "FOLDER_UNUSABLE" });
  });

  it("load a state dict whole or not at all", async () => {
    await using other = await Vgg.create("vgg11", { ...small, seed: 9 });
    const before = await other.forward(Tensor.randn(shape, 1));
    const tensors = new Map(state);
    const lost = new Tensor([10], new Float32Array(10));
    structuredClone(lost.data.buffer, { transfer: [lost.data.buffer as ArrayBuffer] });
    tensors.set("classifier.6.bias", lost);
    await expect(other.loadStateDict(tensors)).rejects.toThrow("was its ArrayBuffer transferred?");
    expect((await other.forward(Tensor.randn(shape, 1))).data).toEqual(before.data);
    for (const wrong of [[], new Set(), new Tensor([1], new Float32Array(1))]) {
      await expect(other.loadStateDict(wrong as never)).rejects.toThrow(TypeError);
      await expect(writeSafetensors(join(scratch, "x"), wrong as never)).rejects.toThrow(TypeError);
    }
  });
});
