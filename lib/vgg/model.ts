// The class Vgg: a forward graph with named parameters.
import { checkInteger, checkSignal, readOptions, typeError } from "../check.js";
import { readOptionNames } from "../checkpoint/checkpoint.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { checkMetadata, type WriteOptions, writeTensors } from "../checkpoint/safetensors.js";
import { type Device, DeviceTensor } from "../device/device.js";

import type { Precision } from "../dtype.js";
import { VggError } from "../errors.js";
import { checkPath } from "../files/replace.js";
import type { ProfileOptions } from "../graph/profile.js";
import { type ImageSource, type OpenedSource, openSource, openSources } from "../image/source.js";
import type { NativeRunTime } from "../native/addon.js";
import { elementCount, Tensor } from "../tensor.js";
import { type Classification, classifyAll, isFailure, type Prediction } from "./classify.js";
import { ModelGraphs } from "./graphs.js";
import { isWeightsName, pullWeights } from "./known-weights.js";
import { imagenetLabels } from "./labels.js";
import { iteratorOf, type Sources } from "./lookahead.js";
import {
  type ClassifyOptions,
  type CreateOptions,
  checkLabels,
  type ForwardOptions,
  type LayerOptions,
  type LoadOptions,
  openDeviceOf,
  optionNames,
  type VggOptions,
} from "./options.js";
import type { ParameterInfo } from "./parameters.js";
import { type LayerProfile, nameSteps } from "./profile.js";
import { inputName } from "./record.js";
import { ModelState } from "./state.js";
import type { StateDict, StateDictDifference } from "./state-dict.js";
import { Summary } from "./summary.js";
import { type Architecture, logitsName, type Topology, topology } from "./topology.js";
import { identifyWeights } from "./weight-names.js";

const forwardOptionNames = ["signal", "into", "outputs"];

export class Vgg {
  readonly arch: Architecture;
  readonly inChannels: number;
  readonly numClasses: number;
  readonly imageSize: number;
  readonly device: Device;
  readonly precision: Precision;
  /** The names of the classes, if they are known. */
  readonly labels: readonly string[] | undefined;
  #topology: Topology;
  #state: ModelState;
  #graphs: ModelGraphs;
  #disposal: Promise<void> | null = null;

