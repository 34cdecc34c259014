// Embeddings: the output of a layer as one vector for each image, pooled and normalised on request.
import type { Batcher } from "../../batch/batcher.js";
import { type CallSettings, checkQueueOptions, type QueueOptions } from "../../batch/options.js";
import type { Kind } from "../../batch/run.js";
import { runTensor } from "../../batch/tensor.js";
import { direct, type Turn } from "../../batch/turn.js";
import { checkInteger, checkOneOf, readOptions, typeError } from "../../check.js";
import { DeviceTensor } from "../../device/device.js";
import { VggError } from "../../errors.js";
import { GraphBuilder } from "../../graph/builder.js";
import type { NewTensors } from "../../graph/call.js";
import type { Graph } from "../../graph/graph.js";
import type { Value } from "../../graph/value.js";
import {
  type Preprocessing,
  type PreprocessingOptions,
  recordPixels,
} from "../../image/preprocessing.js";
import {
  type ImageSource,
  type OpenedSource,
  openSource,
  openSources,
} from "../../image/source.js";
import { elementCount, Tensor, tensorOf } from "../../tensor.js";
import type { ModelGraphs } from "../graphs.js";
import { type LayerName, moduleOf } from "../layers.js";
import { callPreprocessing } from "../preprocessing/fits.js";
import { extentOfInput, type ImageExtent, inputName, recordModules } from "../record.js";
import type { Topology } from "../topology.js";
import { isFailure, runEach } from "./each.js";
import type { Sources } from "./lookahead.js";
import { itself, withImages } from "./visit.js";

const pools = ["mean", "max"] as const;

/** Options of `embed` and `embedEach`. */
export interface EmbedOptions {
  /**
   * The layer whose output is the embedding. Default "classifier.4": 4096 values, the input of the last linear layer, as
   * torchvision's network gives them without that layer.
   */
  layer?: LayerName | undefined;
  /**
   * Reduces each channel of a layer with height and width to its mean or its maximum: (N, C, H, W) → (N, C). Has no
   * effect on a linear layer. Default: none; (N, C, H, W) becomes (N, C·H·W).
   */
  pool?: "mean" | "max" | undefined;
  /** Whether to divide each embedding by its L2 norm. An embedding of zeros stays as it is. Default false. */
  normalize?: boolean | undefined;
  /** The number of images in one batch on the device. Default 8. */
  batchSize?: number | undefined;
  /** Stops the decoding and the device's work. The call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Replaces parts of the model's `preprocessing` for this call. `crop` may be any size from 32 pixels to `resize`. */
  preprocess?: PreprocessingOptions | undefined;
}

/** The result for one image: its embedding, or the error. */
export type Embedding<Source> =
  | {
      /** The image as it was given. */
      readonly source: Source;
      /** One value for each element of the layer's output, or for each channel if it was pooled. */
      readonly embedding: Float32Array;
    }
  | {
      /** The image as it was given. */
      readonly source: Source;
      /** Why it has no embedding. */
      readonly error: unknown;
    };

/** What a call's options say, checked. */
interface Settings {
  readonly layer: LayerName;
  readonly pool: "mean" | "max" | undefined;
  readonly normalize: boolean;
  readonly batchSize: number;
  readonly call: CallSettings;
}

const outputName = "embedding";
type EmbeddingGraph = Graph<{ readonly [outputName]: "float32" }>;
type EmbeddingResults = NewTensors<{ readonly [outputName]: "float32" }>;
type EmbeddingKind = Kind<EmbeddingResults>;

/** Records the modules up to the layer, and the pool. The window of the maximum covers an oblong map with its padding. */
function recordEmbedding(
  builder: GraphBuilder,
  topology: Topology,
  image: Value,
  { layer, pool }: Settings,
) {
  const value = recordModules(builder, topology, image, [layer]).made.get(layer)!;
  const [, height, width] = value.shape;
  if (pool === undefined || height === undefined || width === undefined)
    return builder.finish({ [outputName]: value });
  if (pool === "mean")
    return builder.finish({ [outputName]: builder.adaptiveAvgPool2d(value, [1, 1]) });
  const padding = Math.abs(height - width);
  const size = Math.max(height, width) + padding;
  return builder.finish({ [outputName]: builder.maxPool2d(value, { size, padding }) });
}

