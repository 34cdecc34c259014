// The methods of a model that take images, and share runs when they are called at the same time.
import type { Batcher, BatchingReport } from "../../batch/batcher.js";
import { type QueueOptions, queueOptionNames } from "../../batch/options.js";
import { direct } from "../../batch/turn.js";
import type { DeviceTensor } from "../../device/device.js";
import type { Preprocessing } from "../../image/preprocessing.js";
import { type ImageSource, openSource } from "../../image/source.js";
import type { Tensor } from "../../tensor.js";
import type { ModelGraphs } from "../graphs.js";
import { classifier, classifyImages } from "../infer.js";
import { NamedParameters } from "../named-parameters.js";
import type { ClassifyOptions } from "../options.js";
import type { ModelState } from "../state.js";
import type { Topology } from "../topology.js";
import { type Classification, classifyAll, type Prediction } from "./classify.js";
import { Embedder, type Embedding, type EmbedOptions } from "./embed.js";
import { iteratorOf } from "./lookahead.js";

/**
 * Classification and embedding: what `Vgg` offers for images.
 * @example const [best] = await model.classify("cat.jpg", { top: 1 });
 */
export abstract class ImageMethods extends NamedParameters {
  #graphs: ModelGraphs;
  #topology: Topology;
  #batcher: Batcher | null;
  #checkLive: () => void;

  /** @param checkLive throws if the model was disposed */
  constructor(
    state: ModelState,
    topology: Topology,
    labels: readonly string[] | undefined,
    preprocessing: Preprocessing | undefined,
    graphs: ModelGraphs,
    batcher: Batcher | null,
    checkLive: () => void,
  ) {
    // A write must not overtake calls that wait.
    super(state, topology, labels, preprocessing, checkLive, () => batcher?.flush());
    this.#graphs = graphs;
    this.#topology = topology;
    this.#batcher = batcher;
    this.#checkLive = checkLive;
  }

  /**
   * What the batches that calls share have done, and what waits: for a page of metrics, or to send a call elsewhere. Null
   * with `batching: false`.
   */
  get batching(): BatchingReport | null {
    return this.#batcher?.report ?? null;
  }

  /**
   * Returns the best classes of an image, preprocessed as `preprocessing` says. Bytes in memory are copied before this
   * returns. Calls that are under way at the same time share runs, unless the model has `batching: false`.
   * @throws {TypeError|RangeError} another source, `top` out of range, a model with other than 1 or 3 channels
   * @throws {VggError} IMAGE_…, DISPOSED, OUT_OF_MEMORY, QUEUE_FULL, TIMED_OUT; or the reason of `signal`
   * @example const [best] = await model.classify("cat.jpg", { top: 1 });
   */
  async classify(
    image: ImageSource,
    options?: ClassifyOptions & QueueOptions,
  ): Promise<readonly Prediction[]>;
  /**
   * Returns the best classes of each image of an array. If an image fails, the call rejects with its error.
   * @example const [cat, dog] = await model.classify(["cat.jpg", "dog.png"]);
   */
  async classify(
    images: readonly ImageSource[],
    options?: ClassifyOptions & QueueOptions,
  ): Promise<(readonly Prediction[])[]>;
  async classify(
    images: ImageSource | readonly ImageSource[],
    options: ClassifyOptions & QueueOptions = {},
  ): Promise<readonly Prediction[] | (readonly Prediction[])[]> {
    return classifyImages(this.#classifier(options, queueOptionNames), this.#batcher, images);
  }

  /**
   * Classifies any number of images and takes them from the iterable as needed. Yields the classes or the error of each
   * image, in order. A bad image does not stop the others. It makes batches of its own images only. Bytes in memory are
   * copied before the iterable's next image is requested.
   * @throws {TypeError|RangeError} not an iterable, or one that breaks the protocol; the errors of `classify`
   * @example
   * for await (const result of model.classifyEach(["cat.jpg", "dog.png"]))
   *   console.log(result.source, "error" in result ? result.error : result.predictions);
   */
  async *classifyEach<Source extends ImageSource>(
    images: Iterable<Source> | AsyncIterable<Source>,
    options: ClassifyOptions = {},
  ): AsyncGenerator<Classification<Source>> {
    const classifier = this.#classifier(options, []);
    const turn = direct(classifier.kind, classifier.call);
    const open = (source: Source) => openSource(source, "source");
    yield* classifyAll(turn, classifier, iteratorOf(images), open);
  }

  /**
   * Returns the embeddings (N, D) float32 of an image, of each of an array, or of a batch of normalised images
   * (N, inChannels, H, W) as `forward` takes it. Without options, D is 4096: the input of the last linear layer, as
   * torchvision's network gives it without that layer. If an image fails, the call rejects with its error. Calls share
   * runs as `classify` does.
   * @throws {TypeError|RangeError} another source, an unknown layer or option; the errors of `forward`
   * @throws {VggError} IMAGE_…, DISPOSED, OUT_OF_MEMORY, QUEUE_FULL, TIMED_OUT; or the reason of `signal`
   * @example const { shape } = await model.embed(["cat.jpg", "dog.jpg"], { layer: "features", pool: "mean", normalize: true });
   */
  async embed(
    images: ImageSource | readonly ImageSource[] | Tensor | DeviceTensor,
    options: EmbedOptions & QueueOptions = {},
  ): Promise<Tensor> {
    return this.#embedder(options, queueOptionNames).embed(images, this.#batcher);
  }

  /**
   * Embeds any number of images and takes them from the iterable as needed, as `classifyEach` does. Yields the embedding
   * or the error of each image, in order.
   * @throws {TypeError|RangeError} not an iterable, or one that breaks the protocol; the errors of `embed`
   * @example
   * for await (const result of model.embedEach(["cat.jpg", "dog.png"], { normalize: true }))
   *   console.log(result.source, "error" in result ? result.error : result.embedding);
   */
  async *embedEach<Source extends ImageSource>(
    images: Iterable<Source> | AsyncIterable<Source>,
    options: EmbedOptions = {},
  ): AsyncGenerator<Embedding<Source>> {
    const embedder = this.#embedder(options, []);
    yield* embedder.each(iteratorOf(images), (source) => openSource(source, "source"));
  }

  #classifier(options: ClassifyOptions & QueueOptions, more: readonly string[]) {
    this.#checkLive();
    const { labels, preprocessing } = this;
    return classifier(this.#graphs, this.#topology, labels, preprocessing, options, more);
  }

  #embedder(options: EmbedOptions & QueueOptions, more: readonly string[]): Embedder {
    this.#checkLive();
    return new Embedder(this.#graphs, this.#topology, this.preprocessing, options, more);
  }
}
