// Runs the benchmark: a cold start, each batch size, memory, and last the roofline, because it allocates memory too.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { optionOf } from "../../check.js";
import type { Device, DeviceId } from "../../device/device.js";
import type { Precision } from "../../dtype.js";
import { median, percentile } from "../../statistics.js";
import { Tensor } from "../../tensor.js";
import { version } from "../../version.js";
import { Vgg } from "../../vgg/model.js";
import type { VggOptions } from "../../vgg/options.js";
import type { LayerProfile } from "../../vgg/profile.js";
import type { Architecture } from "../../vgg/topology.js";
import {
  type BatchReport,
  type BenchReport,
  type ColdStartReport,
  profileRuns,
  type RooflineReport,
} from "./report.js";
import { againstRoofline, measureRoofline } from "./roofline.js";

export interface ModelChoice {
  /** Default: with `weights`, what the file says; otherwise vgg11. */
  arch?: Architecture;
  precision: Precision;
  /** Default: what the file says, otherwise 224. */
  imageSize?: number;
  /** Not given with `weights`: then the file decides. */
  inChannels?: number;
  numClasses?: number;
  hiddenFeatures?: number;
  /** A file of parameters. Default: random parameters. */
  weights?: string;
}

export interface BenchOptions {
  batches: readonly number[];
  /** The number of forwards before the first timed one. */
  warmup: number;
  /** Timed forwards for each batch size. Undefined: as many as fit into three seconds, from 5 to 1000. */
  iterations: number | undefined;
  /** Called with the model before it is measured. */
  onLoad?: (model: Vgg) => void;
  /** Called after each of the `parts(options)` parts. */
  onProgress?: () => void;
}

const inFlight = 4;
const secondsPerBatch = 3;

export const parts = ({ batches }: BenchOptions): number => batches.length + 2;

/**
 * Runs the benchmark. It takes a few seconds for each batch size and two seconds for the rest.
 * @returns all that is printed and plotted
 * @throws {TypeError|RangeError|VggError} the errors of Vgg.create, Vgg.load and forward
 */
export async function runBench(
  device: Device,
  choice: ModelChoice,
  options: BenchOptions,
): Promise<BenchReport> {
  const onProgress = optionOf(options, "onProgress");
  // Measure the cold start first, while this process has no model, because two models need twice the memory.
  const coldStart = await measureColdStart(device.id as DeviceId, choice);
  onProgress?.();
  const { arch: _, weights: __, ...rest } = choice;
  const model = await modelOf(choice, { ...rest, device });
  optionOf(options, "onLoad")?.(model);
  try {
    const { totalMultiplyAdds } = model.summary();
    const measured: MeasuredBatch[] = [];
    for (const batch of options.batches) {
      measured.push(await measureBatch(model, batch, options));
      onProgress?.();
    }
    const memory = {
      rssBytes: process.memoryUsage.rss(),
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
    const roofline = await measureRoofline(device, choice.precision);
    onProgress?.();
    return {
      version,
      node: process.version,
      date: new Date().toISOString(),
      arch: model.arch,
      precision: model.precision,
      inChannels: model.inChannels,
      numClasses: model.numClasses,
      hiddenFeatures: model.hiddenFeatures,
      imageSize: model.imageSize,
      parameterCount: model.parameterCount,
      multiplyAddsPerImage: totalMultiplyAdds,
      device: device.info,
      warmup: options.warmup,
      inFlight,
      roofline,
      coldStart,
      memory,
      batches: measured.map((batch) => describeBatch(batch, totalMultiplyAdds, roofline)),
    };
  } finally {
    await model.dispose();
  }
}

/** Loads or makes the model of a choice. */
async function modelOf(choice: ModelChoice, options: VggOptions): Promise<Vgg> {
  const arch = optionOf(choice, "arch");
  const weights = optionOf(choice, "weights");
  if (weights === undefined) return Vgg.create(arch ?? "vgg11", options);
  return arch === undefined ? Vgg.load(weights, options) : Vgg.load(arch, weights, options);
}

async function measureColdStart(
  device: DeviceId,
  choice: ModelChoice,
): Promise<ColdStartReport | null> {
  const script = fileURLToPath(new URL("./cold-start-child.js", import.meta.url));
  const argument = JSON.stringify({ device, ...choice });
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script, argument]);
    return JSON.parse(stdout) as ColdStartReport;
  } catch {
    return null; // if a model cannot be made, this process reports the reason when it makes its own
  }
}

interface MeasuredBatch {
  readonly batch: number;
  readonly latencies: readonly number[];
  readonly overheads: readonly number[];
  readonly inJavaScript: readonly number[];
  readonly imagesPerSecondInFlight: number;
  readonly memory: BatchReport["memory"];
  readonly layers: readonly LayerProfile[];
}

async function measureBatch(
  model: Vgg,
  batch: number,
  { warmup, iterations }: BenchOptions,
): Promise<MeasuredBatch> {
  const input = Tensor.randn([batch, model.inChannels, model.imageSize, model.imageSize]);
  await model.warmup([batch]);
  for (let i = 0; i < warmup; i++) await model.forward(input);
  const latencies: number[] = [];
  const overheads: number[] = [];
  const inJavaScript: number[] = [];
  const end = performance.now() + secondsPerBatch * 1000;
  const isEnough = (count: number) =>
    iterations === undefined
      ? count >= 1000 || (count >= 5 && performance.now() > end)
      : count >= iterations;
  while (!isEnough(latencies.length)) {
    const start = performance.now();
    await model.forward(input);
    const taken = performance.now() - start;
    latencies.push(taken);
    const { device, call } = model.lastForward;
    overheads.push(taken - device);
    inJavaScript.push(taken - call);
  }
  const start = performance.now();
  let begun = 0;
  const one = async () => {
    while (begun < latencies.length) {
      begun++;
      await model.forward(input);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const seconds = (performance.now() - start) / 1000;
  return {
    batch,
    latencies,
    overheads,
    inJavaScript,
    imagesPerSecondInFlight: (batch * latencies.length) / seconds,
    memory: model.device.memoryStats(),
    layers: await model.profile(input, {
      warmup: 1,
      iterations: Math.min(latencies.length, profileRuns),
    }),
  };
}

function describeBatch(
  measured: MeasuredBatch,
  multiplyAdds: number,
  roofline: RooflineReport,
): BatchReport {
  const { batch, latencies, imagesPerSecondInFlight, memory, layers } = measured;
  const p50 = median(latencies);
  const reports = layers.map((layer) => againstRoofline(layer, roofline));
  const floorMs = reports.reduce<number | null>(
    (sum, layer) => (sum === null || layer.floorMs === null ? null : sum + layer.floorMs),
    0,
  );
  return {
    batch,
    iterations: latencies.length,
    latencyMs: {
      min: Math.min(...latencies),
      p50,
      p95: percentile(latencies, 0.95),
      p99: percentile(latencies, 0.99),
    },
    imagesPerSecond: (batch / p50) * 1000,
    imagesPerSecondInFlight,
    teraflopsPerSecond: (2 * multiplyAdds * batch) / p50 / 1e9,
    floorMs,
    rooflineShare: floorMs === null ? null : floorMs / p50,
    overheadUs: median(measured.overheads) * 1000,
    javascriptUs: median(measured.inJavaScript) * 1000,
    memory,
    layers: reports,
  };
}