/** Makes the embeddings of one call. */
export class Embedder {
  readonly #graphs: ModelGraphs;
  readonly #topology: Topology;
  readonly #settings: Settings;
  /** Undefined for a network that takes no images. */
  readonly #preprocessing: Preprocessing | undefined;

  /**
   * @param usual the model's preprocessing; undefined if the network takes no images
   * @param more the names of options that only `embed` has
   * @throws {TypeError|RangeError} wrong options; the reason of `signal`
   */
  constructor(
    graphs: ModelGraphs,
    topology: Topology,
    usual: Preprocessing | undefined,
    options: EmbedOptions & QueueOptions,
    more: readonly string[],
  ) {
    const known = ["layer", "pool", "normalize", "batchSize", "signal", "preprocess", ...more];
    const given = readOptions(options, "options", known);
    const { layer = "classifier.4", pool, normalize = false, batchSize = 8 } = given;
    const call = checkQueueOptions(given);
    moduleOf(topology, layer, "options.layer");
    if (pool !== undefined) checkOneOf(pool, "options.pool", pools);
    if (typeof normalize !== "boolean")
      throw typeError("a boolean", "options.normalize", normalize);
    checkInteger(batchSize, "options.batchSize", 1, 4096);
    this.#graphs = graphs;
    this.#topology = topology;
    this.#settings = { layer, pool, normalize, batchSize, call };
    this.#preprocessing = usual && callPreprocessing(topology, usual, given.preprocess);
  }

  /** Embeds one image, each of an array, or a batch of normalised images (N, inChannels, H, W). */
  async embed(
    images: ImageSource | readonly ImageSource[] | Tensor | DeviceTensor,
    batcher: Batcher | null,
  ): Promise<Tensor> {
    const tensor = images instanceof DeviceTensor ? images : tensorOf(images, "images");
    if (tensor !== undefined) return this.#embedTensor(tensor as Tensor | DeviceTensor, batcher);
    const isArray = Array.isArray(images);
    const sources = isArray ? openSources(images, "images") : [openSource(images, "image")];
    const preprocessing = this.#imagePreprocessing();
    const length = lengthOf(this.#pixelGraph(preprocessing));
    const all = allocate(sources.length, length);
    let index = 0;
    const { batchSize, call } = this.#settings;
    const visitor = { kind: this.#pixelKind(preprocessing), call, preprocessing, batchSize };
    await withImages(visitor, batcher, sources, async (turn, together) => {
      for await (const result of this.#each(turn, together, sources.values(), itself)) {
        if (isFailure(result)) throw result.error;
        all.set(result.embedding, index++ * length);
      }
    });
    return new Tensor([sources.length, length], all);
  }

  /** Embeds images in order, as `runEach` does. */
  each<Source>(
    sources: Sources<Source>,
    open: (source: Source) => OpenedSource,
  ): AsyncGenerator<Embedding<Source>> {
    const { call, batchSize } = this.#settings;
    const turn = direct(this.#pixelKind(this.#imagePreprocessing()), call);
    return this.#each(turn, batchSize, sources, open);
  }

  async *#each<Source>(
    turn: Turn<EmbeddingResults>,
    batchSize: number,
    sources: Sources<Source>,
    open: (source: Source) => OpenedSource,
  ): AsyncGenerator<Embedding<Source>> {
    const compute = async (crops: readonly Uint8Array[], decodeMs: number) => {
      const rows = this.#rows(await turn.run(crops, decodeMs));
      const length = rows.length / crops.length;
      // Each embedding has its own buffer, which a caller may keep or pass on.
      return crops.map((_, image) => rows.slice(image * length, (image + 1) * length));
    };
    const options = { batchSize, signal: turn.signal };
    const preprocessing = this.#imagePreprocessing();
    for await (const result of runEach(preprocessing, sources, open, compute, options)) {
      if (isFailure(result)) yield result;
      else yield { source: result.source, embedding: result.value };
    }
  }

  /** Copies images in JavaScript's memory before it returns. */
  async #embedTensor(images: Tensor | DeviceTensor, batcher: Batcher | null): Promise<Tensor> {
    const { batchSize, call } = this.#settings;
    const extent = extentOfInput(this.#topology, images);
    const graph = this.#imageGraph(extent);
    const [count = 0] = images.shape;
    const shape = [count, lengthOf(graph)];
    if (images instanceof DeviceTensor || images.dtype !== "float32") {
      // A run refuses another dtype.
      const { signal } = call;
      const results = await graph.run({ [inputName]: images }, { signal });
      return new Tensor(shape, this.#rows(results));
    }
    const kind: EmbeddingKind = {
      key: this.#imageKey(extent),
      run: (count, data, signal) => {
        const { inChannels } = this.#topology;
        const given = [count, inChannels, extent.height, extent.width];
        const batch = new Tensor(given, data as Float32Array);
        return this.#imageGraph(extent).run({ [inputName]: batch }, { signal });
      },
    };
    const results = await runTensor(batcher, kind, call, images, inputName, batchSize);
    return new Tensor(shape, this.#rows(results));
  }

  /** Returns the graph from images (N, inChannels, height, width). A call takes it anew for each batch: it may have been evicted. */
  #imageGraph(extent: ImageExtent): EmbeddingGraph {
    const { height, width } = extent;
    return this.#graphs.graph(this.#imageKey(extent), extent, () => {
      const builder = new GraphBuilder();
      const image = builder.input(inputName, [this.#topology.inChannels, height, width]);
      return recordEmbedding(builder, this.#topology, image, this.#settings);
    });
  }

  /** @throws {RangeError} a network of other than 1 or 3 channels */
  #imagePreprocessing(): Preprocessing {
    if (this.#preprocessing !== undefined) return this.#preprocessing;
    throw new RangeError(
      `Expected a model of 1 or 3 channels for images but this one has ${this.#topology.inChannels}`,
    );
  }

  /** Returns the graph from pixels (N, crop, crop, channels) uint8. As `#imageGraph`. */
  #pixelGraph(preprocessing: Preprocessing): EmbeddingGraph {
    const { crop } = preprocessing;
    return this.#graphs.graph(this.#pixelKey(preprocessing), { height: crop, width: crop }, () => {
      const builder = new GraphBuilder();
      const image = recordPixels(builder, preprocessing);
      return recordEmbedding(builder, this.#topology, image, this.#settings);
    });
  }

  #pixelKind(preprocessing: Preprocessing): EmbeddingKind {
    const { crop, channels } = preprocessing;
    return {
      key: this.#pixelKey(preprocessing),
      run: (count, data, signal) => {
        const pixels = new Tensor([count, crop, crop, channels], data as Uint8Array);
        return this.#pixelGraph(preprocessing).run({ pixels }, { signal });
      },
    };
  }

  #imageKey({ height, width }: ImageExtent): string {
    return this.#key(`${height} × ${width}`);
  }

