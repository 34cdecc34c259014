// Runs a model's graphs for `forward`, `classify`, `warmup` and `profile`, after the check that the model is live.
import type { Batcher } from "../batch/batcher.js";
import {
  type CallSettings,
  checkQueueOptions,
  type QueueOptions,
  queueOptionNames,
} from "../batch/options.js";
import type { Kind } from "../batch/run.js";
import { runTensor } from "../batch/tensor.js";
import { checkInteger, readOptions, typeError } from "../check.js";
import { DeviceTensor } from "../device/device.js";
import { VggError } from "../errors.js";
import type { ProfileOptions } from "../graph/profile.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { type ImageSource, openSource, openSources } from "../image/source.js";
import { elementCount, Tensor, tensorOf } from "../tensor.js";
import type { ModelGraphs } from "./graphs.js";
import {
  type ClassifyResults,
  type ClassifySettings,
  classifyAll,
  type Prediction,
  roundedTop,
} from "./images/classify.js";
import { isFailure } from "./images/each.js";
import { itself, withImages } from "./images/visit.js";
import { moduleOf } from "./layers.js";
import type { ClassifyOptions, ForwardOptions, LayerOptions } from "./options.js";
import { callPreprocessing } from "./preprocessing/fits.js";
import { type LayerProfile, nameSteps } from "./profile.js";
import { extentOfInput, inputName } from "./record.js";
import { logitsName, type Topology } from "./topology.js";

const forwardOptionNames = ["signal", "into", "outputs", "batched", ...queueOptionNames];

type FloatTensors = Record<string, Tensor>;

