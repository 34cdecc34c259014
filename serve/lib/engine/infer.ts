// The engine: checks requests, runs models within the request's deadline, and records how each request ended.
import type { Vgg } from "vgg-cudnn";
import { ServeError, toServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import type {
  ImagesRequest,
  InferRequest,
  InferResponse,
  RequestTerms,
} from "../protocol/types.js";
import type { Limits } from "../settings/check.js";
import { type CallTerms, classify, embed } from "./calls.js";
import { compute } from "./compute.js";
import { Deadline } from "./deadline.js";
import type { Loaded } from "./entry.js";
import { checkOutputs, type LayerShapes } from "./outputs.js";
import { Recording } from "./recording.js";
import type { ModelRegistry } from "./registry.js";
import { checkInput, formsOf } from "./tensors.js";
import type {
  Embeddings,
  Engine,
  Health,
  InferenceRecord,
  LayerValues,
  Prediction,
  Statistics,
} from "./types.js";

type EmbedRequest = Parameters<Engine["embed"]>[0];

/** A piece of work whose model is known. */
interface Work<Result> {
  readonly kind: InferenceRecord["kind"];
  readonly request: RequestTerms & { readonly id?: string | undefined };
  readonly name: string;
  readonly version: string | undefined;
  /** Checks the request. @returns the number of images, and the call */
  readonly prepare: (loaded: Loaded) => {
    readonly images: number;
    readonly call: (model: Vgg, terms: CallTerms) => Promise<Result>;
  };
}

/** What both front ends call. */
export class InferenceEngine implements Engine {
  readonly registry: ModelRegistry;
  readonly statistics: Statistics;
  readonly health: Health;
  readonly #limits: Limits;

  constructor(
    registry: ModelRegistry,
    {
      statistics,
      health,
      limits,
    }: {
      readonly statistics: Statistics;
      readonly health: Health;
      readonly limits: Limits;
    },
  ) {
    this.registry = registry;
    this.statistics = statistics;
    this.health = health;
    this.#limits = limits;
  }

  async infer(request: InferRequest): Promise<InferResponse> {
    const { model: name, version, id } = request;
    const { imagesPerRequest, outputBytes } = this.#limits;
    return this.#work({
      kind: "infer",
      request,
      name,
      version,
      prepare: ({ model, shapes }) => {
        const input = checkInput(request.inputs, model.vgg, imagesPerRequest);
        const { images } = input;
        const { numClasses } = model.vgg;
        const outputs = checkOutputs(request.outputs, images, { numClasses, shapes }, outputBytes);
        const call = async (vgg: Vgg, terms: CallTerms) => ({
          model: name,
          version: model.version,
          ...(id !== undefined && { id }),
          outputs: await compute(vgg, input, outputs, terms),
        });
        return { images, call };
      },
    });
  }

  async classify(request: ImagesRequest & { readonly top: number }): Promise<Prediction[][]> {
    return this.#work({
      ...this.#ofImages(request),
      kind: "classify",
      prepare: ({ model }) => {
        const images = this.#imagesFor(model.vgg, request);
        const top = Math.min(request.top, model.vgg.numClasses);
        if (!(Number.isSafeInteger(top) && top >= 1))
          throw invalid("an integer above 0", "top", request.top);
        const call = async (vgg: Vgg, terms: CallTerms) => {
          const results = await classify(vgg, images, { top, preprocess: {} }, terms);
          return results.map((predictions) => [...predictions]);
        };
        return { images: images.length, call };
      },
    });
  }

  async embed(request: EmbedRequest): Promise<Embeddings> {
    const { layer = "classifier.4", pool, normalize } = request;
    return this.#work({
      ...this.#ofImages(request),
      kind: "embed",
      prepare: ({ model, shapes }) => {
        const images = this.#imagesFor(model.vgg, request);
        const known = layer === "classifier" ? [model.vgg.numClasses] : shapes.get(layer);
        if (known === undefined)
          throw invalid("the name of a layer, such as classifier.4,", "layer", layer);
        const length = pool === undefined ? known.reduce((a, b) => a * b, 1) : known[0]!;
        this.#checkBytes(4 * images.length * length);
        const options = { layer, pool, normalize, preprocess: {} };
        const call = async (vgg: Vgg, terms: CallTerms): Promise<Embeddings> => {
          const { shape, data } = await embed(vgg, images, options, terms);
          return { shape: [shape[0]!, shape[1]!], data: data as Float32Array };
        };
        return { images: images.length, call };
      },
    });
  }

  async layer(request: ImagesRequest & { readonly layer: string }): Promise<LayerValues> {
    const { layer } = request;
    return this.#work({
      ...this.#ofImages(request),
      kind: "layers",
      prepare: ({ model, shapes }) => {
        const images = this.#imagesFor(model.vgg, request);
        if (images.length > 1)
          throw new ServeError(
            "INVALID",
            `Expected one image for a layer but received ${images.length}`,
          );
        const shape = shapes.get(layer);
        if (shape === undefined) throw unknownLayer(layer, shapes);
        this.#checkBytes(4 * shape.reduce((a, b) => a * b, 1));
        const call = async (vgg: Vgg, terms: CallTerms): Promise<LayerValues> => {
          // An embedding that is not pooled has all values, and its image waits in the queue before it is decoded.
          const { data } = await embed(vgg, images, { layer, preprocess: {} }, terms);
          return { shape, data: data as Float32Array };
        };
        return { images: 1, call };
      },
    });
  }

  layers(model?: string, version?: string): LayerShapes {
    return this.registry.find(model ?? this.registry.onlyName(), version).shapes;
  }

  #ofImages(request: ImagesRequest) {
    return { request, name: request.model ?? this.registry.onlyName(), version: request.version };
  }

  /** @throws {ServeError} INVALID, TOO_LARGE */
  #imagesFor(vgg: Vgg, { images }: ImagesRequest): readonly Uint8Array[] {
    const most = this.#limits.imagesPerRequest;
    if (!formsOf(vgg).includes("image"))
      throw new ServeError(
        "INVALID",
        `Expected a model of images, but this one takes tensors of ${vgg.inChannels} channels`,
      );
    if (images.length < 1) throw new ServeError("INVALID", "Expected an image but received none");
    if (images.length > most)
      throw new ServeError(
        "TOO_LARGE",
        `Expected at most ${most} images in one request but received ${images.length}`,
      );
    return images;
  }

  #checkBytes(bytes: number): void {
    const most = this.#limits.outputBytes;
    if (bytes > most)
      throw new ServeError(
        "TOO_LARGE",
        `Expected an answer of at most ${most} bytes but it has ${bytes}; send fewer images in one request`,
      );
  }

  /** Finds the model, checks the request, runs it and records how it ended. @throws {ServeError} */
  async #work<Result>({ kind, request, name, version, prepare }: Work<Result>): Promise<Result> {
    const recording = new Recording(kind, request);
    try {
      const loaded = this.registry.find(name, version);
      const { model } = loaded;
      recording.model = { name, version: model.version };
      using _held = model.acquire();
      const { images, call } = prepare(loaded);
      recording.images = images;
      const timeoutMs = request.timeoutMs ?? this.registry.optionsOf(name).timeoutMs;
      using deadline = new Deadline(request.signal, timeoutMs);
      const { signal } = deadline;
      const { priority, client } = request;
      const shared = { signal, priority, client, onTiming: recording.add };
      const result = await model.run(images, async (vgg) => {
        signal.throwIfAborted();
        const batchSize = model.maxBatchSize;
        return call(vgg, { ...shared, timeoutMs: deadline.leftMs, batchSize });
      });
      const record = recording.success();
      this.statistics.record(record);
      request.onTimes?.(record);
      return result;
    } catch (thrown) {
      const error = toServeError(thrown);
      this.statistics.record(recording.failure(error));
      throw error;
    }
  }
}

/** Names some of the layers that exist: the first and the last. */
function unknownLayer(layer: string, shapes: LayerShapes): ServeError {
  const names = [...shapes.keys()];
  const some = [...names.slice(0, 4), "…", ...names.slice(-3)].join(", ");
  return invalid(`the name of a layer (${some})`, "layer", layer);
}
