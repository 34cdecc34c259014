// The graphs of a model: recorded and compiled on first use, all with the same parameters.
import type { Device } from "../device/device.js";
import { Graph } from "../graph/graph.js";
import type { GraphRecord } from "../graph/ops.js";
import type { ParameterStore } from "../graph/parameter-store.js";
import { recordClassify } from "./classify.js";
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

  /** Images (N, inChannels, imageSize, imageSize) float32 → logits (N, numClasses) float32. */
  get logits(): Graph {
    return this.#graphs.get(logitsName) ?? this.forward([logitsName]);
  }

  /** The same images → these layers' outputs, by torchvision's names. @throws {TypeError|RangeError} an unknown layer */
  forward(outputs: readonly string[]): Graph {
    const names = [...new Set(outputs)].sort();
    return this.#graph(names.join(","), () => recordForward(this.#topology, names));
  }

  /** Pixels (N, imageSize, imageSize, 3) uint8 → the `top` best classes (N, top) and their probabilities. */
  classify(top: number): Graph {
    return this.#graph(`classify ${top}`, () => recordClassify(this.#topology, top));
  }

  /** Frees all of them when the runs asked for before have ended. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#graphs.values()].map((graph) => graph.dispose()));
  }

  #graph(key: string, record: () => GraphRecord): Graph {
    let graph = this.#graphs.get(key);
    if (graph === undefined) {
      this.#forgetOne();
      graph = Graph.compile(this.#device, record(), this.#store);
      this.#graphs.set(key, graph);
    }
    return graph;
  }

  /** Makes room for one more: a caller may ask for any number of combinations of layers. */
  #forgetOne(): void {
    if (this.#graphs.size < maxGraphs) return;
    const oldest = [...this.#graphs.keys()].find((key) => key !== logitsName)!;
    void this.#graphs.get(oldest)!.dispose();
    this.#graphs.delete(oldest);
  }
}
