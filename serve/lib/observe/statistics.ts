// Counts and times of each model and version, in the form of Triton's statistics extension.
import type {
  InferenceRecord,
  ModelStatistics,
  Outcome,
  StatisticDuration,
  Statistics,
} from "../engine/types.js";

/** How a request can fail, in Triton's words. */
export type Failure = Exclude<Outcome, "SUCCESS">;

export const failures: readonly Failure[] = ["REJECTED", "CANCELED", "BACKEND", "OTHER"];

/** How many requests of one version failed for one reason. */
export interface FailureCount {
  readonly model: string;
  readonly version: string;
  readonly reason: Failure;
  readonly count: number;
}

/** A sum of times, and of how many there were. Shares of a run make the count a fraction until all shares are in. */
class Sum {
  #count = 0;
  #ms = 0;

  add(ms: number, count = 1): void {
    this.#ms += ms * count;
    this.#count += count;
  }

  read(): StatisticDuration {
    return { count: Math.round(this.#count), ns: Math.round(this.#ms * 1e6) };
  }
}

/** The sums of one version of a model. */
class VersionSums {
  readonly name: string;
  readonly version: string;
  readonly failures = new Map<Failure, number>();
  readonly #success = new Sum();
  readonly #fail = new Sum();
  readonly #queue = new Sum();
  readonly #input = new Sum();
  readonly #infer = new Sum();
  readonly #output = new Sum();
  /** Input, run and output, by batch size. */
  readonly #batches = new Map<number, [input: Sum, infer: Sum, output: Sum]>();
  #runs = 0;
  #images = 0;
  #lastInference = 0;

  constructor(name: string, version: string) {
    this.name = name;
    this.version = version;
  }

  add(record: InferenceRecord, now: number): void {
    // A run counts once, however many requests share it, and also if a request failed after it.
    for (const run of record.runs) this.#addRun(run, record);
    if (record.outcome !== "SUCCESS") {
      this.#fail.add(record.totalMs);
      this.failures.set(record.outcome, (this.failures.get(record.outcome) ?? 0) + 1);
      return;
    }
    this.#lastInference = now;
    this.#images += record.images;
    this.#success.add(record.totalMs);
    this.#queue.add(record.queueMs);
    this.#input.add(record.decodeMs);
    this.#infer.add(record.runMs);
    this.#output.add(record.outputMs);
  }

  #addRun(run: InferenceRecord["runs"][number], record: InferenceRecord): void {
    const share = run.images / run.batchSize;
    this.#runs += share;
    let sums = this.#batches.get(run.batchSize);
    if (sums === undefined) {
      sums = [new Sum(), new Sum(), new Sum()];
      this.#batches.set(run.batchSize, sums);
    }
    const [input, infer, output] = sums;
    // A request that was cut into parts tells the time of all its runs together.
    const parts = record.runs.length;
    input.add(record.decodeMs / parts, share);
    infer.add(record.runMs / parts, share);
    output.add(record.outputMs / parts, share);
  }

  read(): ModelStatistics & ProtocolFields {
    const none = { count: 0, ns: 0 };
    const batches = [...this.#batches].sort(([a], [b]) => a - b);
    return {
      name: this.name,
      version: this.version,
      last_inference: this.#lastInference,
      inference_count: this.#images,
      execution_count: Math.round(this.#runs),
      inference_stats: {
        success: this.#success.read(),
        fail: this.#fail.read(),
        queue: this.#queue.read(),
        compute_input: this.#input.read(),
        compute_infer: this.#infer.read(),
        compute_output: this.#output.read(),
        cache_hit: none,
        cache_miss: none,
      },
      response_stats: {},
      batch_stats: batches.map(([batch_size, [input, infer, output]]) => ({
        batch_size,
        compute_input: input.read(),
        compute_infer: infer.read(),
        compute_output: output.read(),
      })),
      memory_usage: [],
    };
  }
}

/** Fields that Triton's answer has, and that are empty here: no model answers in parts, no memory is listed. */
interface ProtocolFields {
  readonly response_stats: Readonly<Record<string, never>>;
  readonly memory_usage: readonly never[];
}

/**
 * The statistics of all models. Metrics, the log and traces learn of each request here, with `onRecord`.
 * @example
 * const statistics = new ModelCounts();
 * statistics.add("vgg11", "1");
 * statistics.record({ model: "vgg11", version: "1", images: 1, outcome: "SUCCESS", … });
 * statistics.statsOf("vgg11")[0].inference_count; // 1
 */
export class ModelCounts implements Statistics {
  readonly #versions = new Map<string, VersionSums>();
  readonly #listeners = new Set<(record: InferenceRecord) => void>();
  readonly #now: () => number;

  /** @param now milliseconds since 1970; a test passes another clock */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Makes a version known, with all counts at 0. A known version keeps its counts, so that a reload does not reset them. */
  add(model: string, version: string): void {
    const key = keyOf(model, version);
    if (!this.#versions.has(key)) this.#versions.set(key, new VersionSums(model, version));
  }

  /** Forgets a version that is gone for good. */
  remove(model: string, version: string): void {
    this.#versions.delete(keyOf(model, version));
  }

  /** Whether a version is known. */
  has(model: string, version: string): boolean {
    return this.#versions.has(keyOf(model, version));
  }

  /** Counts a request. One of a version that was not added is passed on but not counted: no request can make entries. */
  record(record: InferenceRecord): void {
    this.#versions.get(keyOf(record.model, record.version))?.add(record, this.#now());
    for (const listener of this.#listeners) {
      try {
        listener(record);
      } catch {
        // What an exporter throws must not fail the request.
      }
    }
  }

  /** Calls a function with each record. Returns a function that ends this. */
  onRecord(listener: (record: InferenceRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  statsOf(name?: string, version?: string): (ModelStatistics & ProtocolFields)[] {
    return [...this.#versions.values()]
      .filter((sums) => name === undefined || sums.name === name)
      .filter((sums) => version === undefined || sums.version === version)
      .map((sums) => sums.read());
  }

  /** Returns how many requests failed, by version and reason, with zeros. */
  failures(): FailureCount[] {
    return [...this.#versions.values()].flatMap((sums) =>
      failures.map((reason) => ({
        model: sums.name,
        version: sums.version,
        reason,
        count: sums.failures.get(reason) ?? 0,
      })),
    );
  }
}

function keyOf(model: string, version: string): string {
  return JSON.stringify([model, version]);
}