  #pixelKey({ crop, mean, std }: Preprocessing): string {
    return this.#key(JSON.stringify([crop, mean, std]));
  }

  #key(input: string): string {
    return `embed ${this.#settings.layer} ${this.#settings.pool} ${input}`;
  }

  /** Returns the embeddings of a run one after the other, normalised on request. */
  #rows({ [outputName]: output }: EmbeddingResults): Float32Array<ArrayBuffer> {
    const rows = output.data as Float32Array<ArrayBuffer>;
    if (this.#settings.normalize) normalizeRows(rows, rows.length / output.shape[0]!);
    return rows;
  }
}

/** Returns the number of values for each image. */
function lengthOf({ record }: EmbeddingGraph): number {
  return elementCount(record.values[record.outputs[outputName]!]!.shape);
}

/** Divides each row by its L2 norm, in place. A row of zeros stays. */
export function normalizeRows(rows: Float32Array, length: number): void {
  for (let start = 0; start < rows.length; start += length) {
    const row = rows.subarray(start, start + length);
    let squares = 0;
    for (const value of row) squares += value * value;
    const norm = Math.sqrt(squares);
    if (norm === 0) continue;
    for (let i = 0; i < length; i++) row[i] = row[i]! / norm;
  }
}

/** @throws {VggError} OUT_OF_MEMORY */
function allocate(images: number, length: number): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(images * length);
  } catch (cause) {
    const message = `Expected ${4 * images * length} bytes of host memory for the embeddings but they are not available; embedEach gives them one by one`;
    throw new VggError("OUT_OF_MEMORY", message, { cause });
  }
}
