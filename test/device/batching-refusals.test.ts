// What the options of calls that share runs refuse.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeviceTensor, Tensor, Vgg, type VggOptions } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";
import { small } from "../support/small-models.ts";

const images = [readFileSync(new URL("../golden/images/small.png", import.meta.url))];
const create = (options: VggOptions = {}) => Vgg.create("vgg11", { ...small, seed: 3, ...options });
const batch = (count: number, seed: number) => Tensor.randn([count, 3, 32, 32], seed);

let model: Vgg;
beforeAll(async () => {
  model = await create();
});
afterAll(() => model.dispose());

describe("refusals", () => {
  it.each([
    [
      "batching: true",
      { batching: true },
      "false or an object for options.batching but received true",
    ],
    [
      "batching: null",
      { batching: null },
      "false or an object for options.batching but received null",
    ],
    ["an unknown bound", { batching: { maxBatch: 2 } }, 'received "maxBatch"'],
    [
      "no images",
      { batching: { maxBatchSize: 0 } },
      "options.batching.maxBatchSize but received 0",
    ],
    ["half an image", { batching: { maxQueueSize: 1.5 } }, "maxQueueSize but received 1.5"],
    ["bytes as text", { batching: { maxQueueBytes: "1" } }, 'maxQueueBytes but received "1"'],
  ])("create: %s", async (_, options, message) => {
    await expect(create(options as never)).rejects.toThrow(message);
    await expect(Vgg.load("no.pth", options as never)).rejects.toThrow(message);
  });

  it.each([
    ["priority", { priority: 10 }, "an integer from 0 to 9 for options.priority but received 10"],
    ["timeoutMs", { timeoutMs: 0 }, "for options.timeoutMs but received 0"],
    ["timeoutMs of another type", { timeoutMs: "1" }, 'for options.timeoutMs but received "1"'],
    ["NaN", { timeoutMs: Number.NaN }, "for options.timeoutMs but received NaN"],
    ["client", { client: 7 }, "a string for options.client but received 7"],
    ["onTiming", { onTiming: 7 }, "a function for options.onTiming but received 7"],
  ])("calls: %s", async (_, options, message) => {
    const calls = [
      model.classify(images[0]!, options as never),
      model.embed(images[0]!, options as never),
      model.forward(batch(1, 1), { batched: true, ...options } as never),
    ];
    for (const call of calls) await expect(call).rejects.toThrow(message);
    expect(model.batching!.waitingImages).toBe(0);
  });

  it("forward: options that need batched, and what it cannot take", async () => {
    const input = batch(1, 1);
    await expect(model.forward(input, { priority: 1 })).rejects.toThrow(
      "Expected none without batched: true for options.priority but received 1",
    );
    await expect(model.forward(input, { batched: 1 } as never)).rejects.toThrow(
      "a boolean for options.batched but received 1",
    );
    const resident = DeviceTensor.allocate(testDevice, [1, 3, 32, 32]);
    const into = DeviceTensor.allocate(testDevice, [1, 10]);
    await expect(model.forward(input, { batched: true, into } as never)).rejects.toThrow(
      "none beside batched: true for options.into",
    );
    await expect(model.forward(resident, { batched: true })).rejects.toThrow("for input");
    const doubles = new Tensor([1, 3, 32, 32], new Float64Array(3072));
    await expect(model.forward(doubles as never, { batched: true })).rejects.toThrow(
      "dtype float32",
    );
    await expect(model.forward(Tensor.zeros([0, 3, 32, 32]), { batched: true })).rejects.toThrow(
      "at least 1 image",
    );
    resident.dispose();
    into.dispose();
  });

  it("classifyEach and embedEach: options of the queue", async () => {
    const consume = async (each: AsyncIterable<unknown>) => {
      for await (const _ of each) break;
    };
    await expect(consume(model.classifyEach(images, { priority: 1 } as never))).rejects.toThrow(
      'received "priority"',
    );
    await expect(consume(model.embedEach(images, { client: "a" } as never))).rejects.toThrow(
      'received "client"',
    );
  });
});
