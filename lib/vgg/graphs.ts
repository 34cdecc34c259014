// The graphs of a model, for each size of images. They are recorded and compiled on first use, and share the parameters.
import type { Device } from "../device/device.js";
import { VggError } from "../errors.js";
import { Graph } from "../graph/graph.js";
import type { GraphRecord, OutputTypes } from "../graph/ops.js";
import type { ParameterStore } from "../graph/parameter-store.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { recordPerceptual, type Samples } from "../perceptual/record.js";
import { type ClassifyOutputs, recordClassify } from "./images/classify.js";
import { extentOf, type ImageExtent, recordForward } from "./record.js";
import { logitsName, type Topology } from "./topology.js";

/** Graphs that a model keeps beside that of its logits. */
export const maxGraphs = 32;
/**
 * The pixels of an image, summed over the kept graphs for larger images than the model's own. All graphs of a device
 * share the memory for activations, which fits the largest: some 500 bytes a pixel for each image of a batch. A graph
 * above the bound is kept until another one is made.
 */
export const maxPixels = 2 ** 22;

type FloatGraph = Graph<Record<string, "float32">>;

interface Kept<Kind = Graph> {
  readonly graph: Kind;
  /** What it counts for `maxPixels`. */
  readonly pixels: number;
  /** The calls that must find the graph alive after they have waited. */
  users: number;
}

/** Keeps the graphs that were used last, within two bounds. */
export class ModelGraphs {
  readonly #device: Device;
  readonly #topology: Topology;
  readonly #store: ParameterStore;
  #logits: FloatGraph | undefined;
  /** By key, the one used last at the end. */
  readonly #kept = new Map<string, Kept>();
  #pixels = 0;
  /** The disposals of evicted graphs that have not ended. */
  readonly #disposals = new Set<Promise<void>>();
  #isDisposed = false;

  constructor(device: Device, topology: Topology, store: ParameterStore) {
    this.#device = device;
    this.#topology = topology;
    this.#store = store;
  }

  /** The graph from images (N, inChannels, imageSize, imageSize) float32 to logits (N, numClasses) float32. It is always kept. */
  get logits(): FloatGraph {
    this.#logits ??= this.#compile(recordForward(this.#topology, [logitsName]));
    return this.#logits;
  }

  /**
   * Returns the graph from images (N, inChannels, height, width) to the outputs of layers, as `graph` does.
   * @throws {TypeError|RangeError} an unknown layer
   */
  forward(outputs: readonly string[], extent: ImageExtent): FloatGraph {
    return this.#forward(outputs, extent).graph;
  }

  /** Returns the graph from pixels (N, crop, crop, channels) uint8 to the best classes and probabilities (N, top). */
  classify(top: number, preprocessing: Preprocessing): Graph<ClassifyOutputs> {
    const { crop, mean, std } = preprocessing;
    const record = () => recordClassify(this.#topology, top, preprocessing);
    const key = `classify ${JSON.stringify([top, crop, mean, std])}`;
    return this.graph(key, { height: crop, width: crop }, record);
  }

  /**
   * Returns the graph of a key. The caller starts its run at once: the next call may dispose the graph, which then ends
   * after the run.
   * @param extent the size of its images
   * @param record is called if the graph is not kept
   */
  graph<Outputs extends OutputTypes>(
    key: string,
    extent: ImageExtent,
    record: () => GraphRecord<Outputs>,
  ): Graph<Outputs> {
    return this.#keep(key, extent, record).graph;
  }

  /** Calls `use` with the graph of the logits of images of a size, which lives until `use` has ended. */
  async withLogits<T>(extent: ImageExtent, use: (graph: FloatGraph) => Promise<T>): Promise<T> {
    const kept = this.#forward([logitsName], extent);
    kept.users++;
    try {
      return await use(kept.graph);
    } finally {
      kept.users--;
      this.#evict(0);
    }
  }

  /** Returns the graph of LPIPS for images of a size. Start its run at once: the next call may dispose it. */
  perceptual(samples: Samples, height: number, width: number): Graph<Record<string, "float32">> {
    const record = () => recordPerceptual(this.#topology, samples, height, width);
    return this.graph(`perceptual ${samples} ${height} × ${width}`, { height, width }, record);
  }

  /** Frees all graphs after all earlier runs have ended. */
  async dispose(): Promise<void> {
    const graphs = [...this.#kept.values()].map(({ graph }) => graph);
    if (this.#logits !== undefined) graphs.push(this.#logits);
    this.#isDisposed = true;
    this.#kept.clear();
    await Promise.all([...graphs.map((graph) => graph.dispose()), ...this.#disposals]);
  }

  #forward(outputs: readonly string[], extent: ImageExtent): Kept<FloatGraph> {
    const names = [...new Set(outputs)].sort();
    const { height, width } = extent;
    const usual = extentOf(this.#topology);
    const isUsual = height === usual.height && width === usual.width;
    if (isUsual && names.length === 1 && names[0] === logitsName)
      return { graph: this.logits, pixels: 0, users: 0 };
    const record = () => recordForward(this.#topology, names, extent);
    return this.#keep(`${names.join(",")} ${height} × ${width}`, extent, record);
  }

  #keep<Outputs extends OutputTypes>(
    key: string,
    { height, width }: ImageExtent,
    record: () => GraphRecord<Outputs>,
  ): Kept<Graph<Outputs>> {
    if (this.#isDisposed)
      throw new VggError("DISPOSED", "Expected a live model but it was disposed");
    // A key is used with one kind of record.
    let kept = this.#kept.get(key) as Kept<Graph<Outputs>> | undefined;
    if (kept === undefined) {
      const recorded = record();
      const pixels = height * width > this.#topology.imageSize ** 2 ? height * width : 0;
      this.#evict(1, pixels);
      kept = { graph: this.#compile(recorded), pixels, users: 0 };
      this.#pixels += pixels;
    } else this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept;
  }

  #compile<Outputs extends OutputTypes>(record: GraphRecord<Outputs>): Graph<Outputs> {
    return Graph.compile(this.#device, record, this.#store);
  }

  /** Disposes the graphs that were not used for longest until there is room. Leaves those that a call still needs. */
  #evict(graphs: number, pixels = 0): void {
    const isFull = () => this.#kept.size + graphs > maxGraphs || this.#pixels + pixels > maxPixels;
    for (const [key, { graph, pixels: freed, users }] of this.#kept) {
      if (!isFull()) return;
      if (users > 0) continue;
      this.#kept.delete(key);
      this.#pixels -= freed;
      const ended = () => void this.#disposals.delete(disposal);
      const disposal: Promise<void> = graph.dispose().then(ended, ended);
      this.#disposals.add(disposal);
    }
  }
}
