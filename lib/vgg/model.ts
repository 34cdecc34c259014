// Class Vgg: a forward graph with named parameters.
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  describe,
  formatShape,
  rangeError,
  typeError,
} from "../check.js";
import {
  Device,
  type DeviceId,
  DeviceTensor,
  openDevice,
  type Precision,
  precisions,
} from "../device.js";
import { VggError } from "../errors.js";
import { Graph, ParameterStore } from "../graph/graph.js";
import { checkTensor, elementCount, Tensor } from "../tensor.js";
import { type ParameterEntry, type ParameterInfo, parameterTable } from "./parameters.js";
import { inputName, recordForward } from "./record.js";
import { matchStateDict, type StateDict, type StateDictDifference } from "./state-dict.js";
import { Summary } from "./summary.js";
import {
  type Architecture,
  logitsName,
  type Topology,
  type TopologyOptions,
  topology,
} from "./topology.js";

export interface VggOptions extends TopologyOptions {
  /** Default "auto". A device that is opened here is let go of with the model. */
  device?: Device | DeviceId;
  /** Default "float32". */
  precision?: Precision;
}

export interface CreateOptions extends VggOptions {
  /** An integer from 0 to 2^53 - 1, default 0: the same parameters on every machine. */
  seed?: number;
}

export interface ForwardOptions {
  /** Drops the work if it has not started, stops it between two layers if it has; forward rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Where the logits go instead of a new Tensor: (N, numClasses) float32 on the model's device. */
  into?: DeviceTensor;
}

export interface LayerOptions<Name extends string> {
  signal?: AbortSignal;
  /** torchvision's module names: the outputs of these layers are returned, before the ReLU that follows them. */
  outputs: readonly Name[];
  /** Where outputs go instead of a new Tensor, by name. */
  into?: Partial<Record<Name, DeviceTensor>>;
}

const optionNames = ["device", "precision", "inChannels", "numClasses", "imageSize"];

export class Vgg {
  readonly arch: Architecture;
  readonly inChannels: number;
  readonly numClasses: number;
  readonly imageSize: number;
  readonly device: Device;
  readonly precision: Precision;
  #topology: Topology;
  #table: ReadonlyMap<string, ParameterEntry>;
  #store: ParameterStore;
  #graphs = new Map<string, Graph>();
  /** The entries that no layer reads (num_batches_tracked). */
  #counters = new Map<string, bigint>();
  #disposal: Promise<void> | null = null;

