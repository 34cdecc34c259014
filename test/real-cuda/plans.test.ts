// The real cuDNN plans every convolution that the addon asks for, for every GPU of lib/device/gpus.ts. Writes docs/generated/plans.md.
import { describe, expect, it } from "vitest";
import { type GpuName, gpuNames, nameOf } from "../../lib/device/gpus.ts";
import type { PlannedConvolution } from "../../lib/native/addon.ts";
import { architectures } from "../../lib/vgg/topology.ts";
import { ask, type LibrarySet, librarySets, skipped, standInDriver } from "./nvidia.ts";

if (librarySets.length === 0) skipped(it);
else standInDriver();

const precisions = ["float32", "tf32", "float16", "bfloat16"] as const;
const batches = [1, 2, 8, 64, 256];
/** The number of plans that a GPU tries of each form (native/cuda/ops/conv2d/convolution_search.cc). */
const limit = 8;

type Row = PlannedConvolution & {
  readonly gpu: GpuName;
  readonly precision: (typeof precisions)[number];
  readonly arch: string;
};

const plan = (set: LibrarySet, question: Record<string, unknown>) =>
  ask<Row[]>("plan.mjs", { precisions, batches, limit, ...question }, set);

/** The rows of each problem, one for each form. */
function byProblem(rows: readonly Row[]): Map<string, Row[]> {
  const problems = new Map<string, Map<string, Row>>();
  for (const row of rows) {
    const key = `${row.gpu} ${row.problem}`;
    if (!problems.has(key)) problems.set(key, new Map());
    problems.get(key)!.set(row.form, row);
  }
  return new Map([...problems].map(([key, forms]) => [key, [...forms.values()]]));
}

/** cuDNN 9.10.2 ends the process if asked about a B200, so the addon does not ask. */
const isRefused = (set: LibrarySet, gpu: GpuName) => gpu === "b200" && set.name === "cuda12";
/** Turing has neither bfloat16 nor TF32, so float32 is computed as float32. */
const isAbsent = (gpu: GpuName, precision: string) =>
  gpu === "t4" && (precision === "bfloat16" || precision === "tf32");

/** Models that together have every convolution of the family. A test proves it. */
const archs = ["vgg11", "vgg16"];
const planned = await Promise.all(
  librarySets.map(async (set) => {
    const gpus = gpuNames.filter((gpu) => !isRefused(set, gpu));
    return { set, rows: await plan(set, { archs, gpus }) };
  }),
);

const version = (set: LibrarySet, wheel: string) =>
  set.versions.match(new RegExp(`${wheel}\\S* ([\\d.]+)`))![1];
const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;

function table(set: LibrarySet, rows: readonly Row[]): string[] {
  const lines = [
    `## cuDNN ${version(set, "cudnn")}, cuBLAS ${version(set, "cublas")}, NVRTC ${version(set, "nvrtc")}`,
    "",
    line(["GPU", ...precisions]),
    line(["---", ...precisions.map(() => "---:")]),
  ];
  for (const gpu of gpuNames) {
    const cells = precisions.map((precision) => {
      if (isRefused(set, gpu)) return "needs cuDNN 9.11";
      if (isAbsent(gpu, precision)) return "not in hardware";
      const of = rows.filter((row) => row.gpu === gpu && row.precision === precision);
      const fewest = Math.min(
        ...[...byProblem(of).values()].map((forms) =>
          forms.reduce((sum, { plans }) => sum + plans, 0),
        ),
      );
      const workspace = Math.max(...of.map(({ workspaceBytes }) => workspaceBytes));
      return `${fewest} · ${(workspace / 2 ** 20).toFixed(0)} MiB`;
    });
    lines.push(line([nameOf(gpu), ...cells]));
  }
  return lines;
}

const report = () =>
  `${[
    "# Plans",
    "",
    "What NVIDIA's cuDNN answers to every convolution of VGG11, 13, 16 and 19 (with and without batch normalisation) in batches of",
    `${batches.join(", ")}: the fewest plans that any has to choose from, of at most ${limit} in each of two forms, and the largest workspace of the first`,
    "plan of each form. Asked through the addon on a machine without a GPU: that plans exist, not how fast they are. Written by",
    "`npm run plans:report`.",
    ...planned.flatMap(({ set, rows }) => ["", ...table(set, rows)]),
  ].join("\n")}\n`;

describe.runIf(librarySets.length > 0)("plans", () => {
  it("ask for the same convolutions with and without batch normalisation, and two networks have them all", async () => {
    const rows = await plan(librarySets[0]!, { archs: architectures, gpus: ["h200"], limit: 1 });
    const problems = (archs: readonly string[]) =>
      [...new Set(rows.filter(({ arch }) => archs.includes(arch)).map((r) => r.problem))].sort();
    for (const arch of ["vgg11", "vgg13", "vgg16", "vgg19"]) {
      expect(problems([arch]).length).toBeGreaterThan(100);
      expect(problems([`${arch}_bn`])).toEqual(problems([arch]));
    }
    expect(problems(archs)).toEqual(problems(architectures));
  });

  for (const { set, rows } of planned)
    for (const gpu of gpuNames.filter((gpu) => !isRefused(set, gpu)))
      it(`of cuDNN ${version(set, "cudnn")} for ${nameOf(gpu)}: each convolution has one, with the tensor cores of its precision`, () => {
        const problems = byProblem(rows.filter((row) => row.gpu === gpu));
        expect(problems.size).toBeGreaterThan(250);
        for (const [problem, forms] of problems) {
          if (isAbsent(gpu, forms[0]!.precision)) continue;
          expect(forms.map(({ form }) => form).sort(), problem).toEqual(["fused", "plain"]);
          expect(Math.max(...forms.map(({ plans }) => plans)), problem).toBeGreaterThan(0);
          for (const row of forms) {
            expect(row.workspaceBytes, problem).toBeLessThanOrEqual(256 * 2 ** 20);
            // An engine that is compiled at run time costs seconds on the GPU's first start.
            expect(row.compiledAtRunTime, problem).toBe(0);
            // Tensor cores compute float32 as TF32. They are offered on every GPU that has TF32.
            if (row.precision === "float32" && gpu !== "t4")
              expect(row.allowed, problem).toBeLessThan(row.offered);
          }
        }
      });

  it.skipIf(!librarySets.some(({ name }) => name === "cuda12"))(
    "for a B200 need a version of cuDNN that does not end the process",
    async () => {
      const set = librarySets.find(({ name }) => name === "cuda12")!;
      await expect(plan(set, { archs: ["vgg11"], gpus: ["b200"] })).rejects.toThrow(
        /Plans for NVIDIA B200 need cuDNN 9\.11 or newer/,
      );
    },
  );

  it("match docs/generated/plans.md", async () => {
    // Stale: npm run plans:report
    await expect(report()).toMatchFileSnapshot("../../docs/generated/plans.md");
  });
});
