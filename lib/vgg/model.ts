// The class Vgg: a forward graph with named parameters.
import { Batcher } from "../batch/batcher.js";
import { type BatchingSettings, readBatching } from "../batch/options.js";
import { checkInteger, privateConstructor, readOptions } from "../check.js";
import { Device, type DeviceTensor } from "../device/device.js";
import type { Precision } from "../dtype.js";
import { VggError } from "../errors.js";
import type { Results } from "../graph/call.js";
import type { ProfileOptions } from "../graph/profile.js";
import type { Preprocessing } from "../image/preprocessing.js";
import type { NativeRunTime } from "../native/addon.js";
import type { Tensor } from "../tensor.js";
import { ModelGraphs } from "./graphs.js";
import { ImageMethods } from "./images/image-methods.js";
import { forwardImages, profileForward, warmUp } from "./infer.js";
import type { LayerName } from "./layers.js";
import { loadWeights, readLoadArguments } from "./load.js";
import {
  type CreateOptions,
  checkLabels,
  type ForwardOptions,
  type LayerOptions,
  type LoadOptions,
  type LoadReport,
  openDeviceOf,
  optionNames,
  type VggOptions,
} from "./options.js";
import { modelPreprocessing, readPreprocess } from "./preprocessing/fits.js";
import type { LayerProfile } from "./profile.js";
import { ModelState } from "./state.js";
import { Summary } from "./summary.js";
import { type Architecture, type Topology, topology } from "./topology.js";

/**
 * A network of the VGG family on a device, with its parameters by torchvision's names.
 * @example
 * const model = await Vgg.load("vgg11", "DEFAULT");
 * console.log(await model.classify("cat.jpg"));
 * await model.dispose();
 */
export class Vgg extends ImageMethods {
  /** The architecture. */
  readonly arch: Architecture;
  /** The number of channels of an image. */
  readonly inChannels: number;
  /** The number of classes. */
  readonly numClasses: number;
  /** The number of outputs of each of the two hidden linear layers. */
  readonly hiddenFeatures: number;
  /** Height and width in pixels of the images that `classify` makes, and that `warmup` and `profile` prepare and time. */
  readonly imageSize: number;
  /** The device that has the parameters and runs the network. */
  readonly device: Device;
  /** The arithmetic. */
  readonly precision: Precision;
  /** Where the parameters came from, and what else the file has. Undefined for a model that `create` made. */
  readonly loadReport: LoadReport | undefined;
  #topology: Topology;
  #state: ModelState;
  #graphs: ModelGraphs;
  #batcher: Batcher | null;
  #disposal: Promise<void> | null = null;

