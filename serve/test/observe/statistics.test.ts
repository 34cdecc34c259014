// Triton's statistics: what is counted, and when.
import { describe, expect, it, vi } from "vitest";
import { ModelCounts } from "../../lib/observe/statistics.ts";
import { recordOf } from "./records.ts";

function counts(): ModelCounts {
  const statistics = new ModelCounts(() => 1234);
  statistics.add("vgg11", "1");
  return statistics;
}

describe("the statistics of a model", () => {
  it("are zeros before the first request, with every field of the protocol", () => {
    const none = { count: 0, ns: 0 };
    expect(counts().statsOf("vgg11")).toEqual([
      {
        name: "vgg11",
        version: "1",
        last_inference: 0,
        inference_count: 0,
        execution_count: 0,
        inference_stats: {
          success: none,
          fail: none,
          queue: none,
          compute_input: none,
          compute_infer: none,
          compute_output: none,
          cache_hit: none,
          cache_miss: none,
        },
        response_stats: {},
        batch_stats: [],
        memory_usage: [],
      },
    ]);
  });

  it("count requests, images and times in nanoseconds", () => {
    const statistics = counts();
    statistics.record(recordOf({ images: 3, runs: [{ batchSize: 3, images: 3 }] }));
    expect(statistics.statsOf()[0]).toMatchObject({
      last_inference: 1234,
      inference_count: 3,
      execution_count: 1,
      inference_stats: {
        success: { count: 1, ns: 20e6 },
        queue: { count: 1, ns: 5e6 },
        compute_input: { count: 1, ns: 3e6 },
        compute_infer: { count: 1, ns: 10e6 },
        compute_output: { count: 1, ns: 1e6 },
        fail: { count: 0 },
      },
      batch_stats: [{ batch_size: 3, compute_infer: { count: 1, ns: 10e6 } }],
    });
  });

  it("count one run for all requests that share it", () => {
    const statistics = counts();
    for (let request = 0; request < 7; request += 1)
      statistics.record(recordOf({ runs: [{ batchSize: 7, images: 1 }] }));
    expect(statistics.statsOf()[0]).toMatchObject({
      inference_count: 7,
      execution_count: 1,
      batch_stats: [{ batch_size: 7, compute_infer: { count: 1, ns: 10e6 } }],
    });
  });

  it("count each run of a request that was cut into parts", () => {
    const statistics = counts();
    const runs = [
      { batchSize: 64, images: 64 },
      { batchSize: 64, images: 64 },
      { batchSize: 8, images: 8 },
    ];
    statistics.record(recordOf({ images: 136, runMs: 30, runs }));
    expect(statistics.statsOf()[0]).toMatchObject({
      inference_count: 136,
      execution_count: 3,
      batch_stats: [
        { batch_size: 8, compute_infer: { count: 1, ns: 10e6 } },
        { batch_size: 64, compute_infer: { count: 2, ns: 20e6 } },
      ],
    });
  });

  it("count a failure by its reason, without images", () => {
    const statistics = counts();
    statistics.record(recordOf({ outcome: "REJECTED", status: 503, totalMs: 2, runs: [] }));
    expect(statistics.statsOf()[0]).toMatchObject({
      inference_count: 0,
      inference_stats: { fail: { count: 1, ns: 2e6 }, success: { count: 0 } },
    });
    expect(statistics.failures()).toEqual([
      { model: "vgg11", version: "1", reason: "REJECTED", count: 1 },
      { model: "vgg11", version: "1", reason: "CANCELED", count: 0 },
      { model: "vgg11", version: "1", reason: "BACKEND", count: 0 },
      { model: "vgg11", version: "1", reason: "OTHER", count: 0 },
    ]);
  });

  it("keep their counts over a reload, and end with the model", () => {
    const statistics = counts();
    statistics.record(recordOf());
    statistics.add("vgg11", "1");
    expect(statistics.statsOf()[0]?.inference_count).toBe(1);
    statistics.remove("vgg11", "1");
    expect(statistics.statsOf()).toEqual([]);
  });
});

describe("a record", () => {
  it("of an unknown model makes no entry, but is passed on", () => {
    const statistics = counts();
    const listener = vi.fn();
    statistics.onRecord(listener);
    statistics.record(recordOf({ model: "x".repeat(1000) }));
    expect(statistics.statsOf().map(({ name }) => name)).toEqual(["vgg11"]);
    expect(listener).toHaveBeenCalledOnce();
  });

  it("is counted although a listener throws", () => {
    const statistics = counts();
    const end = statistics.onRecord(() => {
      throw new Error("an exporter's");
    });
    statistics.record(recordOf());
    end();
    expect(statistics.statsOf()[0]?.inference_count).toBe(1);
  });

  it("is selected by name and version", () => {
    const statistics = counts();
    statistics.add("vgg11", "2");
    statistics.add("vgg16", "1");
    const names = (...args: [string?, string?]) =>
      statistics.statsOf(...args).map(({ name, version }) => `${name}:${version}`);
    expect(names()).toEqual(["vgg11:1", "vgg11:2", "vgg16:1"]);
    expect(names("vgg11")).toEqual(["vgg11:1", "vgg11:2"]);
    expect(names("vgg11", "2")).toEqual(["vgg11:2"]);
    expect(names("vgg13")).toEqual([]);
  });
});
