// The metrics of the server, in Prometheus's text format: Triton's names, and histograms of our own.
import { cpus, freemem, totalmem } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { InferenceRecord } from "../engine/types.js";
import type { ModelCounts } from "./statistics.js";

/** What waits for one version of a model. */
export interface WaitingWork {
  readonly model: string;
  readonly version: string;
  readonly requests: number;
  readonly images: number;
}

/** A device that models are configured for. */
export interface DeviceState {
  /** Such as "cuda:0". */
  readonly device: string;
  readonly up: boolean;
  /** A GPU's memory. */
  readonly memory?: { readonly totalBytes: number; readonly usedBytes: number } | undefined;
}

/** What metrics are read from when they are asked for. */
export interface MetricSources {
  readonly statistics: ModelCounts;
  waiting?(): Iterable<WaitingWork>;
  devices?(): Iterable<DeviceState>;
  /** How long the last load of each version took. */
  loads?(): Iterable<{
    readonly model: string;
    readonly version: string;
    readonly seconds: number;
  }>;
  /** Lines that the log has dropped. */
  droppedLogLines?(): number;
}

/** Times from 0.1 ms to 30 s. */
const seconds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30,
];

/** How often the delay of the event loop is measured. What Node gives contains this time. */
const delayTimerMs = 10;

const batchSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256];

const byVersion = ["model", "version"] as const;
type Version = (typeof byVersion)[number];

