// Calls that share runs: what they return, their order among writes, their bounds, and how each of them ends.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CallTiming, Tensor, Vgg, type VggError, type VggOptions } from "../../lib/index.ts";
import { small } from "../support/small-models.ts";

const image = (name: string) => fileURLToPath(new URL(`../golden/images/${name}`, import.meta.url));
const names = ["landscape.png", "portrait.jpg", "palette.gif", "small.png", "gray.png"];
const images = names.map((name) => readFileSync(image(name)));

const create = (options: VggOptions = {}) => Vgg.create("vgg11", { ...small, seed: 3, ...options });
const batch = (count: number, seed: number) => Tensor.randn([count, 3, 32, 32], seed);
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => "resolved",
    (error: VggError) => error.code ?? error,
  );

let model: Vgg;
beforeAll(async () => {
  model = await create();
});
afterAll(() => model.dispose());

/** The images and runs of some calls. */
async function counted<T>(of: Vgg, calls: () => Promise<T>) {
  const before = of.batching!;
  const results = await calls();
  const { runs, images } = of.batching!;
  return { results, runs: runs - before.runs, images: images - before.images };
}

describe("calls at the same time", () => {
  it("share runs, and each gets its own image's classes", async () => {
    const many = Array.from({ length: 20 }, (_, index) => images[index % images.length]!);
    const alone = [];
    for (const bytes of images) alone.push(await model.classify(bytes));
    const {
      results,
      runs,
      images: run,
    } = await counted(model, () => Promise.all(many.map((bytes) => model.classify(bytes))));
    for (const [index, predictions] of results.entries()) {
      const expected = alone[index % images.length]!;
      expect(predictions.map(({ index }) => index)).toEqual(expected.map(({ index }) => index));
      for (const [rank, { probability }] of predictions.entries())
        expect(Math.abs(probability - expected[rank]!.probability)).toBeLessThan(1e-5);
    }
    expect(run).toBe(20);
    expect(runs).toBeLessThan(20);
    expect(model.batching).toMatchObject({ waitingImages: 0 });
  });

  it("share a run although they want other numbers of classes", async () => {
    const [x, ...others] = await Promise.all(
      [1, 2, 5].map((top) => model.classify(images[0]!, { top })),
    );
    expect([x!.length, ...others.map(({ length }) => length)]).toEqual([1, 2, 5]);
    expect(others[1]!.slice(0, 1).map(({ index }) => index)).toEqual(x!.map(({ index }) => index));
  });

  it("share runs of embeddings, of tensors and of layers", async () => {
    const inputs = [batch(1, 1), batch(3, 2), batch(1, 3), batch(2, 4)];
    const { results, runs } = await counted(model, () =>
      Promise.all(inputs.map((input) => model.forward(input, { batched: true }))),
    );
    expect(runs).toBeLessThan(inputs.length);
    const outputs = ["features", "classifier.3"];
    const layers = await Promise.all(
      inputs.map((input) => model.forward(input, { batched: true, outputs })),
    );
    const embedded = await Promise.all(
      inputs.map((input) => model.embed(input, { normalize: true })),
    );
    for (const [index, input] of inputs.entries()) {
      const logits = await model.forward(input);
      expect(results[index]!.shape).toEqual(logits.shape);
      expectClose(results[index]!, logits);
      const expected = await model.forward(input, { outputs });
      for (const name of outputs) expectClose(layers[index]![name]!, expected[name]!);
      const embedding = await model.embed(input, { normalize: true });
      expectClose(embedded[index]!, embedding);
    }
  });

  it("keep their own runs with batching: false, and give the same bits every time", async () => {
    await using single = await create({ batching: false });
    expect(single.batching).toBeNull();
    const alone = await single.classify(images[0]!);
    const together = await Promise.all(
      Array.from({ length: 4 }, () => single.classify(images[0]!, { priority: 1, timeoutMs: 1e4 })),
    );
    for (const predictions of together) expect(predictions).toEqual(alone);
    const input = batch(3, 5);
    const { data } = await single.forward(input, { batched: true });
    expect(data).toEqual((await single.forward(input)).data);
  });

  it("are cut into parts of maxBatchSize", async () => {
    await using little = await create({ batching: { maxBatchSize: 2 } });
    const input = batch(5, 6);
    const { results, runs } = await counted(little, () => little.forward(input, { batched: true }));
    expect(runs).toBe(3);
    expectClose(results, await little.forward(input));
    expect(await little.classify(images, { batchSize: 8 })).toHaveLength(images.length);
  });
});

