// `vgg plan`: makes plans and kernels for a GPU that this machine need not have, so that the GPU's machine starts fast.
import { type Command, Option } from "commander";
import { type GpuName, gpuNames } from "../device/gpus.js";
import { type Precision, precisions } from "../dtype.js";
import { type PlanReport, planAhead } from "../vgg/plan.js";
import { topology } from "../vgg/topology.js";
import {
  batchSizes,
  command,
  integer,
  type ModelOptions,
  type OutputOptions,
  print,
  withModel,
  withRequired,
} from "./options.js";

interface Options extends ModelOptions, OutputOptions {
  gpu: GpuName;
  precision: Precision;
  batch: number[];
  limit: number;
  out?: string;
}

export function planCommand(): Command {
  const description = "make a GPU's plans and kernels ahead of time, on a machine without that GPU";
  const plan = withModel(command("plan", description)).addOption(
    new Option("--gpu <name>", "GPU to make them for").choices(gpuNames),
  );
  return withRequired(plan, "--gpu <name>")
    .addOption(
      new Option("--precision <name>", "arithmetic").choices(precisions).default("float16"),
    )
    .option("--batch <sizes>", "comma-separated batch sizes", batchSizes, [1])
    .option(
      "--limit <count>",
      "plans to make for each convolution and form; the first is kept",
      integer,
      1,
    )
    .option("--out <folder>", "where to store them (default: where models on this machine look)")
    .action(async (options: Options) => {
      const { gpu, arch, precision, batch, limit, out } = options;
      const report = await planAhead(gpu, topology(arch, options), {
        precision,
        batchSizes: batch,
        limit,
        ...(out === undefined ? {} : { folder: out }),
      });
      print(options, report, () => describe(report));
    });
}

function describe({ gpu, folder, convolutions, forwards, kernels }: PlanReport): string {
  const lines = [
    `for ${gpu}, kept in ${folder}`,
    "",
    "batch  convolution            form    plans      workspace  engine",
  ];
  for (const row of convolutions) {
    const plans = `${row.plans} of ${row.allowed}`;
    const found =
      row.refusal ?? `${(row.workspaceBytes / 2 ** 20).toFixed(1).padStart(7)} MiB  ${row.engine}`;
    const note = row.isFirstLayer ? "  (our own kernel does this layer)" : "";
    lines.push(
      `${String(row.batch).padStart(5)}  ${row.weight.padEnd(22)} ${row.form.padEnd(7)} ${plans.padEnd(9)} ${found}${note}`,
    );
  }
  lines.push("");
  for (const { batch, steps } of forwards) {
    const sum = (of: (step: (typeof steps)[number]) => number) =>
      steps.reduce((total, step) => total + of(step), 0);
    const megabytes = sum(({ bytes, weightBytes }) => bytes + weightBytes) / 1e6;
    const operations = sum((step) => step.operations) / 1e9;
    lines.push(
      `a forward of ${batch}: ${steps.length} launches, ${megabytes.toFixed(0)} MB moved, ${operations.toFixed(1)} GFLOP`,
    );
  }
  lines.push(
    "",
    ...kernels.map(
      ({ file, bytes }) => `${file.padEnd(16)} ${(bytes / 1024).toFixed(0).padStart(5)} KiB`,
    ),
  );
  return lines.join("\n");
}
