// What a benchmark found, as plain data: what `vgg bench --json` prints. Nothing that was not measured is a number.
import type { MemoryStats } from "../../device/device.js";
import type { DeviceInfo } from "../../device/diagnosis.js";
import type { Precision } from "../../dtype.js";
import type { LayerProfile } from "../../vgg/profile.js";
import type { Architecture } from "../../vgg/topology.js";

/** Layers are timed in at most so many runs of each batch size. */
export const profileRuns = 10;

export interface Latency {
  readonly min: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** What the device reaches at most, measured in the same run. */
export interface RooflineReport {
  readonly gigaflopsPerSecond: number | null;
  readonly gigabytesPerSecond: number | null;
  /** By what it was measured. */
  readonly arithmetic: string;
  readonly memory: string;
}

/** A process of its own, from its start to its first answer. */
export interface ColdStartReport {
  /** Until the first line of JavaScript. */
  readonly nodeMs: number;
  readonly importMs: number;
  readonly openMs: number;
  /** Parameters: made from a seed, or loaded from the file. */
  readonly modelMs: number;
  readonly firstForwardMs: number;
  readonly totalMs: number;
  readonly secondForwardMs: number;
  readonly peakRssBytes: number;
}

/** A layer against the least time that the roofline allows it. */
export interface LayerReport extends LayerProfile {
  /** Its products at the measured peak. */
  readonly arithmeticMs: number | null;
  /** Its bytes at the measured bandwidth. */
  readonly memoryMs: number | null;
  /** The larger of the two. */
  readonly floorMs: number | null;
  readonly bound: "arithmetic" | "memory" | null;
  /** floorMs / medianMs. Above 1 where caches hold the bytes. */
  readonly share: number | null;
}

export interface BatchReport {
  readonly batch: number;
  /** Forwards that were timed. */
  readonly iterations: number;
  readonly latencyMs: Latency;
  /** One forward after the other, at the median. */
  readonly imagesPerSecond: number;
  /** With `inFlight` forwards under way. */
  readonly imagesPerSecondInFlight: number;
  readonly teraflopsPerSecond: number;
  /** The sum of the layers' floors. */
  readonly floorMs: number | null;
  /** floorMs / latencyMs.p50 */
  readonly rooflineShare: number | null;
  /** Above the device's time, at the median: checks, copies in and out, changes of thread. */
  readonly overheadUs: number;
  /** Of that, what is spent in JavaScript: before the addon is called, and after it has settled its promise. */
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
  readonly imageSize: number;
  readonly parameterCount: number;
  readonly multiplyAddsPerImage: number;
  readonly device: DeviceInfo;
  readonly warmup: number;
  readonly inFlight: number;
  readonly roofline: RooflineReport;
  /** null: the process failed, for want of memory most likely. */
  readonly coldStart: ColdStartReport | null;
  /** Of this process, before the roofline is measured. */
  readonly memory: { readonly rssBytes: number; readonly peakRssBytes: number };
  readonly batches: readonly BatchReport[];
}