  /**
   * Makes a model with new parameters, initialised as in torchvision.
   * @throws {TypeError|RangeError} unknown architecture, device, precision or option, or a number out of its range
   * @throws {VggError} UNSUPPORTED precision, DEVICE_UNAVAILABLE, OUT_OF_MEMORY, ADDON_MISSING
   */
  static async create(arch: Architecture, options: CreateOptions = {}): Promise<Vgg> {
    const given = readOptions(options, "options", [...optionNames, "seed"]);
    const { seed = 0 } = given;
    checkInteger(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    return Vgg.#open(arch, given, (state) => state.initialize(seed));
  }

  /**
   * Makes a model with parameters from a file or from published weights. The file is .pth (zip or legacy) or
   * .safetensors, with torchvision's, timm's or the usual tutorial's names. Published weights have a name
   * ("IMAGENET1K_V1", "DEFAULT") and are downloaded once.
   * @throws {TypeError|RangeError} the errors of `create`
   * @throws {VggError} CHECKPOINT_…, STATE_DICT_MISMATCH with every name that differs; the errors of `create` and of
   * a download
   */
  static async load(arch: Architecture, source: string, options: LoadOptions = {}): Promise<Vgg> {
    const known = [...optionNames, ...readOptionNames, "signal"];
    const given = readOptions(options, "options", known);
    if (typeof source !== "string")
      throw typeError("a path or the name of known weights", "source", source);
    const { key, verify, maxHeaderBytes, signal } = given;
    checkSignal(signal);
    signal?.throwIfAborted();
    topology(arch, given);
    // Check all that can be checked without the file before a download of half a gigabyte.
    const { device, precision } = await openDeviceOf(given);
    checkLabels(given.labels, given.numClasses ?? given.labels?.length ?? 0);
    const path = isWeightsName(source)
      ? await pullWeights(arch, source, signal === undefined ? {} : { signal })
      : source;
    const reading = {
      ...(key === undefined ? {} : { key }),
      ...(verify === undefined ? {} : { verify }),
      ...(maxHeaderBytes === undefined ? {} : { maxHeaderBytes }),
    };
    const checkpoint = await openCheckpoint(path, reading);
    try {
      const weights = identifyWeights(path, arch, checkpoint.tensors);
      for (const name of ["inChannels", "numClasses"] as const) {
        if (given[name] !== undefined && given[name] !== weights[name]) {
          const message = `${path}: Expected ${name} ${given[name]} as in the options but the file has ${weights[name]}`;
          throw new VggError("STATE_DICT_MISMATCH", message);
        }
      }
      const { inChannels, numClasses } = weights;
      const stored = checkpoint.contents.labels;
      const labels = given.labels ?? (stored?.length === numClasses ? stored : undefined);
      const complete = {
        ...given,
        device,
        precision,
        inChannels,
        numClasses,
        ...(labels === undefined ? {} : { labels }),
      };
      return await Vgg.#open(arch, complete, (state) => state.loadCheckpoint(checkpoint, weights));
    } finally {
      await checkpoint.close();
    }
  }

  static async #open(
    arch: Architecture,
    options: VggOptions,
    fill: (state: ModelState) => Promise<void>,
  ): Promise<Vgg> {
    const checked = topology(arch, options);
    const labels = checkLabels(options.labels, checked.numClasses);
    const { device, precision } = await openDeviceOf(options);
    const model = new Vgg(checked, device, precision, labels);
    try {
      // Compile before the parameters have values, so that values are packed as they are written and never held twice.
      await model.#graphs.logits.prepare(1);
      await fill(model.#state);
      return model;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  private constructor(
    checked: Topology,
    device: Device,
    precision: Precision,
    labels: readonly string[] | undefined,
  ) {
    this.#topology = checked;
    this.arch = checked.arch;
    this.inChannels = checked.inChannels;
    this.numClasses = checked.numClasses;
    this.imageSize = checked.imageSize;
    this.device = device;
    this.precision = precision;
    this.labels = labels;
    this.#state = new ModelState(device, checked, precision);
    this.#graphs = new ModelGraphs(device, checked, this.#state.store);
  }

  /** The number of trainable elements: 132,863,336 for VGG11 with 1000 classes. */
  get parameterCount(): number {
    return this.#state.parameterCount;
  }

  get isDisposed(): boolean {
    return this.#disposal !== null;
  }

  /** Iterates over the entries of torchvision's state_dict, in its order. */
  parameters(): IterableIterator<ParameterInfo> {
    return this.#state.infos();
  }

  /** Copies a parameter. @throws {TypeError|RangeError} unknown name @throws {VggError} DISPOSED, OUT_OF_MEMORY */
  async getParameter(name: string): Promise<Tensor> {
    this.#checkLive();
    return this.#state.get(name);
  }

  /**
   * Replaces a parameter for all later forwards. The values are copied before this returns.
   * @param tensor float32, or float64, float16 or bfloat16, which are converted to float32
   * @throws {TypeError|RangeError} unknown name, another dtype or shape
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL
   */
  async setParameter(name: string, tensor: Tensor): Promise<void> {
    this.#checkLive();
    await this.#state.set(name, tensor);
  }

  /**
   * Copies all parameters and statistics, in torchvision's order. Includes the writes of earlier calls and of no later
   * ones.
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY
   */
  async stateDict(): Promise<Map<string, Tensor>> {
    this.#checkLive();
    return this.#state.hold(async (entries) => {
      const tensors = new Map<string, Tensor>();
      for (const [name, entry] of entries) tensors.set(name, await entry.read());
      return tensors;
    });
  }

  /**
   * Replaces the parameters atomically: a forward sees all new values or only old ones. The values are copied before
   * this returns.
   * @param options.strict true (default): missing and unexpected keys are errors; false: they are returned
   * @throws {TypeError} not a Map or object of Tensors, another dtype
   * @throws {VggError} STATE_DICT_MISMATCH with every missing, unexpected and misshapen key; DISPOSED, OUT_OF_MEMORY,
   * QUEUE_FULL; nothing was written
   */
  async loadStateDict(
    tensors: StateDict,
    options: { strict?: boolean } = {},
  ): Promise<StateDictDifference> {
    this.#checkLive();
    const { strict = true } = readOptions(options, "options", ["strict"]);
    if (typeof strict !== "boolean") throw typeError("a boolean", "options.strict", strict);
    return this.#state.load(tensors, strict);
  }

  /**
   * Writes the parameters and labels as safetensors. Includes the writes of earlier calls and of no later ones.
   * Forwards do not wait for it. A parameter that a later call replaces is copied first.
   * @throws {TypeError} not a path, metadata that is not an object of strings
   * @throws {RangeError} no file, or contents that a reader would refuse
   * @throws {VggError} DISPOSED, DISK_FULL, FOLDER_UNUSABLE
   */
  async save(path: string, options: WriteOptions = {}): Promise<void> {
    this.#checkLive();
    checkPath(path, "path");
    const { metadata = {} } = readOptions(options, "options", ["metadata"]);
    const checked = checkMetadata(metadata);
    const labels =
      this.labels === undefined || this.labels === imagenetLabels
        ? {}
        : { labels: JSON.stringify(this.labels) };
    const described = { format: "pt", arch: this.arch, ...labels, ...checked };
    await this.#state.hold((entries) => writeTensors(path, entries, described));
  }

  /**
   * Computes the logits (N, numClasses) float32 of normalised images (N, inChannels, imageSize, imageSize) float32.
   * Runs on the device's thread. An input in JavaScript's memory is copied before this returns.
   * With `outputs`, returns the outputs of those layers by name instead.
   * @throws {TypeError|RangeError} another rank, shape or dtype, an empty batch, an unknown layer, another device
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL; or the reason of `signal`
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
    options?: ForwardOptions | LayerOptions<string>,
  ): Promise<Tensor | DeviceTensor | Record<string, Tensor | DeviceTensor>> {
    this.#checkLive();
    if (options === undefined) {
      const { [logitsName]: logits } = await this.#graphs.logits.run({ [inputName]: input });
      return logits!;
    }
    const given = readOptions(options, "options", forwardOptionNames);
    const { signal, into } = given;
    const outputs = "outputs" in given ? given.outputs : undefined;
    if (outputs !== undefined && (!Array.isArray(outputs) || outputs.length === 0)) {
      throw typeError("an array of layer names", "options.outputs", outputs);
    }
    if (outputs === undefined && into !== undefined && !(into instanceof DeviceTensor)) {
      throw typeError("a DeviceTensor", "options.into", into);
    }
    const graph = outputs === undefined ? this.#graphs.logits : this.#graphs.forward(outputs);
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

  /**
   * Returns the best classes of an image, preprocessed as in torchvision. An image is a path, URL, bytes or stream. An
   * array of images gives an array of results. Bytes in memory are copied before this returns.
   * @throws {TypeError|RangeError} another source, `top` out of range, a model with other than 3 channels
   * @throws {VggError} IMAGE_…, DISPOSED, OUT_OF_MEMORY, QUEUE_FULL; or the reason of `signal`
   */
  async classify(image: ImageSource, options?: ClassifyOptions): Promise<readonly Prediction[]>;
  async classify(
    images: readonly ImageSource[],
    options?: ClassifyOptions,
  ): Promise<(readonly Prediction[])[]>;
  async classify(
    images: ImageSource | readonly ImageSource[],
    options: ClassifyOptions = {},
  ): Promise<readonly Prediction[] | (readonly Prediction[])[]> {
    const classify = this.#classifier(options);
    const isArray = Array.isArray(images);
    const sources = isArray ? openSources(images, "images") : [openSource(images, "image")];
    const predictions: (readonly Prediction[])[] = [];
    for await (const classified of classify(sources.values(), (source) => source)) {
      if (isFailure(classified)) throw classified.error;
      predictions.push(classified.predictions);
    }
    return isArray ? predictions : predictions[0]!;
  }

  /**
   * Classifies any number of images and takes them from the iterable as needed. Yields the classes or the error of each
   * image, in order. A bad image does not stop the others. Bytes in memory are copied before the iterable's next image
   * is requested.
   * @throws {TypeError|RangeError} not an iterable, or one that breaks the protocol; the errors of `classify`
   */
  async *classifyEach<Source extends ImageSource>(
    images: Iterable<Source> | AsyncIterable<Source>,
    options: ClassifyOptions = {},
  ): AsyncGenerator<Classification<Source>> {
    const classify = this.#classifier(options);
    yield* classify(iteratorOf(images), (source) => openSource(source, "source"));
  }

  /**
   * Prepares the model for these batch sizes, so that their first forward is as fast as the next.
   * @throws {TypeError|RangeError} `batchSizes` is not an array of positive integers
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL
   */
  async warmup(batchSizes: readonly number[] = [1]): Promise<void> {
    this.#checkLive();
    if (!Array.isArray(batchSizes))
      throw typeError("an array of batch sizes", "batchSizes", batchSizes);
    for (const batch of batchSizes) checkInteger(batch, "batchSizes", 1, 2 ** 31 - 1);
    for (const batch of batchSizes) {
      await this.#graphs.logits.prepare(batch);
      await this.forward(this.#images(batch, "batchSizes", Tensor.zeros));
    }
  }

  /**
   * Measures the median time of each layer over some runs. Layers are the steps that the device runs, so several
   * modules may be one layer. A GPU is timed with its own clock, and runs each layer outside the recorded graph that
   * `forward` launches.
   * @param input images as for `forward`, or a number of random images
   * @throws {TypeError|RangeError} the errors of `forward`; `warmup` or `iterations` out of range
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL; or the reason of `signal`
   */
  async profile(
    input: number | Tensor | DeviceTensor,
    options: ProfileOptions = {},
  ): Promise<readonly LayerProfile[]> {
    this.#checkLive();
    const images = typeof input === "number" ? this.#images(input, "input", Tensor.randn) : input;
    const { steps } = await this.#graphs.logits.profile({ [inputName]: images }, options);
    return nameSteps(this.#topology, [logitsName], steps);
  }

  /** @internal Times of the forward of logits that ended last. */
  get lastForward(): NativeRunTime {
    return this.#graphs.logits.lastRun;
  }

  /** Returns layers, output shapes, parameters and multiply-adds. Printing it, or `String(summary)`, gives a table. */
  summary(): Summary {
    return new Summary(this.#topology);
  }

  /** Frees the model after all earlier calls have ended. A second call has no effect. */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await this.#graphs.dispose();
      await this.#state.dispose();
    })();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Checks the options. @returns a function that classifies the images of an iterator */
  #classifier(options: ClassifyOptions) {
    this.#checkLive();
    const given = readOptions(options, "options", ["top", "batchSize", "signal"]);
    const { top = Math.min(5, this.numClasses), batchSize = 8, signal } = given;
    checkSignal(signal);
    signal?.throwIfAborted();
    checkInteger(top, "options.top", 1, this.numClasses);
    checkInteger(batchSize, "options.batchSize", 1, 4096);
    if (this.inChannels !== 3) {
      throw new RangeError(
        `Expected a model of 3 channels for classify but this one has ${this.inChannels}`,
      );
    }
    const graph = this.#graphs.classify(top);
    return <Source>(sources: Sources<Source>, open: (source: Source) => OpenedSource) =>
      classifyAll(graph, this.#topology, this.labels, sources, open, { batchSize, signal });
  }

  /** Makes a batch of images. @throws {RangeError} not a valid number of images */
  #images(batch: number, name: string, make: (shape: readonly number[]) => Tensor): Tensor {
    checkInteger(batch, name, 1, 2 ** 31 - 1);
    const shape = [batch, this.inChannels, this.imageSize, this.imageSize];
    try {
      return make(shape);
    } catch (cause) {
      const message = `Expected ${4 * elementCount(shape)} bytes of host memory for the images but they are not available`;
      throw new VggError("OUT_OF_MEMORY", message, { cause });
    }
  }

  #checkLive(): void {
    if (this.#disposal !== null)
      throw new VggError("DISPOSED", `Expected a live model but this ${this.arch} was disposed`);
  }
}