function expectClose(actual: Tensor, expected: Tensor) {
  expect(actual.shape).toEqual(expected.shape);
  let [scale, difference] = [0, 0];
  for (const [index, value] of expected.data.entries()) {
    scale = Math.max(scale, Math.abs(value));
    difference = Math.max(difference, Math.abs(actual.data[index]! - value));
  }
  expect(difference).toBeLessThanOrEqual(1e-5 * scale);
}

describe("the order of batched calls", () => {
  it("is that of the calls among writes of parameters", async () => {
    await using own = await create();
    const input = batch(1, 7);
    const bias = (value: number) => new Tensor([10], new Float32Array(10).fill(value));
    const calls = [];
    for (let value = 0; value < 6; value++) {
      calls.push(own.forward(input, { batched: true }));
      if (value % 2 === 0) void own.setParameter("classifier.6.bias", bias(100 * (value + 1)));
      else
        void own.loadStateDict({ "classifier.6.bias": bias(100 * (value + 1)) }, { strict: false });
    }
    const logits = await Promise.all(calls);
    const first = logits[0]!.data[0]!;
    for (const [value, { data }] of logits.entries())
      expect(Math.abs(data[0]! - first - 100 * value)).toBeLessThan(1e-2);
  });

  it("lets inputs change after the call", async () => {
    const input = batch(2, 8);
    const expected = await model.forward(input);
    const call = model.forward(input, { batched: true });
    input.data.fill(0);
    expectClose(await call, expected);
  });

  it("runs what waits when the model is disposed, and refuses later calls", async () => {
    const own = await create();
    const calls = Array.from({ length: 40 }, () => own.forward(batch(1, 9), { batched: true }));
    const decoding = codeOf(own.classify(image("portrait.jpg")));
    const disposal = own.dispose();
    const late = own.forward(batch(1, 9), { batched: true });
    expect(await codeOf(late)).toBe("DISPOSED");
    for (const { shape } of await Promise.all(calls)) expect(shape).toEqual([1, 10]);
    expect(await decoding).toBe("DISPOSED");
    await disposal;
  });
});

describe("the bounds of the queue", () => {
  it("refuse a call before it decodes, and say when to try again", async () => {
    await using own = await create({ batching: { maxQueueSize: 2 } });
    const calls = [1, 2].map(() => own.forward(batch(1, 1), { batched: true }));
    const refused = own.classify(image("missing.png"));
    await expect(refused).rejects.toMatchObject({
      code: "QUEUE_FULL",
      message: expect.stringContaining("2 images (maxQueueSize)"),
      retryAfterMs: expect.any(Number),
    });
    await Promise.all(calls);
    expect(await own.classify(images[0]!)).toHaveLength(5);
  });

  it("count bytes", async () => {
    await using own = await create({ batching: { maxQueueBytes: 20_000 } });
    const first = own.forward(batch(4, 1), { batched: true });
    expect(await codeOf(own.embed(images[0]!))).toBe("QUEUE_FULL");
    await expect(own.forward(batch(1, 1), { batched: true })).rejects.toThrow("maxQueueBytes");
    expect((await first).shape).toEqual([4, 10]);
    expect(own.batching!.waitingImages).toBe(0);
  });

  it("accept a call of any size if nothing waits", async () => {
    await using own = await create({ batching: { maxQueueSize: 1, maxBatchSize: 2 } });
    expect(await own.classify(images)).toHaveLength(images.length);
    expect((await own.forward(batch(7, 1), { batched: true })).shape).toEqual([7, 10]);
    expect((await own.embed(images, { batchSize: 1 })).shape).toEqual([
      images.length,
      small.hiddenFeatures,
    ]);
  });
});