/** Checks the options and computes the logits, or the outputs of `options.outputs` by name. */
export async function forwardImages(
  graphs: ModelGraphs,
  topology: Topology,
  batcher: Batcher | null,
  input: Tensor | DeviceTensor,
  options?: ForwardOptions | LayerOptions<string>,
): Promise<Tensor | DeviceTensor | Record<string, Tensor | DeviceTensor>> {
  if (options === undefined) {
    const graph = graphs.forward([logitsName], extentOfInput(topology, input));
    const { [logitsName]: logits } = await graph.run({ [inputName]: input });
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
  const layers = outputs === undefined ? [logitsName] : Array.from<string>(outputs);
  for (const layer of layers) moduleOf(topology, layer, "options.outputs");
  if (isBatched(given)) {
    const results = await forwardBatched(graphs, topology, batcher, input, layers, given);
    return outputs === undefined ? results[logitsName]! : results;
  }
  const graph = graphs.forward(layers, extentOfInput(topology, input));
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

/** @throws {TypeError} not a boolean, or an option that only a batched forward has, or cannot have */
function isBatched(given: ForwardOptions | LayerOptions<string>): boolean {
  const { batched = false, into } = given;
  if (typeof batched !== "boolean") throw typeError("a boolean", "options.batched", batched);
  if (batched && into !== undefined)
    throw typeError("none beside batched: true", "options.into", into);
  for (const name of queueOptionNames as readonly (keyof QueueOptions)[]) {
    if (!batched && given[name] !== undefined)
      throw typeError("none without batched: true", `options.${name}`, given[name]);
  }
  return batched;
}

/** Computes layers in runs that other calls share. */
async function forwardBatched(
  graphs: ModelGraphs,
  topology: Topology,
  batcher: Batcher | null,
  input: Tensor | DeviceTensor,
  layers: readonly string[],
  given: QueueOptions & { signal?: AbortSignal | undefined },
): Promise<FloatTensors> {
  const call = checkQueueOptions(given);
  const tensor = input instanceof DeviceTensor ? undefined : tensorOf(input, inputName);
  if (tensor === undefined)
    throw typeError("a Tensor, as batched: true takes it,", inputName, input);
  if (tensor.dtype !== "float32")
    throw new TypeError(`Expected dtype float32 for ${inputName} but received ${tensor.dtype}`);
  const extent = extentOfInput(topology, input);
  const { height, width } = extent;
  const graph = () => graphs.forward(layers, extent);
  graph();
  const kind: Kind<FloatTensors> = {
    key: `forward ${JSON.stringify([...new Set(layers)].sort())} ${height} × ${width}`,
    run: (count, data, signal) => {
      const images = new Tensor([count, topology.inChannels, height, width], data as Float32Array);
      return graph().run({ [inputName]: images }, { signal });
    },
  };
  const most = Number.POSITIVE_INFINITY;
  return runTensor(batcher, kind, call, tensor as Tensor, inputName, most);
}

/**
 * Compiles the graph of each batch size and runs it once. `forward` is the model's, which checks that it is live.
 * @param learn is told the time of each batch size in ms
 */
export async function warmUp(
  graphs: ModelGraphs,
  topology: Topology,
  batchSizes: readonly number[],
  forward: (images: Tensor) => Promise<unknown>,
  learn: (batch: number, ms: number) => void,
): Promise<void> {
  if (!Array.isArray(batchSizes))
    throw typeError("an array of batch sizes", "batchSizes", batchSizes);
  for (const batch of batchSizes) checkInteger(batch, "batchSizes", 1, 2 ** 31 - 1);
  for (const batch of batchSizes) {
    await graphs.logits.prepare(batch);
    const images = makeImages(topology, batch, "batchSizes", Tensor.zeros);
    const start = performance.now();
    await forward(images);
    learn(batch, performance.now() - start);
  }
}

/** Times the steps of the logits' graph. `input` may be a number of random images. */
export async function profileForward(
  graphs: ModelGraphs,
  topology: Topology,
  input: number | Tensor | DeviceTensor,
  options: ProfileOptions,
): Promise<readonly LayerProfile[]> {
  const images =
    typeof input === "number" ? makeImages(topology, input, "input", Tensor.randn) : input;
  const { steps } = await graphs.withLogits(extentOfInput(topology, images), (graph) =>
    graph.profile({ [inputName]: images }, options),
  );
  return nameSteps(topology, [logitsName], steps);
}

/** A call of `classify` or `classifyEach` whose options were checked. */
export interface Classifier extends ClassifySettings {
  readonly kind: Kind<ClassifyResults>;
  readonly call: CallSettings;
}

/** Checks the options. @param more the names of options that only `classify` has */
export function classifier(
  graphs: ModelGraphs,
  topology: Topology,
  labels: readonly string[] | undefined,
  usual: Preprocessing | undefined,
  options: ClassifyOptions & QueueOptions,
  more: readonly string[],
): Classifier {
  const { inChannels, numClasses } = topology;
  const known = ["top", "batchSize", "signal", "preprocess", ...more];
  const given = readOptions(options, "options", known);
  const { top = Math.min(5, numClasses), batchSize = 8 } = given;
  const call = checkQueueOptions(given);
  checkInteger(top, "options.top", 1, numClasses);
  checkInteger(batchSize, "options.batchSize", 1, 4096);
  if (usual === undefined) {
    throw new RangeError(
      `Expected a model of 1 or 3 channels for classify but this one has ${inChannels}`,
    );
  }
  const preprocessing = callPreprocessing(topology, usual, given.preprocess);
  const { crop, channels, mean, std } = preprocessing;
  const computed = roundedTop(top, numClasses);
  // Taken again for each run: a graph that was not used for long may have been evicted since.
  const graph = () => graphs.classify(computed, preprocessing);
  graph();
  const kind: Kind<ClassifyResults> = {
    key: `classify ${JSON.stringify([computed, crop, mean, std])}`,
    run: (count, data, signal) =>
      graph().run({ pixels: new Tensor([count, crop, crop, channels], data) }, { signal }),
  };
  return { kind, call, preprocessing, top, labels, batchSize };
}

/** Classifies one image or each image of an array, all of them or none. */
export async function classifyImages(
  classifier: Classifier,
  batcher: Batcher | null,
  images: ImageSource | readonly ImageSource[],
): Promise<readonly Prediction[] | (readonly Prediction[])[]> {
  const isArray = Array.isArray(images);
  const sources = isArray ? openSources(images, "images") : [openSource(images, "image")];
  const predictions: (readonly Prediction[])[] = [];
  await withImages(classifier, batcher, sources, async (turn, batchSize) => {
    const settings = { ...classifier, batchSize };
    for await (const classified of classifyAll(turn, settings, sources.values(), itself)) {
      if (isFailure(classified)) throw classified.error;
      predictions.push(classified.predictions);
    }
  });
  return isArray ? predictions : predictions[0]!;
}

/** Makes a batch of images. @throws {RangeError} not a valid number of images */
function makeImages(
  { inChannels, imageSize }: Topology,
  batch: number,
  name: string,
  make: (shape: readonly number[]) => Tensor,
): Tensor {
  checkInteger(batch, name, 1, 2 ** 31 - 1);
  const shape = [batch, inChannels, imageSize, imageSize];
  try {
    return make(shape);
  } catch (cause) {
    const message = `Expected ${4 * elementCount(shape)} bytes of host memory for the images but they are not available`;
    throw new VggError("OUT_OF_MEMORY", message, { cause });
  }
}
