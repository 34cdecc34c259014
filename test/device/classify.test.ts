// Vgg.classify and classifyEach: which classes they give, when they copy bytes, and what ends an iterable of images.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imagenetLabels, preprocess, Vgg, type VggError } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";
import { small } from "../support/small-models.ts";

let model: Vgg;
beforeAll(async () => {
  model = await Vgg.create("vgg11", { ...small, seed: 3, labels: [..."abcdefghij"] });
});
afterAll(() => model.dispose());

describe("Vgg.classify", () => {
  const image = (name: string) =>
    fileURLToPath(new URL(`../golden/images/${name}`, import.meta.url));

  it("gives the same classes as preprocess, forward and softmax by hand", async () => {
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
    // Another batch size may add in another order.
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

  it("yields a result for each image in order, and continues after a bad one", async () => {
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

  it("copies the bytes and the array of classify before the call returns", async () => {
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

  it("refuses a whole classify call for one argument that is not an image", async () => {
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
        // Every other entry is not an image.
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
  ])("lets timers fire while a source yields only %s", async (_, bad) => {
    function* sync() {
      // The bound ends the test if it fails.
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

  it("closes the iterator when the caller stops, and yields what came before a failure", async () => {
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

  it("ends at once while the source's next image is pending", async () => {
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
    // The result arrives although the batch is not full, and the loop ends although the source does not.
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

  it("refuses bad options, a model of other than 1 or 3 channels, and a disposed model", async () => {
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
    const four = await Vgg.create("vgg11", { ...small, inChannels: 4 });
    expect(four.preprocessing).toBeUndefined();
    await expect(four.classify(image("small.png"))).rejects.toThrow(
      "Expected a model of 1 or 3 channels for classify but this one has 4",
    );
    await four.dispose();
    await expect(four.classify(image("small.png"))).rejects.toMatchObject({ code: "DISPOSED" });
  });
});
