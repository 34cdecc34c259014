// The parameters of a model by torchvision's names: reading, replacing and saving them.
import { readOptions, typeError } from "../check.js";
import type { WriteOptions } from "../checkpoint/safetensors.js";
import type { DType, Precision } from "../dtype.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { inspectKey } from "../inspect.js";
import type { Tensor } from "../tensor.js";
import type { ParameterInfo } from "./parameters.js";
import { saveModel } from "./save.js";
import type { ModelState } from "./state.js";
import type {
  LoadStateDictOptions,
  ParameterTensor,
  StateDict,
  StateDictDifference,
} from "./state-dict.js";
import type { Architecture, Topology } from "./topology.js";

/** The tensor of a parameter. A name that the compiler does not know may be a counter's. */
export type NamedTensor<Name extends string> = Name extends `${string}num_batches_tracked`
  ? Tensor<"int64">
  : string extends Name
    ? ParameterTensor
    : Tensor;

/** What `JSON.stringify` writes of a model. */
export interface ModelJson {
  /** The architecture. */
  readonly arch: Architecture;
  /** The number of classes. */
  readonly numClasses: number;
  /** The number of channels of an image. */
  readonly inChannels: number;
  /** The number of outputs of each of the two hidden linear layers. */
  readonly hiddenFeatures: number;
  /** Height and width of an image, in pixels. */
  readonly imageSize: number;
  /** The id of the device. */
  readonly device: string;
  /** The arithmetic. */
  readonly precision: Precision;
  /** The number of trainable elements. */
  readonly parameterCount: number;
  /** Whether `dispose` was called. */
  readonly isDisposed: boolean;
}

/**
 * Named parameters: what `Vgg` offers to read, replace and save them.
 * @example for (const { name, shape } of model.parameters()) console.log(name, shape);
 */
export abstract class NamedParameters {
  /** The names of the classes, if they are known. */
  readonly labels: readonly string[] | undefined;
  #state: ModelState;
  #topology: Topology;
  #preprocessing: Preprocessing | undefined;
  #checkLive: () => void;
  #beforeWrite: () => void;

  /**
   * @param checkLive throws if the model was disposed
   * @param beforeWrite submits the calls that wait, which must not see the new values
   */
  constructor(
    state: ModelState,
    topology: Topology,
    labels: readonly string[] | undefined,
    preprocessing: Preprocessing | undefined,
    checkLive: () => void,
    beforeWrite: () => void,
  ) {
    this.labels = labels;
    this.#state = state;
    this.#topology = topology;
    this.#preprocessing = preprocessing;
    this.#checkLive = checkLive;
    this.#beforeWrite = beforeWrite;
  }

  /**
   * How images become the network's input: the option `preprocess` over what the file says, over the transforms of
   * torchvision's weights. Frozen. Undefined for a network with other than 1 or 3 channels.
   */
  get preprocessing(): Preprocessing | undefined {
    return this.#preprocessing;
  }

  /** The number of trainable elements: 132,863,336 for VGG11 with 1000 classes. */
  get parameterCount(): number {
    return this.#state.parameterCount;
  }

  /**
   * Iterates over the entries of torchvision's state_dict, in its order.
   * @example for (const { name, shape } of model.parameters()) console.log(name, shape);
   */
  parameters(): IterableIterator<ParameterInfo> {
    return this.#state.infos();
  }

  /**
   * Copies a parameter.
   * @throws {TypeError|RangeError} unknown name @throws {VggError} DISPOSED, OUT_OF_MEMORY
   * @example const { shape, data } = await model.getParameter("classifier.6.bias");
   */
  async getParameter<Name extends string>(name: Name): Promise<NamedTensor<Name>> {
    this.#checkLive();
    return this.#state.get(name) as Promise<NamedTensor<Name>>;
  }

  /**
   * Replaces a parameter for all later forwards. The values are copied before this returns.
   * @param tensor float32, or float64, float16 or bfloat16, which are converted to float32
   * @throws {TypeError|RangeError} unknown name, another dtype or shape
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL
   * @example await model.setParameter("classifier.6.bias", Tensor.zeros([1000]));
   */
  async setParameter(name: string, tensor: Tensor<DType>): Promise<void> {
    this.#checkLive();
    this.#beforeWrite();
    await this.#state.set(name, tensor);
  }

  /**
   * Copies all parameters and statistics, in torchvision's order. Includes the writes of earlier calls and of no later
   * ones.
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY
   * @example const bias = (await model.stateDict()).get("classifier.6.bias");
   */
  async stateDict(): Promise<Map<string, ParameterTensor>> {
    this.#checkLive();
    return this.#state.tensors();
  }

  /**
   * Replaces the parameters atomically: a forward sees all new values or only old ones. The values are copied before
   * this returns.
   * @throws {TypeError} not a Map or object of Tensors, another dtype
   * @throws {VggError} STATE_DICT_MISMATCH with every missing, unexpected and misshapen key; DISPOSED, OUT_OF_MEMORY,
   * QUEUE_FULL; nothing was written
   * @example await model.loadStateDict(await readCheckpoint("vgg11.safetensors"));
   */
  async loadStateDict(
    tensors: StateDict,
    options: LoadStateDictOptions = {},
  ): Promise<StateDictDifference> {
    this.#checkLive();
    const { strict = true } = readOptions(options, "options", ["strict"]);
    if (typeof strict !== "boolean") throw typeError("a boolean", "options.strict", strict);
    this.#beforeWrite();
    return this.#state.load(tensors, strict);
  }

  /**
   * Writes the parameters as safetensors, with the architecture, the image size, the preprocessing and the labels.
   * Includes the writes of earlier calls and of no later ones. Forwards do not wait for it. A parameter that a later call replaces is copied first.
   * @throws {TypeError} not a path, metadata that is not an object of strings
   * @throws {RangeError} no file, or contents that a reader would refuse
   * @throws {VggError} DISPOSED, DISK_FULL, FOLDER_UNUSABLE
   * @example await model.save("ants-and-bees.safetensors", { metadata: { trained: "2026-11-30" } });
   */
  async save(path: string, options: WriteOptions = {}): Promise<void> {
    this.#checkLive();
    await saveModel(this.#state, this.#topology, this, path, options);
  }

  /** Whether `dispose` was called. */
  abstract get isDisposed(): boolean;

  toString(): string {
    const { arch, numClasses, inChannels, imageSize } = this.#topology;
    const { device, precision } = this.#state.store;
    const count = this.parameterCount.toLocaleString("en-US");
    return `Vgg ${arch} (${numClasses} classes, ${inChannels} × ${imageSize} × ${imageSize}) ${precision} on ${device.id}, ${count} parameters`;
  }

  /**
   * Returns what `JSON.stringify` writes: what the model is, without its numbers and labels.
   * @example console.log(JSON.stringify(model));
   */
  toJSON(): ModelJson {
    const { arch, numClasses, inChannels, hiddenFeatures, imageSize } = this.#topology;
    const { device, precision } = this.#state.store;
    const { parameterCount, isDisposed } = this;
    const what = { arch, numClasses, inChannels, hiddenFeatures, imageSize };
    return { ...what, device: device.id, precision, parameterCount, isDisposed };
  }

  [inspectKey](): string {
    return `${this}${this.isDisposed ? ", disposed" : ""}`;
  }
}