/**
 * The metrics of one server. They have a registry of their own, so that two servers of a process do not mix.
 * @example
 * const metrics = new Metrics({ statistics });
 * response.setHeader("Content-Type", metrics.contentType);
 * response.end(await metrics.text());
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #sources: MetricSources;
  readonly #delay = monitorEventLoopDelay({ resolution: delayTimerMs });
  readonly #stop: () => void;

  constructor(sources: MetricSources) {
    this.#sources = sources;
    this.#delay.enable();
    this.#addCounters();
    this.#addDevices();
    this.#addProcess();
    const observe = this.#histograms();
    this.#stop = sources.statistics.onRecord((record) => {
      // An unknown model makes no series: a client could make any number of them.
      if (sources.statistics.has(record.model, record.version)) observe(record);
    });
  }

  /** The media type of `text()`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Ends the measurement of the event loop. A second call does nothing. */
  close(): void {
    this.#stop();
    this.#delay.disable();
  }

  /** Adds a metric whose values are read anew at each scrape. */
  #read<Label extends string>(
    kind: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    labelNames: readonly Label[],
    values: () => Iterable<readonly [Partial<Record<Label, string>>, number]>,
  ): void {
    new kind<string>({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [labels, value] of values())
          this.inc(labels as Partial<Record<string, string>>, value);
      },
    });
  }

  #addCounters(): void {
    const { statistics } = this.#sources;
    const versions = (pick: (stats: ReturnType<ModelCounts["statsOf"]>[number]) => number) => () =>
      statistics
        .statsOf()
        .map((stats) => [{ model: stats.name, version: stats.version }, pick(stats)] as const);
    const counter = (
      name: string,
      help: string,
      pick: (stats: ReturnType<ModelCounts["statsOf"]>[number]) => number,
    ) => this.#read<Version>(Counter, `nv_inference_${name}`, help, byVersion, versions(pick));
    counter("request_success", "Requests that succeeded", (s) => s.inference_stats.success.count);
    this.#read(
      Counter,
      "nv_inference_request_failure",
      "Requests that failed, by reason",
      [...byVersion, "reason"],
      () => statistics.failures().map(({ count, ...labels }) => [labels, count] as const),
    );
    counter("count", "Images of requests that succeeded", (s) => s.inference_count);
    counter("exec_count", "Runs of the device", (s) => s.execution_count);
    const microseconds = (
      name: string,
      help: string,
      key: "success" | "queue" | "compute_input" | "compute_infer" | "compute_output",
    ) => counter(`${name}_duration_us`, help, (s) => Math.round(s.inference_stats[key].ns / 1000));
    microseconds("request", "Time of requests that succeeded, in microseconds", "success");
    microseconds("queue", "Time in the queue, in microseconds", "queue");
    microseconds("compute_input", "Time of decoding, in microseconds", "compute_input");
    microseconds("compute_infer", "Time of runs, in microseconds", "compute_infer");
    microseconds("compute_output", "Time of making outputs, in microseconds", "compute_output");
    const waiting = (pick: (work: WaitingWork) => number) => () =>
      [...(this.#sources.waiting?.() ?? [])].map(
        (work) => [{ model: work.model, version: work.version }, pick(work)] as const,
      );
    this.#read<Version>(
      Gauge,
      "nv_inference_pending_request_count",
      "Requests that wait for a run",
      byVersion,
      waiting((work) => work.requests),
    );
    this.#read<Version>(
      Gauge,
      "vgg_waiting_images",
      "Images that wait for a run",
      byVersion,
      waiting((work) => work.images),
    );
    this.#read<Version>(
      Gauge,
      "nv_model_load_duration_secs",
      "Time of the last load, in seconds",
      byVersion,
      () => [...(this.#sources.loads?.() ?? [])].map(({ seconds, ...labels }) => [labels, seconds]),
    );
  }

  #addDevices(): void {
    const devices = () => [...(this.#sources.devices?.() ?? [])];
    this.#read(Gauge, "vgg_device_up", "1 if the device works, 0 if it is lost", ["device"], () =>
      devices().map(({ device, up }) => [{ device }, up ? 1 : 0] as const),
    );
    // Triton's label is gpu_uuid; the device's id names the GPU here.
    const memory = (name: string, help: string, key: "totalBytes" | "usedBytes") =>
      this.#read(Gauge, name, help, ["gpu_uuid"], () =>
        devices().flatMap(({ device, memory }) =>
          memory === undefined ? [] : [[{ gpu_uuid: device }, memory[key]] as const],
        ),
      );
    memory("nv_gpu_memory_total_bytes", "Memory of the GPU, in bytes", "totalBytes");
    memory("nv_gpu_memory_used_bytes", "Used memory of the GPU, in bytes", "usedBytes");
  }

  #addProcess(): void {
    const gauge = (name: string, help: string, value: () => number) =>
      this.#read<never>(Gauge, name, help, [], () => [[{}, value()]]);
    const utilisation = cpuUtilisation();
    gauge(
      "nv_cpu_utilization",
      "Share of the machine's CPU time that is used, 0 to 1",
      utilisation,
    );
    gauge("nv_cpu_memory_total_bytes", "Memory of the machine, in bytes", totalmem);
    gauge("nv_cpu_memory_used_bytes", "Used memory of the machine, in bytes", () => {
      return totalmem() - freemem();
    });
    gauge("vgg_process_resident_bytes", "Memory of this process, in bytes", () => {
      return process.memoryUsage.rss();
    });
    this.#read<never>(
      Counter,
      "vgg_log_dropped_lines_total",
      "Lines of the log that could not be written",
      [],
      () => [[{}, this.#sources.droppedLogLines?.() ?? 0]],
    );
    this.#read(
      Gauge,
      "vgg_event_loop_delay_seconds",
      "Delay of the event loop since the last scrape, in seconds",
      ["quantile"],
      () => {
        const quantiles = [50, 99, 100].map(
          (percent) =>
            [
              { quantile: String(percent / 100) },
              Math.max(0, this.#delay.percentile(percent) / 1e9 - delayTimerMs / 1000),
            ] as const,
        );
        this.#delay.reset();
        return quantiles;
      },
    );
  }

  /** Adds the histograms, and returns what fills them. */
  #histograms(): (record: InferenceRecord) => void {
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({
        name,
        help,
        labelNames: byVersion,
        buckets,
        registers: [this.#registry],
      });
    const request = histogram(
      "vgg_request_seconds",
      "Time of a request, also of one that failed, in seconds",
      seconds,
    );
    const queue = histogram("vgg_queue_seconds", "Time in the queue, in seconds", seconds);
    const decode = histogram("vgg_decode_seconds", "Time of decoding, in seconds", seconds);
    const run = histogram("vgg_run_seconds", "Time of runs, in seconds", seconds);
    const batch = histogram("vgg_batch_images", "Images of the run that had a request", batchSizes);
    return (record) => {
      const { model, version } = record;
      const labels = { model, version };
      request.observe(labels, record.totalMs / 1000);
      if (record.runs.length === 0) return;
      queue.observe(labels, record.queueMs / 1000);
      decode.observe(labels, record.decodeMs / 1000);
      run.observe(labels, record.runMs / 1000);
      for (const { batchSize } of record.runs) batch.observe(labels, batchSize);
    };
  }
}

/** Returns a function that says which share of the machine's CPU time was used since its last call, 0 to 1. */
function cpuUtilisation(): () => number {
  const read = () => {
    const times = cpus().map((cpu) => cpu.times);
    const idle = times.reduce((sum, { idle }) => sum + idle, 0);
    return {
      idle,
      all: times.reduce(
        (sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq,
        0,
      ),
    };
  };
  let before = read();
  return () => {
    const now = read();
    const all = now.all - before.all;
    const share = all === 0 ? 0 : 1 - (now.idle - before.idle) / all;
    before = now;
    return Math.min(1, Math.max(0, share));
  };
}
