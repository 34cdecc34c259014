// Runs a model's graphs for `forward`, `classify`, `warmup` and `profile`, after the check that the model is live.
import { checkInteger, checkSignal, readOptions, typeError } from "../check.js";
import { DeviceTensor } from "../device/device.js";
import { VggError } from "../errors.js";
import type { ProfileOptions } from "../graph/profile.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { discardAll } from "../image/read.js";
import { type ImageSource, type OpenedSource, openSource, openSources } from "../image/source.js";
import { elementCount, Tensor } from "../tensor.js";
import type { ModelGraphs } from "./graphs.js";
import { classifyAll, type Prediction } from "./images/classify.js";
import { isFailure } from "./images/each.js";
import type { Sources } from "./images/lookahead.js";
import { moduleOf } from "./layers.js";
import type { ClassifyOptions, ForwardOptions, LayerOptions } from "./options.js";
import { callPreprocessing } from "./preprocessing/fits.js";
import { type LayerProfile, nameSteps } from "./profile.js";
import { extentOfInput, inputName } from "./record.js";
import { logitsName, type Topology } from "./topology.js";

const forwardOptionNames = ["signal", "into", "outputs"];

/** Checks the options and computes the logits, or the outputs of `options.outputs` by name. */
export async function forwardImages(
  graphs: ModelGraphs,
  topology: Topology,
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

/** Compiles the graph of each batch size and runs it once. `forward` is the model's, which checks that it is live. */
export async function warmUp(
  graphs: ModelGraphs,
  topology: Topology,
  batchSizes: readonly number[],
  forward: (images: Tensor) => Promise<unknown>,
): Promise<void> {
  if (!Array.isArray(batchSizes))
    throw typeError("an array of batch sizes", "batchSizes", batchSizes);
  for (const batch of batchSizes) checkInteger(batch, "batchSizes", 1, 2 ** 31 - 1);
  for (const batch of batchSizes) {
    await graphs.logits.prepare(batch);
    await forward(makeImages(topology, batch, "batchSizes", Tensor.zeros));
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

/** Checks the options. @returns a function that classifies the images of an iterator */
export function classifier(
  graphs: ModelGraphs,
  topology: Topology,
  labels: readonly string[] | undefined,
  usual: Preprocessing | undefined,
  options: ClassifyOptions,
) {
  const { inChannels, numClasses } = topology;
  const given = readOptions(options, "options", ["top", "batchSize", "signal", "preprocess"]);
  const { top = Math.min(5, numClasses), batchSize = 8, signal } = given;
  checkSignal(signal);
  signal?.throwIfAborted();
  checkInteger(top, "options.top", 1, numClasses);
  checkInteger(batchSize, "options.batchSize", 1, 4096);
  if (usual === undefined) {
    throw new RangeError(
      `Expected a model of 1 or 3 channels for classify but this one has ${inChannels}`,
    );
  }
  const preprocessing = callPreprocessing(topology, usual, given.preprocess);
  // Taken again for each batch: a graph that was not used for long may have been evicted since.
  const graph = () => graphs.classify(top, preprocessing);
  graph();
  return <Source>(sources: Sources<Source>, open: (source: Source) => OpenedSource) =>
    classifyAll(graph, preprocessing, labels, sources, open, { batchSize, signal });
}

/** Classifies one image or each image of an array, all of them or none. `classify` is what `classifier` returns. */
export async function classifyImages(
  classify: ReturnType<typeof classifier>,
  images: ImageSource | readonly ImageSource[],
): Promise<readonly Prediction[] | (readonly Prediction[])[]> {
  const isArray = Array.isArray(images);
  const sources = isArray ? openSources(images, "images") : [openSource(images, "image")];
  const predictions: (readonly Prediction[])[] = [];
  try {
    for await (const classified of classify(sources.values(), (source) => source)) {
      if (isFailure(classified)) throw classified.error;
      predictions.push(classified.predictions);
    }
  } catch (error) {
    discardAll(sources);
    throw error;
  }
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
