// The launches, bytes and operations of a VGG11 forward on a GPU, as the addon counts them without one. Writes docs/generated/gpu-cost.md.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { StepCost } from "../../lib/native/addon.ts";
import { stepCosts } from "../../lib/vgg/plan.ts";
import { topology } from "../../lib/vgg/topology.ts";

const batches = [1, 8, 64, 256];
const forms = ["plain", "fused"] as const;
type Form = (typeof forms)[number] | null;

/** TFLOP/s and TB/s that an H200 reached in a matrix product and a copy (data sheet: 989 and 4.8). TF32 is half of float16. */
const peaks = { float16: 790, tf32: 395, float32: 60 } as const;
type Precision = keyof typeof peaks;
/** TB/s. The H100's figure is the same share of its 3.35 TB/s. */
const bandwidths = { H200: 4.3, H100: 3.0 } as const;

const network = topology("vgg11");
const stepsOf = (precision: Precision, batch: number, form: Form) =>
  stepCosts(network, { precision, batch, form });

const bytesOf = (step: StepCost) => step.bytes + step.weightBytes;
const sum = (steps: readonly StepCost[], of: (step: StepCost) => number) =>
  steps.reduce((total, step) => total + of(step), 0);

/** µs that a step takes at least: the larger of its arithmetic and its memory traffic. */
const floorOf = (step: StepCost, precision: Precision, terabytes: number) =>
  Math.max(step.operations / peaks[precision], bytesOf(step) / terabytes) / 1e6;

/** Registers, shared memory and occupancy on sm_90 by kernel, as NVRTC reported them. */
const compiled = new Map(
  readFileSync(new URL("../../docs/generated/kernels.md", import.meta.url), "utf8")
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => /^\w+_\w+$/.test(cells[1] ?? ""))
    .map((cells) => [cells[1]!, cells[6]!] as const),
);

/** The page is written by hand from this heading on. */
const page = readFileSync(new URL("../../docs/generated/gpu-cost.md", import.meta.url), "utf8");
const written = page.slice(page.indexOf("## Between floor and goal")).trimEnd();

const row = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
const header = (first: readonly string[], rest: readonly string[]) => [
  row([...first, ...rest]),
  row([...first.map(() => "---"), ...rest.map(() => "---:")]),
];
const one = (value: number) => value.toFixed(1);

function totals(): string[] {
  const lines = header(
    ["precision", "batch", "form"],
    ["launches", "activations, MB", "weights, MB", "GFLOP", "H200, µs", "images/s", "H100, µs"],
  );
  for (const precision of Object.keys(peaks) as Precision[])
    for (const batch of batches)
      for (const form of forms) {
        const steps = stepsOf(precision, batch, form);
        const [h200, h100] = Object.values(bandwidths).map((terabytes) =>
          sum(steps, (step) => floorOf(step, precision, terabytes)),
        );
        lines.push(
          row([
            ...[precision, batch, form, steps.length],
            one(sum(steps, ({ bytes }) => bytes) / 1e6),
            one(sum(steps, ({ weightBytes }) => weightBytes) / 1e6),
            one(sum(steps, ({ operations }) => operations) / 1e9),
            ...[h200!.toFixed(0), ((batch / h200!) * 1e6).toFixed(0), h100!.toFixed(0)],
          ]),
        );
      }
  return lines;
}

function byStep(batch: number): string[] {
  const lines = header(
    ["step", "kernel"],
    ["blocks", "waves", "registers · shared · occupancy", "MB", "GFLOP", "µs", "bound"],
  );
  for (const step of stepsOf("float16", batch, null)) {
    const use = compiled.get(step.kernel);
    // 132 SMs with 2048 threads each.
    const resident = use ? 132 * Math.round((Number(/(\d+) %/.exec(use)![1]) / 100) * 8) : 0;
    const isOurs = step.blocks > 0;
    const isCompute = step.operations / peaks.float16 > bytesOf(step) / bandwidths.H200;
    lines.push(
      row([
        ...[step.name, step.kernel],
        ...(isOurs ? [step.blocks, one(step.blocks / resident), use!] : ["", "", ""]),
        ...[(bytesOf(step) / 1e6).toFixed(2), (step.operations / 1e9).toFixed(2)],
        one(floorOf(step, "float16", bandwidths.H200)),
        isCompute ? "compute" : "memory",
      ]),
    );
  }
  return lines;
}

const report = () =>
  `${[
    "# What a forward costs on a GPU",
    "",
    "Of VGG11 on 224 × 224 float32 images that lie on the GPU, as the addon itself counts it on a machine without one (`vgg plan --json`):",
    "launches, bytes of activations (each read and written once) and of weights, operations. The times are floors: each step by what it",
    `needs most of, one after the other, at what an H200 was seen to reach (${peaks.float16} TFLOP/s in 16 bits, ${bandwidths.H200} TB/s; data sheet: 989 and 4.8) and at the`,
    `same share of an H100's 3.35 TB/s. **Nothing in the tables is measured on a GPU.** Written by \`npm run cost:report\`.`,
    "",
    "cuDNN's convolutions take the form (docs/decisions/0011) that is named; the two tables by step show each in its likeliest: the convolution",
    "alone before our pool·bias·relu, conv+bias+relu elsewhere. Which is fastest is timed where the GPU is. bfloat16 costs what float16 does.",
    "",
    ...totals(),
    "",
    "## Step by step, float16, batch 1",
    "",
    ...byStep(1),
    "",
    "## Step by step, float16, batch 256",
    "",
    ...byStep(256),
    "",
    written,
  ].join("\n")}\n`;

describe("a forward on a GPU", () => {
  it("has one launch for each layer, and one for each pool except the first layer's", () => {
    for (const batch of batches) {
      expect(stepsOf("float16", batch, null).length).toBe(11 + 4);
      // If no pool follows, bias and ReLU are a separate launch.
      expect(stepsOf("float16", batch, "plain").length).toBe(11 + 4 + 3);
    }
  });

  it("computes the published 7.61 GMAC for each image, and reads every weight once", () => {
    for (const precision of ["float16", "float32"] as const)
      for (const batch of batches) {
        const steps = stepsOf(precision, batch, null);
        expect(sum(steps, ({ operations }) => operations) / batch / 2e9).toBeCloseTo(7.61, 2);
        const bytes = precision === "float16" ? 2 : 4;
        // 132,863,336 parameters without the biases. The first layer's rows are padded from 27 to 32, or its channels to a vector.
        const weights = sum(steps, ({ weightBytes }) => weightBytes) / bytes;
        expect(weights / (132_863_336 - 11_944 + 64 * 5)).toBeCloseTo(1, 4);
      }
  });

  it("moves fewer bytes if more is fused", () => {
    const bytes = forms.map((form) => sum(stepsOf("float16", 256, form), bytesOf));
    expect(bytes[1]! / bytes[0]!).toBeLessThan(0.9);
  });

  it("matches docs/generated/gpu-cost.md", async () => {
    // Stale: npm run cost:report
    await expect(report()).toMatchFileSnapshot("../../docs/generated/gpu-cost.md");
  });
});