  /**
   * Makes a model with new parameters, initialised as in torchvision.
   * @throws {TypeError|RangeError} unknown architecture, device, precision or option, or a number out of its range
   * @throws {VggError} UNSUPPORTED precision, DEVICE_UNAVAILABLE, OUT_OF_MEMORY, ADDON_MISSING
   * @example const model = await Vgg.create("vgg16_bn", { numClasses: 10, imageSize: 64, seed: 1 });
   */
  static async create(arch: Architecture, options: CreateOptions = {}): Promise<Vgg> {
    const given = readPreprocess(readOptions(options, "options", [...optionNames, "seed"]));
    const { seed = 0 } = given;
    checkInteger(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    return Vgg.#open(arch, given, (state) => state.initialize(seed));
  }

  /**
   * Makes a model with parameters from a file: .pth (zip or legacy) or .safetensors, with torchvision's, timm's or the
   * usual tutorial's names. Names of wrappers before and between them are skipped. The architecture, the channels and
   * the number of classes come from the file. The image size, the preprocessing and the labels do too, if it has them.
   * @throws {TypeError|RangeError} the errors of `create`
   * @throws {VggError} CHECKPOINT_…, STATE_DICT_MISMATCH: no network of the family, or several; the errors of `create`
   * @example const model = await Vgg.load("ants-and-bees.pth", { labels: ["ants", "bees"] });
   */
  static async load(source: string, options?: LoadOptions): Promise<Vgg>;
  /**
   * Makes a model with parameters from a file of this architecture, or from its published weights, which have a name
   * ("IMAGENET1K_V1", "DEFAULT") and are downloaded once.
   * @throws {VggError} STATE_DICT_MISMATCH: the file has another architecture; the errors of the other form and of a
   * download
   * @example const model = await Vgg.load("vgg11", "DEFAULT");
   */
  static async load(arch: Architecture, source: string, options?: LoadOptions): Promise<Vgg>;
  static async load(
    first: string,
    second?: string | LoadOptions,
    third?: LoadOptions,
  ): Promise<Vgg> {
    return loadWeights(readLoadArguments(first, second, third), (arch, options, fill, report) =>
      Vgg.#open(arch, options, fill, report),
    );
  }

  static async #open(
    arch: Architecture,
    options: VggOptions,
    fill: (state: ModelState) => Promise<void>,
    report?: LoadReport,
  ): Promise<Vgg> {
    const checked = topology(arch, options);
    const labels = checkLabels(options.labels, checked.numClasses);
    const preprocessing = modelPreprocessing(checked, options.preprocess);
    const batching = readBatching(options.batching);
    const { device, precision } = await openDeviceOf(options);
    const model = new Vgg(checked, device, precision, labels, preprocessing, batching, report);
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
    preprocessing: Preprocessing | undefined,
    batching: BatchingSettings | null,
    report: LoadReport | undefined,
  ) {
    if (typeof checked !== "object" || !(device instanceof Device))
      throw privateConstructor('Vgg.create("vgg11") or Vgg.load("model.pth")');
    const state = new ModelState(device, checked, precision);
    const graphs = new ModelGraphs(device, checked, state.store);
    const batcher = batching && new Batcher(batching, device.kind === "cuda");
    super(state, checked, labels, preprocessing, graphs, batcher, () => this.#checkLive());
    this.#topology = checked;
    this.arch = checked.arch;
    this.inChannels = checked.inChannels;
    this.numClasses = checked.numClasses;
    this.hiddenFeatures = checked.hiddenFeatures;
    this.imageSize = checked.imageSize;
    this.device = device;
    this.precision = precision;
    this.loadReport = report;
    this.#state = state;
    this.#graphs = graphs;
    this.#batcher = batcher;
  }

  override get isDisposed(): boolean {
    return this.#disposal !== null;
  }

  /**
   * Computes the logits (N, numClasses) float32 of normalised images (N, inChannels, H, W) float32. H and W are any sizes
   * from 32, as in torchvision, and the same for all images of a call. `imageSize` is what `warmup` prepares.
   * A call has its own run, unless it has `batched: true`.
   * Runs on the device's thread. An input in JavaScript's memory is copied before this returns.
   * This form writes the logits to `into` and returns it.
   * @throws {TypeError|RangeError} another rank, shape or dtype, an empty batch, an unknown layer, another device
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL; or the reason of `signal`
   * @example await model.forward(Tensor.randn([1, 3, 224, 224]), { into: deviceTensor });
   */
  async forward(
    input: Tensor | DeviceTensor,
    options: ForwardOptions & { into: DeviceTensor },
  ): Promise<DeviceTensor>;
  /**
   * Computes the logits as a new Tensor.
   * @example const { data } = await model.forward(Tensor.randn([1, 3, 224, 224]));
   */
  async forward(
    input: Tensor | DeviceTensor,
    options?: ForwardOptions & { into?: undefined; outputs?: undefined },
  ): Promise<Tensor>;
  /**
   * Computes the outputs of layers by name: a module's, such as "features.8", "avgpool" or "classifier.4", or a
   * group's. "features" is the output of the last pool, (N, 512, ⌊H / 32⌋, ⌊W / 32⌋); "classifier" is the logits.
   * @example const { avgpool } = await model.forward(await preprocess("cat.jpg"), { outputs: ["avgpool"] });
   */
  async forward<Name extends LayerName>(
    input: Tensor | DeviceTensor,
    options: LayerOptions<Name> & { into?: undefined },
  ): Promise<Record<Name, Tensor>>;
  /**
   * Computes the outputs of layers, and writes those that `into` names to its DeviceTensors.
   * @example await model.forward(Tensor.randn([1, 3, 224, 224]), { outputs: ["avgpool"], into: { avgpool: deviceTensor } });
   */
  async forward<Name extends LayerName, Into extends LayerOptions<Name>["into"]>(
    input: Tensor | DeviceTensor,
    options: LayerOptions<Name> & { into: Into },
  ): Promise<Results<Record<Name, "float32">, Into>>;
  async forward(
    input: Tensor | DeviceTensor,
    options?: ForwardOptions | LayerOptions<string>,
  ): Promise<Tensor | DeviceTensor | Record<string, Tensor | DeviceTensor>> {
    this.#checkLive();
    return forwardImages(this.#graphs, this.#topology, this.#batcher, input, options);
  }

  /**
   * Prepares the model for these batch sizes, so that their first forward is as fast as the next.
   * @throws {TypeError|RangeError} `batchSizes` is not an array of positive integers
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL
   * @example await model.warmup([1, 8]);
   */
  async warmup(batchSizes: readonly number[] = [1]): Promise<void> {
    this.#checkLive();
    const forward = (images: Tensor) => this.forward(images);
    const learn = (batch: number, ms: number) => this.#batcher?.warm.learn(batch, ms);
    await warmUp(this.#graphs, this.#topology, batchSizes, forward, learn);
  }

  /**
   * Measures the median time of each layer over some runs. Layers are the steps that the device runs, so several
   * modules may be one layer. A GPU is timed with its own clock, and runs each layer outside the recorded graph that
   * `forward` launches.
   * @param input images as for `forward`, or a number of random images
   * @throws {TypeError|RangeError} the errors of `forward`; `warmup` or `iterations` out of range
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, QUEUE_FULL; or the reason of `signal`
   * @example for (const { name, medianMs } of await model.profile(1)) console.log(name, medianMs);
   */
  async profile(
    input: number | Tensor | DeviceTensor,
    options: ProfileOptions = {},
  ): Promise<readonly LayerProfile[]> {
    this.#checkLive();
    return profileForward(this.#graphs, this.#topology, input, options);
  }

  /** @internal The graphs, for functions outside this class. @throws {VggError} DISPOSED */
  get graphs(): ModelGraphs {
    this.#checkLive();
    return this.#graphs;
  }

  /** @internal Times of the forward of logits that ended last. */
  get lastForward(): NativeRunTime {
    return this.#graphs.logits.lastRun;
  }

  /**
   * Returns layers, output shapes, parameters and multiply-adds. Printing it, or `String(summary)`, gives a table.
   * @example console.log(String(model.summary()));
   */
  summary(): Summary {
    return new Summary(this.#topology);
  }

  /**
   * Frees the model after all earlier calls have ended. A second call has no effect.
   * @example await model.dispose();
   */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      this.#batcher?.close();
      await this.#graphs.dispose();
      await this.#state.dispose();
    })();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #checkLive(): void {
    if (this.#disposal !== null)
      throw new VggError("DISPOSED", `Expected a live model but this ${this.arch} was disposed`);
  }
}
