// Vgg.load, save and classify: weights under every naming scheme, in every format and precision, and what is refused.
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convertTensor } from "../../lib/checkpoint/convert.ts";
import { writePytorch } from "../../lib/checkpoint/pytorch/write.ts";
import type { LazyTensor } from "../../lib/checkpoint/safetensors.ts";
import {
  imagenetLabels,
  preprocess,
  pullWeights,
  readCheckpoint,
  Tensor,
  Vgg,
  VggError,
  writeSafetensors,
} from "../../lib/index.ts";
import { relativeError } from "../support/compare.ts";
import { testDevice } from "../support/devices.ts";
import { goldenInput, goldenParameter, readGolden } from "../support/golden.ts";

const small = { device: testDevice, imageSize: 32, numClasses: 10 } as const;
const shape = [2, 3, 32, 32];
const lazy = (tensors: ReadonlyMap<string, Tensor>): Map<string, LazyTensor> =>
  new Map(
    [...tensors].map(([name, t]) => [
      name,
      { shape: t.shape, dtype: t.dtype, read: async () => t },
    ]),
  );

let scratch: string;
let model: Vgg;
let logits: Tensor;
let state: Map<string, Tensor>;
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
  it("give the same model back, with its labels and metadata", async () => {
    await using loaded = await Vgg.load("vgg11", saved, { device: testDevice, imageSize: 32 });
    expect(loaded.numClasses).toBe(10);
    expect(loaded.labels).toEqual([..."abcdefghij"]);
    expect((await loaded.forward(Tensor.randn(shape, 1))).data).toEqual(logits.data);
    const tensors = await readCheckpoint(saved);
    expect([...tensors.keys()].sort()).toEqual([...state.keys()].sort());
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

  it("read what writePytorch writes, and names of wrappers, timm and the tutorial", async () => {
    const rename = (change: (name: string) => string) =>
      new Map([...state].map(([name, t]) => [change(name), t]));
    const timm = new Map(
      [...state].map(([name, t]) => {
        const renamed = name
          .replace("classifier.0", "pre_logits.fc1")
          .replace("classifier.3", "pre_logits.fc2")
          .replace("classifier.6", "head.fc");
        const convolution: Record<string, number[]> = {
          "classifier.0.weight": [4096, 512, 7, 7],
          "classifier.3.weight": [4096, 4096, 1, 1],
        };
        return [renamed, convolution[name] ? new Tensor(convolution[name]!, t.data) : t];
      }),
    );
    const variants = {
      "plain.pth": state,
      "wrapped.pth": rename((name) => `module._orig_mod.${name}`),
      "tutorial.pth": rename((name) =>
        name.replace("features", "conv_layers").replace("classifier", "linear_layers"),
      ),
      "timm.pth": timm,
    };
    for (const [file, tensors] of Object.entries(variants)) {
      const path = join(scratch, file);
      await writePytorch(path, lazy(tensors));
      expect((await answer(path)).data, file).toEqual(logits.data);
      rmSync(path);
    }
  });

  it("take half precision and float64, converted to float32", async () => {
    for (const [dtype, bound] of [
      ["float16", 2e-3],
      ["bfloat16", 2e-2],
    ] as const) {
      const path = join(scratch, `${dtype}.safetensors`);
      const half = new Map([...state].map(([name, t]) => [name, convertTensor(t, dtype)]));
      await writeSafetensors(path, half);
      expect(statSync(path).size).toBeLessThan(statSync(saved).size * 0.51);
      const result = await answer(path);
      const error = relativeError(result.data as Float32Array, logits.data as Float32Array);
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(bound);
      // The device's conversion is the same as the one in JavaScript.
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

  it("agree with PyTorch on a golden network that went through a file", async () => {
    const golden = readGolden("vgg11-in3-classes10-batch3-size96-seed5.json");
    const parameters = [...model.parameters()].map(
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

  it("refuse what is not this network, naming every key", async () => {
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
    expect(other.message).toContain("They are the names of vgg11.");
    expect(other.message).toContain("Missing keys: features.2.weight, features.2.bias");
    expect((await refuse("vgg11", saved, { numClasses: 11 })).message).toContain(
      "Expected numClasses 11 as in the options but the file has 10",
    );
    expect((await refuse("vgg11", saved, { inChannels: 1 })).message).toContain("inChannels 1");
    expect((await refuse("vgg11", join(scratch, "missing.pth"))).code).toBe(
      "CHECKPOINT_UNREADABLE",
    );

    const write = async (change: (tensors: Map<string, Tensor>) => void) => {
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

    // Damage that shows only at the end of the data: the model is gone again.
    const path = join(scratch, "damaged.pth");
    await writePytorch(path, lazy(state));
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
    expect((await refuse("vgg11", path)).message).toContain("CRC-32");
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
  ])("refuse null for %s: it is not the default", async (_, call) => {
    await expect(call()).rejects.toThrow(TypeError);
    await expect(call()).rejects.toThrow("but received null");
  });

  it.each<[string, () => Promise<unknown>, new (...args: never[]) => Error]>([
    ["a signal that is none", () => Vgg.load("vgg11", saved, { signal: 5 as never }), TypeError],
    [
      "a precision that does not exist, before a download",
      () => Vgg.load("vgg11", "DEFAULT", { precision: "bad" as never }),
      RangeError,
    ],
    [
      "labels that are none, before a download",
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
    ["no path", () => Vgg.load("vgg11", 3 as never), TypeError],
    ["an unknown architecture", () => Vgg.load("vgg12" as never, "x.pth"), RangeError],
    ["an unknown option", () => Vgg.load("vgg11", "x.pth", { weights: 1 } as never), TypeError],
    ["too few labels", () => Vgg.create("vgg11", { ...small, labels: ["a"] }), RangeError],
    [
      "labels that are none",
      () => Vgg.create("vgg11", { ...small, labels: "abcdefghij" as never }),
      TypeError,
    ],
    ["a path that is none to save to", () => model.save(undefined as never), TypeError],
    ["metadata that is no object", () => model.save("x", { metadata: 3 as never }), TypeError],
  ])("refuse %s", async (_, call, type) => {
    await expect(call()).rejects.toThrow(type);
  });
});

describe("Vgg.classify", () => {
  const image = (name: string) =>
    fileURLToPath(new URL(`../golden/images/${name}`, import.meta.url));

  it("names the same classes as preprocessing, forward and softmax by hand", async () => {
    await using network = await Vgg.create("vgg11", { device: testDevice, seed: 8 });
    const paths = ["landscape.png", "portrait.jpg", "palette.gif"].map(image);
    const all = await network.classify(paths, { top: 3, batchSize: 2 });
    for (const [i, path] of paths.entries()) {
      const { data } = await network.forward(await preprocess(path));
      const scores = [...(data as Float32Array)];
      const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
      const best = scores
        .map((score, index) => ({ index, score }))
        .sort((a, b) => b.score - a.score);
      for (const rank of [0, 1, 2]) {
        const { index, label, probability } = all[i]![rank]!;
        expect(index).toBe(best[rank]!.index);
        expect(label).toBe(imagenetLabels[index]);
        expect(Math.abs(probability - Math.exp(best[rank]!.score) / sum)).toBeLessThan(1e-5);
      }
    }
    const alone = await network.classify(paths[0]!, { top: 3 });
    // Sums of another batch size may be taken in another order.
    expect(alone).toEqual(
      all[0]!.map((prediction) => ({
        ...prediction,
        probability: expect.closeTo(prediction.probability, 7),
      })),
    );
    expect(await network.classify(readFileSync(paths[0]!), { top: 3 })).toEqual(alone);
    expect(await network.classify([])).toEqual([]);
    const signal = AbortSignal.abort();
    await expect(network.classify([], { signal })).rejects.toMatchObject({ name: "AbortError" });
  });

  it("yields one image after the other, and goes on after a bad one", async () => {
    const sources = [
      image("small.png"),
      image("missing.png"),
      Buffer.from("no image"),
      image("gray.png"),
    ];
    const results = [];
    for await (const result of model.classifyEach(sources, { batchSize: 3 })) results.push(result);
    expect(
      results.map((result) =>
        "error" in result ? (result.error as VggError).code : result.predictions.length,
      ),
    ).toEqual([5, "IMAGE_UNREADABLE", "IMAGE_FORMAT", 5]);
    await expect(model.classify(sources)).rejects.toMatchObject({ code: "IMAGE_UNREADABLE" });
    const first = results[0]!;
    for (const { label, index } of "predictions" in first ? first.predictions : []) {
      expect(label).toBe("abcdefghij"[index]);
    }
  });

  it("copies the bytes and the array of classify before it returns", async () => {
    const bytes = () => Buffer.from(readFileSync(image("small.png")));
    const expected = await model.classify(bytes());
    const one = bytes();
    const alone = model.classify(one);
    one.fill(0);
    expect(await alone).toEqual(expected);

    const many = [bytes(), bytes(), bytes()];
    const all = model.classify(many, { batchSize: 1 });
    for (const buffer of many) buffer.fill(0);
    many.length = 0;
    expect(await all).toEqual([expected, expected, expected]);
  });

  it("refuses all of classify for one argument that is no image", async () => {
    await expect(model.classify(7 as never)).rejects.toThrow("for image but received 7");
    await expect(model.classify([image("small.png"), 7 as never])).rejects.toThrow(
      "for images[1] but received 7",
    );
    const nested = [[image("small.png"), image("small.png")]] as never;
    await expect(model.classify(nested)).rejects.toThrow("for images[0] but received");
  });

  it("copies each image of an iterable before it asks for the next", async () => {
    const bytes = readFileSync(image("small.png"));
    const good = (await model.classify(bytes))[0]!.index;
    const pooled = Buffer.alloc(bytes.length);
    function* sync() {
      for (let i = 0; i < 5; ++i) {
        // Every other entry is no image.
        if (i % 2 === 0) pooled.set(bytes);
        else pooled.fill(0);
        yield pooled;
      }
    }
    async function* async() {
      yield* sync();
    }
    for (const images of [sync(), async()]) {
      const received = [];
      for await (const result of model.classifyEach(images, { batchSize: 5 }))
        received.push(
          "error" in result ? (result.error as VggError).code : result.predictions[0]!.index,
        );
      expect(received).toEqual([good, "IMAGE_FORMAT", good, "IMAGE_FORMAT", good]);
    }
  });

  it.each([
    ["empty buffers", Buffer.alloc(0)],
    ["nulls", null as never],
  ])("lets timers fire while a source gives only %s", async (_, bad) => {
    function* sync() {
      // The bound ends a failing test.
      for (let i = 0; i < 300_000; ++i) yield bad;
    }
    async function* async() {
      yield* sync();
    }
    for (const images of [sync(), async()]) {
      const controller = new AbortController();
      const reason = new Error("enough");
      const timer = setTimeout(() => controller.abort(reason), 5);
      const consume = async () => {
        for await (const result of model.classifyEach(images, { signal: controller.signal }))
          expect("error" in result).toBe(true);
      };
      await expect(consume()).rejects.toBe(reason);
      clearTimeout(timer);
    }
  });

  it("refuses an iterable that breaks the protocol", async () => {
    const consume = async (images: unknown) => {
      for await (const _ of model.classifyEach(images as never)) break;
    };
    for (const [iterator, message] of [
      [{}, "Expected an iterator with a method next for the iterator of images"],
      [{ next: () => null }, "Expected an object for an answer of the iterator's next()"],
    ] as const) {
      const images = { [Symbol.iterator]: () => iterator };
      await expect(consume(images)).rejects.toThrow(TypeError);
      await expect(consume(images)).rejects.toThrow(message);
    }
  });

  it("tells what reads the images when the caller stops, and gives what came before a failure", async () => {
    let isClosed = false;
    function* endless() {
      try {
        for (;;) yield image("small.png");
      } finally {
        isClosed = true;
      }
    }
    for await (const _ of model.classifyEach(endless(), { batchSize: 2 })) break;
    expect(isClosed).toBe(true);

    async function* failing() {
      yield image("small.png");
      throw new Error("no more");
    }
    const seen: unknown[] = [];
    const consume = async () => {
      for await (const { source } of model.classifyEach(failing(), { batchSize: 4 }))
        seen.push(source);
    };
    await expect(consume()).rejects.toThrow("no more");
    expect(seen).toEqual([image("small.png")]);
    for (const images of [null, 5, undefined]) {
      await expect(model.classifyEach(images as never).next()).rejects.toThrow(
        "Expected an iterable of images",
      );
    }
  });

  it("ends at once while the source of images owes one", async () => {
    let isTold = false;
    const owing = (count: number): AsyncIterable<string> => ({
      [Symbol.asyncIterator]: () => ({
        next: () =>
          count-- > 0
            ? Promise.resolve({ value: image("small.png"), done: false as const })
            : new Promise<never>(() => {}),
        return: () => {
          isTold = true;
          return new Promise<never>(() => {});
        },
      }),
    });
    // The answer comes although the batch is not full, and the loop ends although the source does not.
    for await (const result of model.classifyEach(owing(1))) {
      expect(result).toHaveProperty("predictions");
      break;
    }
    expect(isTold).toBe(true);
    isTold = false;
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    const consume = async () => {
      for await (const _ of model.classifyEach(owing(2), { signal })) {
        setTimeout(() => controller.abort(reason), 20);
      }
    };
    await expect(consume()).rejects.toBe(reason);
    expect(isTold).toBe(true);
  });

  it("refuses bad options, other channels, and a disposed model", async () => {
    await expect(model.classify(image("small.png"), { top: 11 })).rejects.toThrow(
      "Expected an integer from 1 to 10 for options.top but received 11",
    );
    await expect(model.classify(image("small.png"), { topk: 1 } as never)).rejects.toThrow(
      TypeError,
    );
    await expect(model.classify(7 as never)).rejects.toThrow(TypeError);
    await expect(
      model.classify(image("small.png"), { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ name: "AbortError" });
    const grey = await Vgg.create("vgg11", { ...small, inChannels: 1 });
    await expect(grey.classify(image("small.png"))).rejects.toThrow(
      "Expected a model of 3 channels for classify",
    );
    await grey.dispose();
    await expect(grey.classify(image("small.png"))).rejects.toMatchObject({ code: "DISPOSED" });
  });
});

describe("convertTensor", () => {
  it("rounds to nearest, ties to even, as PyTorch does", () => {
    const cases: [number, number, number][] = [
      // value, float16 bits, bfloat16 bits
      [1, 0x3c00, 0x3f80],
      [-0, 0x8000, 0x8000],
      [65504, 0x7bff, 0x4780],
      [65520, 0x7c00, 0x4780],
      [2 ** -24, 0x0001, 0x3380],
      [2 ** -25, 0x0000, 0x3300],
      [3 * 2 ** -25, 0x0002, 0x33c0],
      [1 + 2 ** -11, 0x3c00, 0x3f80],
      [1 + 3 * 2 ** -11, 0x3c02, 0x3f80],
      [1 + 2 ** -8, 0x3c04, 0x3f80],
      [1 + 3 * 2 ** -8, 0x3c0c, 0x3f82],
      [Number.POSITIVE_INFINITY, 0x7c00, 0x7f80],
      [Number.NaN, 0x7e00, 0x7fc0],
      [6.1e-5, 0x03ff, 0x3880],
    ];
    const tensor = new Tensor(
      [cases.length],
      Float32Array.from(cases, ([value]) => value),
    );
    expect([...(convertTensor(tensor, "float16").data as Uint16Array)]).toEqual(
      cases.map(([, half]) => half),
    );
    expect([...(convertTensor(tensor, "bfloat16").data as Uint16Array)]).toEqual(
      cases.map(([, , brain]) => brain),
    );
  });

  it("is exact on the way back, for every half precision number", () => {
    for (const dtype of ["float16", "bfloat16"] as const) {
      const all = new Tensor(
        [65536],
        Uint16Array.from({ length: 65536 }, (_, i) => i),
        dtype,
      );
      const back = convertTensor(convertTensor(all, "float32"), dtype).data as Uint16Array;
      const isNaN16 = (bits: number) =>
        dtype === "float16" ? (bits & 0x7fff) > 0x7c00 : (bits & 0x7fff) > 0x7f80;
      for (let bits = 0; bits < 65536; bits++)
        expect(isNaN16(bits) ? isNaN16(back[bits]!) : back[bits] === bits).toBe(true);
    }
  });
});
