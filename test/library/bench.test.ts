// How the benchmark evaluates its runs: percentiles, paired ratios, and which peer counts as the strongest.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const load = (name: string) => import(new URL(`../../bench/${name}`, import.meta.url).href);
const { percentile, relativeError, speedAgainst } = await load("statistics.mjs");
const { trialsFor } = await load("trials.mjs");
const { summarize } = await load("results.mjs");

describe("statistics", () => {
  it("interpolates percentiles between two values", () => {
    expect(percentile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(percentile([3, 1, 2], 0.25)).toBe(1.5);
    expect(percentile([7], 0.75)).toBe(7);
  });

  it("gives the median of an even number of times on a GPU too", async () => {
    const { statistics } = await load("../gpu/statistics.mjs");
    expect(statistics([4, 1, 3, 2])).toMatchObject({ count: 4, min: 1, p50: 2.5 });
  });

  it("compares times of the same round, for the rounds that both ran", () => {
    expect(speedAgainst([10, 100, 12], [5, 50, 6])).toBe(2);
    expect(speedAgainst([10, 30, 100], [5, 10])).toBe(2.5);
  });

  it("measures errors relative to the expected vector", () => {
    expect(relativeError([3, 4.05], [3, 4])).toBeCloseTo(0.01, 10);
  });
});

describe("trials", () => {
  it("have distinct names on any machine and for any number of threads", () => {
    for (const instructionSet of ["avx512", "avx2", "neon"]) {
      for (const threads of [1, 2, 8]) {
        const names = trialsFor(threads, instructionSet).map(({ name }: { name: string }) => name);
        expect(new Set(names).size).toBe(names.length);
        expect(names).toContain("vgg-cudnn");
        expect(names.includes("vgg-cudnn, AVX2")).toBe(instructionSet === "avx512");
      }
    }
  });
});

describe("summarize", () => {
  const times: Record<string, number[]> = {
    "vgg-cudnn": [50, 60],
    "onnxruntime-node": [100, 120],
    MNN: [75, 90],
    ncnn: [80, 96],
    "ncnn, half": [60, 72],
  };
  const samples = trialsFor(2, "avx2")
    .filter(({ name }: { name: string }) => name in times)
    .map((trial: { name: string }) => ({
      trial,
      batch: 1,
      runs: times[trial.name]!.map((ms, i) => ({
        ...{ ms, version: "1.0", error: 1e-6 * (i + 1), coldStartMs: 900 },
        ...{ peakRssBytes: null, eventLoopDelayMs: null },
      })),
    }));

  it("compares each trial with onnxruntime-node and with the strongest peer that is at least as exact", () => {
    const rows = summarize(samples);
    const row = (name: string) => rows.find(({ trial }: { trial: string }) => trial === name);
    expect(row("vgg-cudnn")).toMatchObject({
      ...{ medianMs: 55, speedAgainstOnnxruntime: 2, speedAgainstStrongest: 1.5 },
      ...{ strongest: "MNN", relativeError: 2e-6, peakRssBytes: null, rounds: 2 },
    });
    expect(row("ncnn, half").strongest).toBe("ncnn, half");
  });

  it("gives null for peers that did not run", () => {
    const [row] = summarize(samples.slice(0, 1));
    expect(row).toMatchObject({ speedAgainstOnnxruntime: null, strongest: null });
  });
});

describe("the comparison of two addons", () => {
  it("ends with status 2 unless it has the paths of two files", () => {
    const script = fileURLToPath(new URL("../../bench/addons.mjs", import.meta.url));
    for (const paths of [[], [script], [script, "none.node"]]) {
      const { status, stderr } = spawnSync(process.execPath, [script, ...paths], {
        encoding: "utf8",
      });
      expect(stderr).toMatch(/^bench: Expected the paths of two addons/);
      expect(status).toBe(2);
    }
  });
});