  /**
   * A model with fresh parameters, initialised as torchvision does.
   * @throws {TypeError|RangeError} unknown architecture, device, precision or option, or a number out of its range
   * @throws {VggError} UNSUPPORTED precision, DEVICE_UNAVAILABLE, OUT_OF_MEMORY, ADDON_MISSING
   */
  static async create(arch: Architecture, options: CreateOptions = {}): Promise<Vgg> {
    checkOptions(options, "options", [...optionNames, "seed"]);
    const seed = checkInteger(options.seed ?? 0, "seed", 0, Number.MAX_SAFE_INTEGER);
    const model = await Vgg.#open(arch, options);
    try {
      await model.#initialize(seed);
      return model;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  /** A model whose parameters have no values yet. */
  static async #open(arch: Architecture, options: VggOptions): Promise<Vgg> {
    const checked = topology(arch, options);
    const precision = checkOneOf(options.precision ?? "float32", "precision", precisions);
    const { device = "auto" } = options;
    const opened = device instanceof Device ? device : await openDevice(device);
    if (!opened.info.precisions.includes(precision)) {
      throw new VggError(
        "UNSUPPORTED",
        `Expected one of ${opened.info.precisions.join(", ")}, which ${opened.id} offers, for precision but received ${describe(precision)}`,
      );
    }
    const model = new Vgg(checked, opened, precision);
    try {
      // Before the parameters have values: they are then written into their packed places at once, never held twice.
      await model.#graph([logitsName]).prepare(1);
      return model;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  private constructor(checked: Topology, device: Device, precision: Precision) {
    this.#topology = checked;
    this.arch = checked.arch;
    this.inChannels = checked.inChannels;
    this.numClasses = checked.numClasses;
    this.imageSize = checked.imageSize;
    this.device = device;
    this.precision = precision;
    const table = parameterTable(checked);
    this.#table = new Map(table.map((entry) => [entry.name, entry]));
    for (const { name, dtype } of table) if (dtype === "int64") this.#counters.set(name, 0n);
    this.#store = new ParameterStore(
      device,
      table.filter(({ dtype }) => dtype === "float32"),
    );
  }

  async #initialize(seed: number): Promise<void> {
    const entries = [...this.#table.values()];
    await Promise.all(
      entries.map(({ name, dtype, initialization }, stream) => {
        if (dtype !== "float32") return undefined;
        if (initialization.kind === "constant") return this.#store.fill(name, initialization.value);
        return this.#store.fillNormal(name, initialization.standardDeviation, seed, stream);
      }),
    );
  }

  /** How many numbers are trained: 132,863,336 for VGG11 with 1000 classes. */
  get parameterCount(): number {
    let count = 0;
    for (const { isTrainable, shape } of this.#table.values())
      if (isTrainable) count += elementCount(shape);
    return count;
  }

  get isDisposed(): boolean {
    return this.#disposal !== null;
  }

  /** The entries of torchvision's state_dict, in its order. */
  *parameters(): IterableIterator<ParameterInfo> {
    for (const { name, shape, dtype, isTrainable } of this.#table.values())
      yield { name, shape, dtype, isTrainable };
  }

  /** A copy. @throws {TypeError|RangeError} unknown name @throws {VggError} DISPOSED, OUT_OF_MEMORY */
  async getParameter(name: string): Promise<Tensor> {
    this.#checkLive();
    const { dtype } = this.#entry(name);
    if (dtype === "int64") return new Tensor([], BigInt64Array.of(this.#counters.get(name)!));
    return this.#store.get(name);
  }

  /**
   * Replaces a parameter for the forwards asked for after this one. The numbers are read before this returns.
   * @throws {TypeError|RangeError} unknown name, another dtype or shape @throws {VggError} DISPOSED, OUT_OF_MEMORY
   */
  async setParameter(name: string, tensor: Tensor): Promise<void> {
    this.#checkLive();
    this.#checkParameter(this.#entry(name), tensor);
    await this.#write(name, tensor);
  }

  /** Copies of all parameters and statistics, in torchvision's order. @throws {VggError} DISPOSED, OUT_OF_MEMORY */
  async stateDict(): Promise<Map<string, Tensor>> {
    const tensors = new Map<string, Tensor>();
    for (const name of this.#table.keys()) tensors.set(name, await this.getParameter(name));
    return tensors;
  }

  /**
   * Replaces the parameters. Everything is checked before anything is written.
   * @param options.strict true (default): missing and unexpected keys are errors; false: they are returned
   * @throws {TypeError} not a Map or object of Tensors, another dtype
   * @throws {VggError} STATE_DICT_MISMATCH with every missing, unexpected and misshapen key; DISPOSED, OUT_OF_MEMORY
   */
  async loadStateDict(
    tensors: StateDict,
    options: { strict?: boolean } = {},
  ): Promise<StateDictDifference> {
    this.#checkLive();
    checkOptions(options, "options", ["strict"]);
    const { strict = true } = options;
    if (typeof strict !== "boolean") throw typeError("a boolean", "options.strict", strict);
    const { fitting, difference } = matchStateDict(this.arch, this.#table, tensors, strict);
    for (const [name, tensor] of fitting) await this.#write(name, tensor);
    return difference;
  }

  /**
   * The logits (N, numClasses) float32 of images (N, inChannels, imageSize, imageSize) float32, already normalised.
   * Runs on the device's own thread. An input in JavaScript's memory is copied before this returns.
   * With `outputs`, the outputs of those layers by name instead.
   * @throws {TypeError|RangeError} another rank, shape or dtype, an empty batch, an unknown layer, another device
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY; or the reason of `signal`
   */
  async forward(
    input: Tensor | DeviceTensor,
    options: ForwardOptions & { into: DeviceTensor },
  ): Promise<DeviceTensor>;
  async forward(
    input: Tensor | DeviceTensor,
    options?: ForwardOptions & { outputs?: never },
  ): Promise<Tensor>;
  async forward<Name extends string>(
    input: Tensor | DeviceTensor,
    options: LayerOptions<Name>,
  ): Promise<Record<Name, Tensor>>;
  async forward(
    input: Tensor | DeviceTensor,
    options: ForwardOptions | LayerOptions<string> = {},
  ): Promise<Tensor | DeviceTensor | Record<string, Tensor | DeviceTensor>> {
    this.#checkLive();
    checkOptions(options, "options", ["signal", "into", "outputs"]);
    const outputs = "outputs" in options ? options.outputs : undefined;
    if (outputs !== undefined && (!Array.isArray(outputs) || outputs.length === 0)) {
      throw typeError("an array of layer names", "options.outputs", outputs);
    }
    const { signal, into } = options;
    if (outputs === undefined && into !== undefined && !(into instanceof DeviceTensor)) {
      throw typeError("a DeviceTensor", "options.into", into);
    }
    const graph = this.#graph(outputs ?? [logitsName]);
    const targets = outputs === undefined && into !== undefined ? { [logitsName]: into } : into;
    const results = await graph.run(
      { [inputName]: input },
      {
        ...(signal === undefined ? {} : { signal }),
        ...(targets === undefined ? {} : { into: targets as Record<string, DeviceTensor> }),
      },
    );
    return outputs === undefined ? results[logitsName]! : results;
  }

  /** Makes the model ready for these batch sizes, so that their first forward is as fast as the next. */
  async warmup(batchSizes: readonly number[] = [1]): Promise<void> {
    this.#checkLive();
    if (!Array.isArray(batchSizes))
      throw typeError("an array of batch sizes", "batchSizes", batchSizes);
    for (const batch of batchSizes) checkInteger(batch, "batchSizes", 1, 2 ** 31 - 1);
    const shape = [this.inChannels, this.imageSize, this.imageSize];
    for (const batch of batchSizes) {
      await this.#graph([logitsName]).prepare(batch);
      await this.forward(Tensor.zeros([batch, ...shape]));
    }
  }

  /** Layers, output shapes, parameters and multiply-adds. Printing it, or `String(summary)`, gives a table. */
  summary(): Summary {
    return new Summary(this.#topology);
  }

  /** Frees the model when the forwards asked for before have ended. Twice is nothing. */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await Promise.all([...this.#graphs.values()].map((graph) => graph.dispose()));
      await this.#store.dispose();
    })();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** The graph with these outputs, recorded and compiled on first use; all share the parameters. */
  #graph(outputs: readonly string[]): Graph {
    const names = [...new Set(outputs)].sort();
    const key = names.join(",");
    let graph = this.#graphs.get(key);
    if (graph === undefined) {
      graph = Graph.compile(this.device, recordForward(this.#topology, names), this.#store);
      this.#graphs.set(key, graph);
    }
    return graph;
  }

  async #write(name: string, tensor: Tensor): Promise<void> {
    if (this.#counters.has(name)) this.#counters.set(name, (tensor.data as BigInt64Array)[0]!);
    else await this.#store.set(name, tensor);
  }

  #entry(name: string): ParameterEntry {
    if (typeof name !== "string") throw typeError("the name of a parameter", "name", name);
    const entry = this.#table.get(name);
    if (entry === undefined)
      throw rangeError(`the name of a parameter of ${this.arch}`, "name", name);
    return entry;
  }

  #checkParameter({ name, shape, dtype }: ParameterEntry, tensor: Tensor): void {
    checkTensor(tensor, name, dtype);
    if (formatShape(tensor.shape) !== formatShape(shape)) {
      throw new RangeError(
        `Expected shape ${formatShape(shape)} for ${name} but received ${formatShape(tensor.shape)}`,
      );
    }
  }

  #checkLive(): void {
    if (this.#disposal !== null)
      throw new VggError("DISPOSED", `Expected a live model but this ${this.arch} was disposed`);
  }
}
