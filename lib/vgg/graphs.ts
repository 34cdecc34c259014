// The graphs of a model: recorded and compiled on first use, all with the same parameters.
import type { Device } from "../device.js";
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

  get logits(): Graph {
    return this.#graphs.get(logitsName) ?? this.forward([logitsName]);
  }

  /** The forward with these layers' outputs. @throws {TypeError|RangeError} an unknown layer */
  forward(outputs: readonly string[]): Graph {
    const names = [...new Set(outputs)].sort();
    return this.#graph(names.join(","), () => recordForward(this.#topology, names));
  }

  /** From pixels to the `top` best classes. */
  classify(top: number): Graph {
    return this.#graph(`classify ${top}`, () => recordClassify(this.#topology, top));
  }

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
