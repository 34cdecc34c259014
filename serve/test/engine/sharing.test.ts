// Requests that share runs: their answers, a queue that is full, and models without batching.
import { describe, expect, it } from "vitest";
import { expectClose, files, floats, logitsOf, request, softmaxOf } from "../support/requests.ts";
import { side, startEngine, useSmallModel } from "../support/small-model.ts";

const server = useSmallModel();

describe("requests at the same time", () => {
  it("share runs, and each has its own images' answers", async () => {
    const numbers = Array.from({ length: 24 }, (_, number) => number % 6);
    const answers = await Promise.all(
      numbers.map((number) => server.engine.infer(request(files(number)))),
    );
    const alone = await Promise.all(
      [0, 1, 2, 3, 4, 5].map((number) => logitsOf(server.model, number)),
    );
    for (const [at, { outputs }] of answers.entries())
      expectClose(floats(outputs[0]!.data), softmaxOf(alone[numbers[at]!]!.data));
    const records = server.records.slice(-numbers.length);
    const runs = records.reduce(
      (sum, { runs }) => sum + runs.reduce((s, { images, batchSize }) => s + images / batchSize, 0),
      0,
    );
    expect(runs).toBeCloseTo(Math.round(runs), 6);
    expect(runs).toBeLessThan(numbers.length / 2);
  });

  it("are refused with a time to try again if the queue is full", async () => {
    const small = startEngine({
      small: { weights: server.weights, batching: { maxBatchSize: 1, maxQueueSize: 2 } },
    });
    await small.registry.load("small");
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, number) => small.engine.infer(request(files(number)))),
    );
    const refused = results.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(refused.length).toBeGreaterThan(5);
    expect(refused.length).toBeLessThan(20);
    for (const error of refused) {
      expect(error).toMatchObject({ status: 503, grpcCode: 14 });
      expect(error.message).toMatch(/^Exceeds maximum queue size: Expected at most 2 images/);
      expect(error.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    }
    await small.registry.close();
  });

  it("run alone if batching is off", async () => {
    const alone = startEngine({ small: { weights: server.weights, batching: false } });
    await alone.registry.load("small");
    const inputs = [1, 2, 3].map((number) => alone.engine.infer(request(files(number))));
    await Promise.all(inputs);
    for (const { runs } of alone.records) expect(runs).toEqual([{ batchSize: 1, images: 1 }]);
    const { tensor } = await logitsOf(server.model, 1);
    const input = { name: "input", datatype: "FP32", shape: [1, 3, side, side] } as const;
    await alone.engine.infer(
      request({ ...input, data: tensor.data }, { priority: 1, timeoutMs: 9000 }),
    );
    await alone.registry.close();
  });
});
