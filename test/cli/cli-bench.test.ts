// `vgg bench`: what it prints, writes and refuses. No test depends on how long anything took.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { barChart, panelChart } from "../../lib/cli/bench/bar-chart.ts";
import { colours, linearTicks, logTicks } from "../../lib/cli/bench/chart.ts";
import { shortName, threeDigits } from "../../lib/cli/bench/figures.ts";
import { lineChart } from "../../lib/cli/bench/line-chart.ts";
import { againstRoofline } from "../../lib/cli/bench/roofline.ts";
import { median, percentile } from "../../lib/statistics.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-bench-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function bench(...args: string[]) {
  const sizes = ["--image-size", "32", "--num-classes", "10", "--hidden-features", "64"];
  const small = ["--device", "cpu", ...sizes];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script, "bench", ...small, "--warmup", "0", "--iterations", "2", ...args],
    { encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

describe("vgg bench", () => {
  const folder = join(scratch, "new", "folder");

  it("prints one JSON object, and writes it to a folder with tables and figures", async () => {
    const { status, stdout, stderr } = bench("--batch", "1,2,1", "--json", "--export", folder);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      arch: "vgg11",
      precision: "float32",
      imageSize: 32,
      numClasses: 10,
      hiddenFeatures: 64,
      device: { id: "cpu" },
      warmup: 0,
    });
    expect(report.roofline.gigaflopsPerSecond).toBeGreaterThan(0);
    expect(report.coldStart.totalMs).toBeGreaterThan(report.coldStart.firstForwardMs);
    expect(report.memory.peakRssBytes).toBeGreaterThan(report.parameterCount * 4);
    expect(report.batches.map(({ batch }: { batch: number }) => batch)).toEqual([1, 2]);
    for (const { batch, iterations, latencyMs, memory, layers, ...numbers } of report.batches) {
      expect(iterations).toBe(2);
      const { min, p50, p95, p99 } = latencyMs;
      expect([p99, p95, p50, min].sort((a, b) => a - b)).toEqual([min, p50, p95, p99]);
      expect(numbers.imagesPerSecond).toBeCloseTo((batch / p50) * 1000, 6);
      expect(numbers.javascriptUs).toBeGreaterThan(0);
      expect(numbers.javascriptUs).toBeLessThan(numbers.overheadUs);
      expect(numbers.imagesPerSecondInFlight).toBeGreaterThan(0);
      expect(numbers.teraflopsPerSecond).toBeGreaterThan(0);
      expect(memory.parameterBytes).toBeGreaterThan(0);
      const floors = layers.map(({ floorMs }: { floorMs: number }) => floorMs);
      const sum = floors.reduce((a: number, b: number) => a + b, 0);
      expect(numbers.floorMs).toBeCloseTo(sum, 9);
      expect(layers.map(({ name }: { name: string }) => name).join("+")).toContain("classifier.6");
    }
    expect(JSON.parse(readFileSync(join(folder, "bench.json"), "utf8"))).toEqual(report);
    const figures = ["latency", "throughput", "layers-batch1", "layers-batch2"];
    expect(readdirSync(folder).sort()).toEqual(
      [
        ...["bench.json", "batches.csv", "layers.csv"],
        ...figures.flatMap((name) => [`${name}.svg`, `${name}.png`]),
      ].sort(),
    );
    for (const name of figures) {
      expect(readFileSync(join(folder, `${name}.svg`), "utf8")).not.toMatch(
        /NaN|Infinity|undefined/,
      );
      const { format, width } = await sharp(join(folder, `${name}.png`)).metadata();
      expect({ format, width }).toEqual({ format: "png", width: 1920 });
    }
    const csv = readFileSync(join(folder, "layers.csv"), "utf8").trimEnd().split("\n");
    const rows = report.batches.reduce(
      (count: number, { layers }: { layers: unknown[] }) => count + layers.length,
      0,
    );
    expect(csv).toHaveLength(1 + rows);
    for (const line of csv) expect(line.split(",")).toHaveLength(13);
  });

  it("prints tables, with each layer if --layers is given", () => {
    const { status, stdout, stderr } = bench("--batch", "1", "--layers");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^vgg11, float32, 32 × 32 pixels, .+ \(\d+ threads, .+\)\n/);
    expect(stdout).toMatch(/\narithmetic {2}[\d.,]+ GFLOP\/s \(multiply-adds in registers/);
    expect(stdout).toMatch(/\ncold start {2}[\d,]+ ms from the start of a process/);
    expect(stdout).toMatch(/\nbatch +p50 ms +p95 ms +p99 ms +images\/s/);
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(stdout).toMatch(/\nclassifier\.6 +gemm +[\d.]+ /);
  });

  it.each([
    ["a batch of 0", ["--batch", "0"], 2, /--batch.*Expected sizes from 1 to 65536/],
    ["a batch that is not a number", ["--batch", "1,x"], 2, /--batch.*Expected a whole number/],
    ["an empty batch", ["--batch", ""], 2, /--batch/],
    [
      "an unknown precision",
      ["--precision", "int4"],
      2,
      /--precision.*Allowed choices are float32/,
    ],
    [
      "a precision that the device lacks",
      ["--precision", "bfloat16"],
      1,
      /--precision \S+ is not available on cpu/,
    ],
    ["0 iterations", ["--iterations", "0"], 2, /for --iterations but received 0/],
    ["a negative warmup", ["--warmup", "-1"], 2, /for --warmup but received -1/],
    ["an image that is too small", ["--image-size", "8"], 2, /for --image-size but received 8/],
    ["an unknown device", ["--device", "tpu"], 2, /for --device but received "tpu"/],
    [
      "a file of weights that does not exist",
      ["--weights", "/nowhere.pth", "--num-classes", "9"],
      2,
      /--weights/,
    ],
    ["an unknown option", ["--speed", "9"], 2, /unknown option '--speed'/],
    ["an extra argument", ["now"], 2, /too many arguments/],
  ])("refuses %s", (_, args, code, message) => {
    const { status, stdout, stderr } = bench(...args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(status).toBe(code);
  });

  it("refuses a folder that it cannot write to, before it measures anything", () => {
    const file = join(scratch, "file");
    writeFileSync(file, "");
    // Below /proc mkdir fails with ENOENT although the parent exists.
    const never = process.platform === "linux" ? ["/proc/never/there"] : [];
    for (const path of [file, join(file, "below"), ...never]) {
      const { status, stdout, stderr } = bench("--json", "--export", path);
      expect(JSON.parse(stderr).error).toMatchObject({ code: "FOLDER_UNUSABLE" });
      expect(stdout).toBe("");
      expect(status).toBe(1);
    }
    expect(bench("--export", "")).toMatchObject({ status: 2, stdout: "" });
  });
});

