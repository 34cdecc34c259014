// `vgg bench`: measures a model's speed and memory on this machine, and compares the speed with the machine's peak.
import type { Command } from "commander";
import { checkInteger, rangeError } from "../check.js";
import { openDevice } from "../device/device.js";
import { VggError } from "../errors.js";
import { topology } from "../vgg/topology.js";
import { exportReport, prepareFolder } from "./bench/export.js";
import { threeDigits } from "./bench/figures.js";
import type { BatchReport, BenchReport } from "./bench/report.js";
import { type BenchOptions, parts, runBench } from "./bench/run.js";
import { sayIgnored, weightsPath } from "./model.js";
import {
  batchSizes,
  command,
  type DeviceOptions,
  integer,
  type ModelOptions,
  type OutputOptions,
  print,
  withDevice,
  withModel,
} from "./options.js";
import { progressLine } from "./progress.js";
import { textTable } from "./table.js";
import { wrap } from "./text.js";

interface Options extends ModelOptions, DeviceOptions, OutputOptions {
  weights?: string;
  batch: number[];
  warmup: number;
  iterations?: number;
  layers: boolean;
  export?: string;
}

export function benchCommand(): Command {
  return withDevice(
    withModel(command("bench", "measure latency, throughput, memory, cold start and each layer")),
  )
    .option("--weights <file>", "network and parameters from a file (default: random ones)")
    .option("--batch <sizes>", "comma-separated batch sizes", batchSizes, [1, 8, 32])
    .option("--warmup <count>", "forwards before the timed ones", integer, 3)
    .option(
      "--iterations <count>",
      "timed forwards for each batch size (default: what fits into 3 seconds, from 5 to 1000)",
      integer,
    )
    .option(
      "--layers",
      "print each layer's time against its floor (--json has shapes and bytes)",
      false,
    )
    .option("--export <dir>", "write JSON, CSV, and figures as SVG and PNG into a folder")
    .action(bench);
}

async function bench(options: Options, command: Command): Promise<void> {
  const { arch, precision, imageSize, weights, iterations, batch: batches } = options;
  const isGiven = (name: string) => command.getOptionValueSource(name) === "cli";
  checkInteger(options.warmup, "--warmup", 0, 1_000_000);
  if (iterations !== undefined) checkInteger(iterations, "--iterations", 1, 1_000_000);
  topology(arch, options);
  const { inChannels, numClasses, hiddenFeatures } = options;
  const sizes = { inChannels, numClasses, hiddenFeatures };
  for (const [name, value] of Object.entries(sizes)) {
    if (weights !== undefined && isGiven(name))
      throw rangeError("none beside --weights, whose file says it,", name, value);
  }
  if (options.export !== undefined) await prepareFolder(options.export);
  const device = await openDevice(options.device);
  if (!device.info.precisions.includes(precision)) {
    const offered = device.info.precisions.join(", ");
    throw new VggError(
      "UNSUPPORTED",
      `--precision ${precision} is not available on ${device.id}, which has ${offered}`,
    );
  }
  const benchOptions: BenchOptions = { batches, warmup: options.warmup, iterations };
  const path = weights === undefined ? undefined : await weightsPath(arch, weights);
  // What the file says counts, unless the command line says it.
  const isFile = path !== undefined && path === weights;
  const choice = {
    ...(isFile && !isGiven("arch") ? {} : { arch }),
    ...(isFile && !isGiven("imageSize") ? {} : { imageSize }),
    ...(path === undefined ? sizes : { weights: path }),
    precision,
  };
  const progress = progressLine("measurements", parts(benchOptions));
  let sayLater = () => {}; // not into the line of progress
  const report = await runBench(device, choice, {
    ...benchOptions,
    onLoad: ({ arch: loaded, loadReport }) => {
      sayLater = () => sayIgnored(loaded, loadReport);
    },
    onProgress: progress.advance,
  }).finally(progress.stop);
  sayLater();
  const files = options.export === undefined ? [] : await exportReport(report, options.export);
  const lines = () => [
    ...describeReport(report),
    ...(options.layers ? report.batches.flatMap(describeLayers) : []),
    ...(files.length > 0 ? ["", `${files.join(", ")} written to ${options.export}`] : []),
  ];
  print(options, report, () => lines().join("\n"));
}

