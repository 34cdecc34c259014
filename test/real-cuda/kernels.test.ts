// NVIDIA's own compilers compile the addon's kernels for every generation: registers, spills, shared memory. Writes docs/generated/kernels.md.
import { describe, expect, it } from "vitest";
import { architectureOf, describeGpu, gpuNames } from "../../lib/device/gpus.ts";
import { ask, librarySets, skipped } from "./nvidia.ts";

if (librarySets.length === 0) skipped(it);

/** kThreads of launch.h. */
const threads = 256;
const isConvolution = (kernel: string) => kernel.startsWith("convolution_");
/** Shared memory that a launch adds to the compiler's figure: kConvolutionSharedBytes of launch.h. */
const launchedSharedBytes = (kernel: string) => (isConvolution(kernel) ? 97_280 : 0);
const architectures = [...new Set(gpuNames.map(architectureOf))];

interface Usage {
  readonly file: string;
  readonly kernel: string;
  readonly registers: number;
  readonly sharedBytes: number;
  readonly spilledBytes: number;
}

/** Parses what ptxas reports on each kernel of a file. */
function usages(file: string, log: string): Usage[] {
  return log
    .split("Compiling entry function ")
    .slice(1)
    .map((text) => {
      const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
      const kernel = /^'(\w+)'/.exec(text)?.[1];
      const registers = number(/Used (\d+) registers/);
      const stores = /(\d+) bytes spill stores/.exec(text)?.[1];
      const loads = /(\d+) bytes spill loads/.exec(text)?.[1];
      if (!kernel || !registers || !stores || !loads) throw new Error(`not understood: ${text}`);
      const spilledBytes = Number(stores) + Number(loads);
      const sharedBytes = number(/(\d+) bytes smem/) + launchedSharedBytes(kernel);
      return { file, kernel, registers, sharedBytes, spilledBytes };
    });
}

/**
 * The share of an SM's threads that can be resident at once. Warps get registers in units of 256 and are allocated in fours.
 * Blocks get shared memory in units of 128 bytes (256 on 7.5), plus what the driver reserves (CUDA's occupancy calculator).
 */
function occupancy({ registers, sharedBytes }: Usage, architecture: number): number {
  const gpu = JSON.parse(
    describeGpu(gpuNames.find((name) => architectureOf(name) === architecture)!),
  );
  const roundUp = (value: number, unit: number) => Math.ceil(value / unit) * unit;
  const warps = Math.floor(gpu.maxRegistersPerSM / roundUp(registers * 32, 256) / 4) * 4;
  const reserved = gpu.reservedSharedMemoryPerBlock;
  const shared = roundUp(sharedBytes + reserved, architecture < 80 ? 256 : 128);
  const blocks = Math.min(
    gpu.maxCtasPerSM,
    Math.floor(gpu.maxThreadsPerSM / threads),
    Math.floor((warps * 32) / threads),
    shared === 0
      ? Number.POSITIVE_INFINITY
      : Math.floor((gpu.maxSharedMemoryPerBlockOptin + reserved) / shared),
  );
  return (blocks * threads) / gpu.maxThreadsPerSM;
}

type Compiled = Record<string, { file: string; bytes: number; log: string }[]>;

/** The kernels of a set by architecture. */
const measured = await Promise.all(
  librarySets.map(async (set) => {
    const compiled = await ask<Compiled>("kernels.mjs", architectures, set);
    return {
      set,
      version: set.versions.match(/nvrtc\S* (\d+\.\d+)/)![1]!,
      of: (architecture: number) =>
        compiled[architecture]!.flatMap(({ file, log }) => usages(file, log)),
    };
  }),
);

const percent = (share: number) => `${Math.round(share * 100)} %`;
const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
const header = (first: string, rest: readonly string[]) => [
  row([first, ...rest]),
  row(["---", ...rest.map(() => "---:")]),
];

function report(): string {
  const newest = measured[0]!;
  const byArchitecture = new Map(architectures.map((name) => [name, newest.of(name)]));
  const columns = architectures.map((name) => `sm_${name}`);
  const lines = [
    "# Kernels",
    "",
    `Registers per thread · shared memory per block · occupancy: what each of our kernels takes as compiled by NVRTC ${newest.version}, in blocks of ${threads}`,
    "threads, and the share of an SM's threads that can therefore be resident. No kernel spills a register. Counted from the compiler's",
    "own figures, not measured. –: the GPU has no such tensor cores. Written by `npm run kernels:report`.",
  ];
  const all = [...byArchitecture.values()].flat();
  for (const file of new Set(all.map((usage) => usage.file))) {
    const kernels = new Set(all.filter((usage) => usage.file === file).map((u) => u.kernel));
    lines.push("", `## ${file}`, "", ...header("kernel", columns));
    for (const kernel of [...kernels].sort()) {
      const cells = architectures.map((architecture) => {
        const usage = byArchitecture.get(architecture)!.find((u) => u.kernel === kernel);
        if (!usage) return "–";
        const shared = usage.sharedBytes === 0 ? "0" : `${(usage.sharedBytes / 1024).toFixed(1)}K`;
        return `${usage.registers} · ${shared} · ${percent(occupancy(usage, architecture))}`;
      });
      lines.push(row([kernel, ...cells]));
    }
  }
  lines.push(
    "",
    "## Most registers · least occupancy, by compiler",
    "",
    ...header("NVRTC", columns),
  );
  for (const { version, of } of measured) {
    const cells = architectures.map((architecture) => {
      const all = of(architecture);
      const least = Math.min(...all.map((usage) => occupancy(usage, architecture)));
      return `${Math.max(...all.map(({ registers }) => registers))} · ${percent(least)}`;
    });
    lines.push(row([version, ...cells]));
  }
  return `${lines.join("\n")}\n`;
}

describe.runIf(librarySets.length > 0)("kernels", () => {
  for (const { version, of } of measured)
    for (const architecture of architectures)
      it(`NVRTC ${version} compiles each for sm_${architecture} without spills, within the limits of a block`, () => {
        const all = of(architecture);
        expect(all.length).toBeGreaterThan(30);
        for (const usage of all) {
          expect(usage.spilledBytes, usage.kernel).toBe(0);
          expect(usage.registers * threads, usage.kernel).toBeLessThanOrEqual(65536);
          const most = Math.max(launchedSharedBytes(usage.kernel), 48 * 1024);
          expect(usage.sharedBytes, usage.kernel).toBeLessThanOrEqual(most);
          expect(occupancy(usage, architecture), usage.kernel).toBeGreaterThan(0);
        }
      });

  it("are the same for every compiler and architecture, except for types that Turing's tensor cores lack and kernels that need Hopper", () => {
    const namesOf = (index: number, architecture: number) =>
      measured[index]!.of(architecture)
        .map(({ kernel }) => kernel)
        .sort();
    const all = namesOf(0, architectures.at(-1)!);
    const isOf = (architecture: number) => (name: string) =>
      !(architecture < 80 && /^firstLayer_.*_(bf16|tf32)$/.test(name));
    for (const index of measured.keys())
      for (const architecture of architectures)
        expect(namesOf(index, architecture).filter((name) => !isConvolution(name))).toEqual(
          all.filter(isOf(architecture)),
        );
    for (const index of measured.keys())
      for (const architecture of architectures)
        expect(namesOf(index, architecture).filter(isConvolution)).toHaveLength(
          architecture === 90 ? 16 : 0,
        );
  });

  it("match docs/generated/kernels.md", async () => {
    // Stale: npm run kernels:report
    await expect(report()).toMatchFileSnapshot("../../docs/generated/kernels.md");
  });
});
