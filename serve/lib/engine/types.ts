// What the front ends know of the engine: its calls, its models, its health and its statistics.
import type { ImagesRequest, InferRequest, InferResponse } from "../protocol/types.js";

/** One class of an image. */
export interface Prediction {
  readonly index: number;
  readonly label: string;
  /** 0 … 1 */
  readonly probability: number;
}

/** Embeddings of images: shape [images, values], row-major. */
export interface Embeddings {
  readonly shape: readonly [number, number];
  readonly data: Float32Array;
}

/** The output of a layer for one image: shape [channels, height, width] or [values], row-major. */
export interface LayerValues {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What both front ends call. Each call that fails throws a ServeError. */
export interface Engine {
  infer(request: InferRequest): Promise<InferResponse>;
  /** Returns the `top` best classes of each image, in the order of the images. */
  classify(request: ImagesRequest & { readonly top: number }): Promise<Prediction[][]>;
  embed(
    request: ImagesRequest & {
      readonly layer?: string | undefined;
      readonly pool?: "mean" | "max" | undefined;
      readonly normalize?: boolean | undefined;
    },
  ): Promise<Embeddings>;
  /** Returns the output of one layer for one image. */
  layer(request: ImagesRequest & { readonly layer: string }): Promise<LayerValues>;
  /**
   * Returns the shape of each layer's output for one image, by name and in the order of the network.
   * @param model undefined: the only model
   */
  layers(model?: string, version?: string): ReadonlyMap<string, readonly number[]>;
  readonly registry: Registry;
  readonly statistics: Statistics;
  readonly health: Health;
}

/** The state of a version, in Triton's words. */
export type ModelState = "READY" | "UNAVAILABLE" | "LOADING" | "UNLOADING" | "UNKNOWN";

/** One line of the repository's index. */
export interface ModelIndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: ModelState;
  /** Why it is not ready, or why its last load failed; "" if there is nothing to say. */
  readonly reason: string;
}

/** An input or output of a model; -1 is any size. */
export interface TensorMetadata {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/** The part of Triton's ModelConfig that the server has; names and values as in its JSON. */
export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly max_batch_size: number;
  readonly input: readonly ConfigTensor[];
  readonly output: readonly ConfigTensor[];
  readonly instance_group: readonly {
    readonly name: string;
    readonly kind: "KIND_CPU" | "KIND_GPU";
    readonly count: number;
    readonly gpus: readonly number[];
  }[];
  readonly dynamic_batching: { readonly preferred_batch_size: readonly number[] };
}

export interface ConfigTensor {
  readonly name: string;
  /** Such as "TYPE_FP32"; BYTES is "TYPE_STRING". */
  readonly data_type: string;
  /** Without the batch. */
  readonly dims: readonly number[];
}

/** The models by name and version. A call for an unknown one throws a ServeError of status 404. */
export interface Registry {
  /** Every version that is configured or was loaded. */
  models(): readonly ModelIndexEntry[];
  metadata(name: string, version?: string): ModelMetadata;
  config(name: string, version?: string): ModelConfig;
  /** Loads a configured model, or loads it anew beside the present one, and swaps when it is warm. */
  load(name: string): Promise<void>;
  /** Takes no more requests for the model, ends those that it has, and gives its memory back. */
  unload(name: string): Promise<void>;
}

/** What probes ask. */
export interface Health {
  /** Whether a device works. */
  live(): boolean;
  /** Whether every model can serve; the reason is one sentence. */
  ready(): { readonly ready: boolean; readonly reason?: string };
  /** @throws {ServeError} 404 for an unknown model or version */
  modelReady(name: string, version?: string): boolean;
}

/** How a request ended, in the words of Triton's metric of failures, and "SUCCESS". */
export type Outcome = "SUCCESS" | "REJECTED" | "CANCELED" | "BACKEND" | "OTHER";

/** One request that has ended, for statistics, metrics, logs and traces. Times are in milliseconds. */
export interface InferenceRecord {
  readonly kind: "infer" | "classify" | "embed" | "layers";
  /** "" for a request that names no known model. */
  readonly model: string;
  readonly version: string;
  readonly id?: string | undefined;
  readonly client: string;
  readonly images: number;
  readonly outcome: Outcome;
  /** The status that HTTP gives; 499 if the client has left. */
  readonly status: number;
  /** What went wrong; undefined after success. */
  readonly message?: string | undefined;
  /** When the request arrived, by `performance.now()`. */
  readonly startMs: number;
  readonly totalMs: number;
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly runMs: number;
  /** From the end of the run to the answer. */
  readonly outputMs: number;
  /** The images of each device run that had a part of the request, and how many of them are the request's own. */
  readonly runs: readonly { readonly batchSize: number; readonly images: number }[];
  readonly protocol?: "http" | "grpc" | undefined;
  readonly bytes?: number | undefined;
  readonly traceparent?: string | undefined;
}

/** Triton's duration: how often, and nanoseconds in all. */
export interface StatisticDuration {
  readonly count: number;
  readonly ns: number;
}

/** Triton's statistics of one version; names as in its JSON. */
export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** Milliseconds since 1970; 0 if there was none. */
  readonly last_inference: number;
  /** Images. */
  readonly inference_count: number;
  /** Device runs. */
  readonly execution_count: number;
  readonly inference_stats: Readonly<
    Record<
      | "success"
      | "fail"
      | "queue"
      | "compute_input"
      | "compute_infer"
      | "compute_output"
      | "cache_hit"
      | "cache_miss",
      StatisticDuration
    >
  >;
  readonly batch_stats: readonly {
    readonly batch_size: number;
    readonly compute_input: StatisticDuration;
    readonly compute_infer: StatisticDuration;
    readonly compute_output: StatisticDuration;
  }[];
}

/** Counts requests. The engine records each one before its answer is sent. */
export interface Statistics {
  record(record: InferenceRecord): void;
  /** The statistics of the versions that are loaded: all, a model's, or one version's. */
  statsOf(name?: string, version?: string): readonly ModelStatistics[];
}