describe("percentiles", () => {
  it("interpolate between values in any order", () => {
    expect(percentile([4, 1, 3, 2], 0)).toBe(1);
    expect(percentile([4, 1, 3, 2], 1)).toBe(4);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(percentile([10, 20], 0.95)).toBeCloseTo(19.5);
    expect(median([7])).toBe(7);
    expect(median([])).toBeNaN();
  });
});

describe("a layer against the roofline", () => {
  const layer = { name: "a", kind: "gemm", outputShape: [1, 2], medianMs: 4 };
  const how = { arithmetic: "", memory: "" };

  it("is bound by the larger of its two lower bounds", () => {
    const roofline = { gigaflopsPerSecond: 2, gigabytesPerSecond: 1, ...how };
    expect(
      againstRoofline({ ...layer, multiplyAdds: 9e6, products: 2e6, bytes: 1e6 }, roofline),
    ).toMatchObject({
      ...{ arithmeticMs: 2, memoryMs: 1, floorMs: 2, bound: "arithmetic", share: 0.5 },
    });
    expect(
      againstRoofline({ ...layer, multiplyAdds: 0, products: 0, bytes: 3e6 }, roofline),
    ).toMatchObject({
      ...{ floorMs: 3, bound: "memory", share: 0.75 },
    });
  });

  it("has no floor if a part of the roofline was not measured", () => {
    const roofline = { gigaflopsPerSecond: 2, gigabytesPerSecond: null, ...how };
    expect(
      againstRoofline({ ...layer, multiplyAdds: 9e6, products: 2e6, bytes: 1e6 }, roofline),
    ).toMatchObject({
      ...{ arithmeticMs: 2, memoryMs: null, floorMs: null, bound: null, share: null },
    });
  });
});

