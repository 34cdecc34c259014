// The results of a benchmark as plain data, which `vgg bench --json` prints. Values that were not measured are null.
import type { MemoryStats } from "../../device/device.js";
import type { DeviceInfo } from "../../device/diagnosis.js";
import type { Precision } from "../../dtype.js";
import type { LayerProfile } from "../../vgg/profile.js";
import type { Architecture } from "../../vgg/topology.js";

/** The maximum number of runs that time the layers, for each batch size. */
export const profileRuns = 10;

export interface Latency {
  readonly min: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** The device's peak rates, measured in the same run. */
export interface RooflineReport {
  readonly gigaflopsPerSecond: number | null;
  readonly gigabytesPerSecond: number | null;
  /** How the rate was measured. */
  readonly arithmetic: string;
  readonly memory: string;
}

/** Times of a separate process, from its start to its first output. */
export interface ColdStartReport {
  /** From the start of the process to the first line of JavaScript. */
  readonly nodeMs: number;
  readonly importMs: number;
  readonly openMs: number;
  /** Includes the parameters: made from a seed, or loaded from the file. */
  readonly modelMs: number;
  readonly firstForwardMs: number;
  readonly totalMs: number;
  readonly secondForwardMs: number;
  readonly peakRssBytes: number;
}

/** A layer, compared with its minimum time by the roofline. */
export interface LayerReport extends LayerProfile {
  /** The time of its products at the measured peak. */
  readonly arithmeticMs: number | null;
  /** The time of its bytes at the measured bandwidth. */
  readonly memoryMs: number | null;
  /** The maximum of `arithmeticMs` and `memoryMs`. */
  readonly floorMs: number | null;
  readonly bound: "arithmetic" | "memory" | null;
  /** floorMs / medianMs. It is above 1 if caches hold the bytes. */
  readonly share: number | null;
}

export interface BatchReport {
  readonly batch: number;
  /** The number of timed forwards. */
  readonly iterations: number;
  readonly latencyMs: Latency;
  /** Images per second at the median latency, one forward after the other. */
  readonly imagesPerSecond: number;
  /** Images per second with `inFlight` overlapping forwards. */
  readonly imagesPerSecondInFlight: number;
  readonly teraflopsPerSecond: number;
  /** The sum of the layers' floors. */
  readonly floorMs: number | null;
  /** floorMs / latencyMs.p50 */
  readonly rooflineShare: number | null;
  /** The median time beyond the device's time: checks, copies in and out, thread switches. */
  readonly overheadUs: number;
  /** The part of `overheadUs` in JavaScript: before the addon is called, and after it has settled its promise. */
  readonly javascriptUs: number;
  readonly memory: MemoryStats;
  readonly layers: readonly LayerReport[];
}

export interface BenchReport {
  readonly version: string;
  readonly node: string;
  readonly date: string;
  readonly arch: Architecture;
  readonly precision: Precision;
  readonly inChannels: number;
  readonly numClasses: number;
  readonly hiddenFeatures: number;
  readonly imageSize: number;
  readonly parameterCount: number;
  readonly multiplyAddsPerImage: number;
  readonly device: DeviceInfo;
  readonly warmup: number;
  readonly inFlight: number;
  readonly roofline: RooflineReport;
  /** Null if the process failed, most likely because memory ran out. */
  readonly coldStart: ColdStartReport | null;
  /** Memory of this process before the roofline is measured. */
  readonly memory: { readonly rssBytes: number; readonly peakRssBytes: number };
  readonly batches: readonly BatchReport[];
}