describe("a call that ends early", () => {
  it("does not disturb the others of its run", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const { signal } = controller;
    const calls = [undefined, signal, undefined].map((each) =>
      model.forward(batch(1, 2), { batched: true, signal: each }),
    );
    setImmediate(() => controller.abort(reason));
    await expect(calls[1]).rejects.toBe(reason);
    expectClose((await calls[0])!, (await calls[2])!);
    await expect(model.classify(images[0]!, { signal })).rejects.toBe(reason);
  });

  it("frees its images in the queue", async () => {
    await using own = await create({ batching: { maxQueueSize: 2 } });
    const controller = new AbortController();
    const { signal } = controller;
    const call = own.forward(batch(2, 1), { batched: true, signal });
    controller.abort();
    expect(await codeOf(call)).not.toBe("resolved");
    expect(own.batching).toMatchObject({ waitingImages: 0, runs: 0 });
    expect((await own.forward(batch(2, 1), { batched: true })).shape).toEqual([2, 10]);
  });

  it("is TIMED_OUT if it waits too long, also while its image is decoded", async () => {
    const never = new ReadableStream({});
    expect(await codeOf(model.classify(never as never, { timeoutMs: 20 }))).toBe("TIMED_OUT");
    expect(model.batching!.waitingImages).toBe(0);
    const call = model.forward(batch(1, 1), { batched: true, timeoutMs: 1e-3 });
    expect(await codeOf(call)).toBe("TIMED_OUT");
    expect((await model.classify(images[0]!, { timeoutMs: 60_000 })).length).toBe(5);
  });

  it("is TIMED_OUT at once if the images before it take too long", async () => {
    await using own = await create();
    for (let i = 0; i < 3; i++) await own.forward(batch(1, 1), { batched: true });
    const calls = Array.from({ length: 60 }, () => own.forward(batch(1, 1), { batched: true }));
    const late = own.forward(batch(1, 1), { batched: true, timeoutMs: 0.5 });
    expect(own.batching!.waitingImages).toBe(60);
    expect(await codeOf(late)).toBe("TIMED_OUT");
    await Promise.all(calls);
  });
});

describe("onTiming", () => {
  const timed = async (call: (onTiming: (timing: CallTiming) => void) => Promise<unknown>) => {
    const timings: CallTiming[] = [];
    await call((timing) => timings.push(timing));
    return timings;
  };

  it("is told the times of each run of a call", async () => {
    const [one] = await timed((onTiming) => model.classify(images[0]!, { onTiming }));
    expect(one).toEqual({
      decodeMs: expect.any(Number),
      queueMs: expect.any(Number),
      runMs: expect.any(Number),
      batchSize: 1,
      images: 1,
    });
    expect(one!.decodeMs).toBeGreaterThan(0);
    expect(one!.runMs).toBeGreaterThan(0);
    const parts = await timed((onTiming) => model.embed(images, { onTiming, batchSize: 2 }));
    expect(parts.map((part) => part.images)).toEqual([2, 2, 1]);
    const [tensor] = await timed((onTiming) =>
      model.forward(batch(2, 1), { batched: true, onTiming }),
    );
    expect(tensor).toMatchObject({ decodeMs: 0, batchSize: 2, images: 2 });
    await using single = await create({ batching: false });
    const [direct] = await timed((onTiming) => single.classify(images[0]!, { onTiming }));
    expect(direct).toMatchObject({ queueMs: 0, batchSize: 1, images: 1 });
  });

  it("rejects the call with what it throws, and no other one", async () => {
    const reason = new Error("no");
    const onTiming = () => {
      throw reason;
    };
    const other = model.classify(images[0]!);
    await expect(model.classify(images[0]!, { onTiming })).rejects.toBe(reason);
    expect(await other).toHaveLength(5);
    expect(model.batching!.waitingImages).toBe(0);
  });
});