describe("charts", () => {
  it("have ticks at round numbers that cover the values", () => {
    expect(linearTicks(93)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(linearTicks(0.3)).toEqual([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]);
    expect(linearTicks(0)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(logTicks(3, 40)).toEqual([2, 5, 10, 20, 50]);
    expect(logTicks(0.02, 900)).toEqual([0.01, 0.1, 1, 10, 100, 1000]);
    expect(logTicks(10, 10.1)).toEqual([10, 20]);
  });

  it("escape text, and draw a single value or no value", async () => {
    const shared = { title: "a < b & c", subtitle: "", xTitle: "x" };
    const textOf = (value: number) => `<${value}>`;
    for (const values of [[3], [null], [0]])
      for (const yScale of ["linear", "log"] as const) {
        const svg = lineChart({
          ...{ ...shared, yTitle: "y", yScale, x: ["1"] },
          series: [{ label: "s", colour: colours.blue, style: "line", textOf, values }],
        });
        expect(svg).not.toMatch(/NaN|Infinity/);
        expect(svg).toContain("a &lt; b &amp; c");
        await sharp(Buffer.from(svg)).png().toBuffer();
      }
    const bar = { label: "l", detail: "d", value: 0, mark: null, text: "" };
    const svg = barChart({
      ...{ ...shared, barLabel: "b", colour: colours.blue, marks: [], bars: [bar] },
    });
    expect(svg).not.toMatch(/NaN|Infinity/);
    await sharp(Buffer.from(svg)).png().toBuffer();
  });

  it("name lines at their ends, in their order and apart", () => {
    const lines = { a: [1, 50], b: [2, 50.1], c: [9, null], d: [null, null] };
    const series = Object.entries(lines).map(([label, values]) => ({
      ...{ label, values, colour: colours.blue, style: "line" as const, textOf: String },
    }));
    const svg = lineChart({
      ...{ title: "", subtitle: "", xTitle: "x", yTitle: "y", x: ["1", "2"], series },
      ...{ yScale: "linear", names: "ends" },
    });
    expect(svg).not.toMatch(/NaN|Infinity/);
    const ends = [...svg.matchAll(/ y="([\d.]+)"[^>]*>([a-d]) {2}([\d.]+)</g)];
    expect(ends.map(([, , label, value]) => [label, value])).toEqual([
      ["b", "50.1"],
      ["a", "50"],
      ["c", "9"],
    ]);
    expect(Number(ends[1]![1]) - Number(ends[0]![1])).toBeCloseTo(19);
  });

  it("draw panels of bars, some without a value, beside each other", () => {
    const bar = { label: "row", detail: "", mark: null, text: "2.00", note: "5 ms" };
    const svg = panelChart({
      ...{ title: "", subtitle: "", xTitle: "x", barLabel: "b", colour: colours.blue, marks: [] },
      colourLabels: [{ label: "other", colour: colours.sky }],
      reference: { label: "one", value: 1 },
      panels: [
        { title: "left", bars: [{ ...bar, value: 2, colour: colours.sky }] },
        { title: "right", bars: [{ ...bar, value: null }] },
      ],
    });
    expect(svg).not.toMatch(/NaN|Infinity/);
    const count = (shown: string) => svg.split(`>${shown}<`).length - 1;
    expect(["left", "right", "row", "other", "one"].map(count)).toEqual([1, 1, 1, 1, 1]);
    // The second panel has no bar, and therefore no texts. An outlined text is drawn twice.
    expect(["2.00", "5 ms"].map(count)).toEqual([2, 2]);
  });

  it("abbreviate layers and numbers", () => {
    expect(shortName("features.0+features.1+features.2")).toBe("features.0–2");
    expect(shortName("avgpool")).toBe("avgpool");
    expect(shortName("avgpool+classifier.0")).toBe("avgpool + classifier.0");
    expect([0, 0.01234, 1.234, 12.34, 123.4, 12345].map(threeDigits)).toEqual([
      ...["0", "0.0123", "1.23", "12.3", "123", "12,345"],
    ]);
  });
});
