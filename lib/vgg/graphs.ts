// The graphs of a model. They are recorded and compiled on first use, and share the parameters.
import type { Device } from "../device/device.js";
import { Graph } from "../graph/graph.js";
import type { GraphRecord, OutputTypes } from "../graph/ops.js";
import type { ParameterStore } from "../graph/parameter-store.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { type ClassifyOutputs, recordClassify } from "./classify.js";
import { recordForward } from "./record.js";
import { logitsName, type Topology } from "./topology.js";

const maxGraphs = 32;

export class ModelGraphs {
  #device: Device;
  #topology: Topology;
  #store: ParameterStore;
  #graphs = new Map<string, Graph>();

  constructor(device: Device, topology: Topology, store: ParameterStore) {
    this.#device = device;
    this.#topology = topology;
    this.#store = store;
  }

  /** The graph from images (N, inChannels, imageSize, imageSize) float32 to logits (N, numClasses) float32. */
  get logits(): Graph<Record<string, "float32">> {
    const known = this.#graphs.get(logitsName);
    return (known as Graph<Record<string, "float32">> | undefined) ?? this.forward([logitsName]);
  }

  /**
   * Returns the graph from the same images to the outputs of layers, by torchvision's names.
   * @throws {TypeError|RangeError} an unknown layer
   */
  forward(outputs: readonly string[]): Graph<Record<string, "float32">> {
    const names = [...new Set(outputs)].sort();
    return this.#graph(names.join(","), () => recordForward(this.#topology, names));
  }

  /** Returns the graph from pixels (N, crop, crop, channels) uint8 to the best classes and probabilities (N, top). */
  classify(top: number, preprocessing: Preprocessing): Graph<ClassifyOutputs> {
    const { crop, mean, std } = preprocessing;
    return this.#graph(`classify ${JSON.stringify([top, crop, mean, std])}`, () =>
      recordClassify(this.#topology, top, preprocessing),
    );
  }

  /** Frees all graphs after all earlier runs have ended. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#graphs.values()].map((graph) => graph.dispose()));
  }

  #graph<Outputs extends OutputTypes>(
    key: string,
    record: () => GraphRecord<Outputs>,
  ): Graph<Outputs> {
    let graph = this.#graphs.get(key) as Graph<Outputs> | undefined;
    if (graph === undefined) {
      this.#forgetOne();
      graph = Graph.compile(this.#device, record(), this.#store);
      this.#graphs.set(key, graph);
    }
    return graph;
  }

  /** Evicts the oldest graph but the logits' at the limit: a caller may request any number of layer combinations. */
  #forgetOne(): void {
    if (this.#graphs.size < maxGraphs) return;
    const oldest = [...this.#graphs.keys()].find((key) => key !== logitsName)!;
    void this.#graphs.get(oldest)!.dispose();
    this.#graphs.delete(oldest);
  }
}
