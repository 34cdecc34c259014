// Embeddings: the output of a layer as one vector for each image, pooled and normalised on request.
import { checkInteger, checkOneOf, checkSignal, readOptions, typeError } from "../../check.js";
import { DeviceTensor } from "../../device/device.js";
import { VggError } from "../../errors.js";
import { GraphBuilder } from "../../graph/builder.js";
import type { Inputs } from "../../graph/call.js";
import type { Graph } from "../../graph/graph.js";
import type { Value } from "../../graph/value.js";
import {
  type Preprocessing,
  type PreprocessingOptions,
  recordPixels,
} from "../../image/preprocessing.js";
import { discardAll } from "../../image/read.js";
import {
  type ImageSource,
  type OpenedSource,
  openSource,
  openSources,
} from "../../image/source.js";
import { copyArray } from "../../order.js";
import { elementCount, nativeData, Tensor, tensorOf } from "../../tensor.js";
import type { ModelGraphs } from "../graphs.js";
import { type LayerName, moduleOf } from "../layers.js";
import { callPreprocessing } from "../preprocessing/fits.js";
import { extentOfInput, type ImageExtent, inputName, recordModules } from "../record.js";
import type { Topology } from "../topology.js";
import { isFailure, runEach } from "./each.js";
import type { Sources } from "./lookahead.js";

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
  readonly signal: AbortSignal | undefined;
}

const outputName = "embedding";
type EmbeddingGraph = Graph<{ readonly [outputName]: "float32" }>;

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
   * @throws {TypeError|RangeError} wrong options; the reason of `signal`
   */
  constructor(
    graphs: ModelGraphs,
    topology: Topology,
    usual: Preprocessing | undefined,
    options: EmbedOptions,
  ) {
    const known = ["layer", "pool", "normalize", "batchSize", "signal", "preprocess"];
    const given = readOptions(options, "options", known);
    const { layer = "classifier.4", pool, normalize = false, batchSize = 8, signal } = given;
    checkSignal(signal);
    signal?.throwIfAborted();
    moduleOf(topology, layer, "options.layer");
    if (pool !== undefined) checkOneOf(pool, "options.pool", pools);
    if (typeof normalize !== "boolean")
      throw typeError("a boolean", "options.normalize", normalize);
    checkInteger(batchSize, "options.batchSize", 1, 4096);
    this.#graphs = graphs;
    this.#topology = topology;
    this.#settings = { layer, pool, normalize, batchSize, signal };
    this.#preprocessing = usual && callPreprocessing(topology, usual, given.preprocess);
  }

  /** Embeds one image, each of an array, or a batch of normalised images (N, inChannels, H, W). */
  async embed(
    images: ImageSource | readonly ImageSource[] | Tensor | DeviceTensor,
  ): Promise<Tensor> {
    const tensor = images instanceof DeviceTensor ? images : tensorOf(images, "images");
    if (tensor !== undefined) return this.#embedTensor(tensor as Tensor | DeviceTensor);
    const isArray = Array.isArray(images);
    const sources = isArray ? openSources(images, "images") : [openSource(images, "image")];
    const length = lengthOf(this.#pixelGraph(this.#imagePreprocessing()));
    const all = allocate(sources.length, length);
    let index = 0;
    try {
      for await (const result of this.each(sources.values(), (source) => source)) {
        if (isFailure(result)) throw result.error;
        all.set(result.embedding, index++ * length);
      }
    } catch (error) {
      discardAll(sources);
      throw error;
    }
    return new Tensor([sources.length, length], all);
  }

  /** Embeds images in order, as `runEach` does. */
  async *each<Source>(
    sources: Sources<Source>,
    open: (source: Source) => OpenedSource,
  ): AsyncGenerator<Embedding<Source>> {
    const preprocessing = this.#imagePreprocessing();
    const compute = async (pixels: Tensor<"uint8">) => {
      const graph = this.#pixelGraph(preprocessing);
      const rows = await this.#run(graph, { pixels });
      const length = lengthOf(graph);
      // Each embedding has its own buffer, which a caller may keep or pass on.
      return Array.from({ length: pixels.shape[0]! }, (_, image) =>
        rows.slice(image * length, (image + 1) * length),
      );
    };
    for await (const result of runEach(preprocessing, sources, open, compute, this.#settings)) {
      if (isFailure(result)) yield result;
      else yield { source: result.source, embedding: result.value };
    }
  }

  /** Runs batch by batch. Copies images in JavaScript's memory before it returns. */
  async #embedTensor(images: Tensor | DeviceTensor): Promise<Tensor> {
    const { batchSize } = this.#settings;
    const extent = extentOfInput(this.#topology, images);
    const [count = 0] = images.shape;
    const isOneRun =
      images instanceof DeviceTensor || images.dtype !== "float32" || count <= batchSize;
    const graph = this.#imageGraph(extent);
    const length = lengthOf(graph);
    // A run copies its input itself, and refuses another dtype.
    if (isOneRun)
      return new Tensor([count, length], await this.#run(graph, { [inputName]: images }));
    const batches = batchesOf(images, batchSize);
    const all = allocate(count, length);
    let first = 0;
    for (const batch of batches) {
      const rows = await this.#run(this.#imageGraph(extent), { [inputName]: batch });
      all.set(rows, first * length);
      first += batchSize;
    }
    return new Tensor([count, length], all);
  }

  /** Returns the graph from images (N, inChannels, height, width). A call takes it anew for each batch: it may have been evicted. */
  #imageGraph(extent: ImageExtent): EmbeddingGraph {
    const { height, width } = extent;
    return this.#graphs.graph(this.#key(`${height} × ${width}`), extent, () => {
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
    const { crop, mean, std } = preprocessing;
    const key = this.#key(JSON.stringify([crop, mean, std]));
    return this.#graphs.graph(key, { height: crop, width: crop }, () => {
      const builder = new GraphBuilder();
      const image = recordPixels(builder, preprocessing);
      return recordEmbedding(builder, this.#topology, image, this.#settings);
    });
  }

  #key(input: string): string {
    return `embed ${this.#settings.layer} ${this.#settings.pool} ${input}`;
  }

  async #run(graph: EmbeddingGraph, inputs: Inputs): Promise<Float32Array<ArrayBuffer>> {
    const { normalize, signal } = this.#settings;
    const outputs = await graph.run(inputs, signal === undefined ? {} : { signal });
    const rows = outputs[outputName].data as Float32Array<ArrayBuffer>;
    if (normalize) normalizeRows(rows, lengthOf(graph));
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

/** Copies a batch, and cuts the copy into batches of at most `size` images. @throws {VggError} OUT_OF_MEMORY */
function batchesOf(images: Tensor, size: number): Tensor[] {
  const [count, ...shape] = images.shape as [number, ...number[]];
  const data = copyArray(nativeData(images, inputName)) as Float32Array<ArrayBuffer>;
  const elements = elementCount(shape);
  return Array.from({ length: Math.ceil(count / size) }, (_, index) => {
    const first = index * size;
    const last = Math.min(count, first + size);
    return new Tensor([last - first, ...shape], data.subarray(first * elements, last * elements));
  });
}