const number = (value: number | null, digits = 2) =>
  value === null ? "-" : value.toLocaleString("en-US", fraction(digits));
const fraction = (digits: number) => ({
  minimumFractionDigits: digits,
  maximumFractionDigits: digits,
});
const percent = (share: number | null) => (share === null ? "-" : `${number(share * 100, 1)} %`);
const megabytes = (bytes: number) => `${number(bytes / 1e6, 0)} MB`;

function describeReport(report: BenchReport): string[] {
  const { arch, precision, imageSize, device, roofline, coldStart, memory, batches } = report;
  const { threads, instructionSets = [] } = device;
  const place = threads === undefined ? device.id : `${threads} threads, ${instructionSets[0]}`;
  const peak = (value: number | null, unit: string, how: string) =>
    `${value === null ? "not measured" : `${threeDigits(value)} ${unit}`} (${how})`;
  const cold =
    coldStart === null
      ? "not measured: the process for it failed"
      : `${number(coldStart.totalMs, 0)} ms from the start of a process to its first answer: ` +
        `Node ${number(coldStart.nodeMs, 0)}, import ${number(coldStart.importMs, 0)}, device ${number(coldStart.openMs, 0)}, ` +
        `model ${number(coldStart.modelMs, 0)}, forward ${number(coldStart.firstForwardMs, 0)}`;
  const stats = batches.at(-1)!.memory;
  const speed = ["batch", "p50 ms", "p95 ms", "p99 ms", "images/s"];
  return [
    wrap(`${arch}, ${precision}, ${imageSize} × ${imageSize} pixels, ${device.name} (${place})`),
    ...[
      `arithmetic  ${peak(roofline.gigaflopsPerSecond, "GFLOP/s", roofline.arithmetic)}`,
      `memory      ${peak(roofline.gigabytesPerSecond, "GB/s", roofline.memory)}`,
      `cold start  ${cold}`,
      `in use      ${megabytes(memory.rssBytes)} resident, ${megabytes(memory.peakRssBytes)} at most; ` +
        `parameters ${megabytes(stats.parameterBytes)}, activations ${megabytes(stats.activationBytes)}`,
    ].map((line) => wrap(line, " ".repeat(12))),
    "",
    ...textTable([...speed, `${report.inFlight} in flight`, "runs"], batches.map(speedRow), 0),
    "",
    ...textTable(
      ["batch", "TFLOP/s", "floor ms", "of roofline", "overhead µs", "JS µs"],
      batches.map(effortRow),
      0,
    ),
    ...(batches.some(({ rooflineShare }) => (rooflineShare ?? 0) > 1.1) ? [busy] : []),
  ];
}

const busy = wrap(
  "A share of the roofline above 100 %: caches held the data, or the machine was busy while its peak was measured.",
);

function speedRow(report: BatchReport): string[] {
  const { batch, latencyMs, imagesPerSecond, imagesPerSecondInFlight, iterations } = report;
  return [
    ...[String(batch), number(latencyMs.p50), number(latencyMs.p95), number(latencyMs.p99)],
    ...[number(imagesPerSecond, 1), number(imagesPerSecondInFlight, 1), String(iterations)],
  ];
}

function effortRow(report: BatchReport): string[] {
  const { batch, teraflopsPerSecond, floorMs, rooflineShare, overheadUs, javascriptUs } = report;
  return [
    ...[String(batch), number(teraflopsPerSecond, 3), number(floorMs), percent(rooflineShare)],
    ...[number(overheadUs, 0), number(javascriptUs, 0)],
  ];
}

/** Shortens the modules of one step: "features.0+features.1+features.2" becomes "features.0-2". */
function shortName(name: string): string {
  const [first, ...rest] = name.split("+");
  const last = rest.at(-1);
  return last === undefined ? first! : `${first}-${last.slice(last.lastIndexOf(".") + 1)}`;
}

function describeLayers({ batch, layers }: BatchReport): string[] {
  const rows = layers.map(({ name, kind, medianMs, floorMs, bound, share }) => [
    ...[shortName(name), kind, number(medianMs, 3)],
    ...[number(floorMs, 3), bound ?? "-", percent(share)],
  ]);
  const heads = ["name", "kind", "ms", "floor ms", "bound by", "of floor"];
  return ["", `batch ${batch}`, ...textTable(heads, rows, 2)];
}
