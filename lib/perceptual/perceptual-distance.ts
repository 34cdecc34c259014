// LPIPS, the perceptual distance of images: Zhang et al., "The unreasonable effectiveness of deep features as a
// perceptual metric", CVPR 2018, version 0.1 with VGG16.
import {
  checkInteger,
  checkSignal,
  isInteger,
  rangeError,
  readOptions,
  typeError,
} from "../check.js";
import { discardAll, type OpenedSource } from "../image/read.js";
import type { ImageSource } from "../image/source.js";
import { Tensor, tensorOf } from "../tensor.js";
import { isFailure } from "../vgg/images/each.js";
import { Vgg } from "../vgg/model.js";
import { type GraphOf, maxRunPixels, type PairDistance } from "./compare.js";
import { comparePairwise, type ReadPair } from "./each.js";
import { imagePair, minSide, openImages, openTensors, type PerceptualResize } from "./pairs.js";
import { layers } from "./record.js";

/** Options of `perceptualDistance`. */
export interface PerceptualOptions {
  /** A live "vgg16" with 3 channels. LPIPS is defined with torchvision's weights, "DEFAULT". */
  model: Vgg;
  /** Whether to return the distance of each pixel too. Default false. */
  map?: boolean | undefined;
  /**
   * Resizes images, bilinear and antialiased. "a": b gets the size of a. A number, 16 … 16,384: the length of a's shorter
   * side after the resize, in pixels; a keeps its proportions, and b gets the same size. Default: images are not resized,
   * and a pair must have one size.
   */
  resize?: PerceptualResize | undefined;
  /** Stops the decoding and the device's work. The call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** The number of pairs in one batch on the device, at most. Large images are computed one pair at a time. Default 8. */
  batchSize?: number | undefined;
  /** Limit of width times height of an image, in pixels. Default 100 million. */
  maxPixels?: number | undefined;
}

/** The result of `perceptualDistance`. */
export interface PerceptualDistance {
  /** The distance of each pair: 0 for equal images, rarely above 1. */
  readonly total: number[];
  /**
   * By layer (relu1_2, relu2_2, relu3_3, relu4_3, relu5_3): the share of each pair. The five shares of a pair add up to
   * its total.
   */
  readonly layers: number[][];
  /** The distance of each pixel, (N, 1, H, W) float32, if `map` asks for it. Its mean over a pair is about the total. */
  readonly map?: Tensor<"float32">;
}

/** The result for some options: it has a map if `map` is known to be true. */
export type DistanceOf<Options extends PerceptualOptions> = Options["map"] extends true
  ? PerceptualDistance & {
      /** The distance of each pixel, (N, 1, H, W) float32. */
      readonly map: Tensor<"float32">;
    }
  : PerceptualDistance;

const optionNames = ["model", "map", "resize", "signal", "batchSize", "maxPixels"];

/** Checks the model and the options. */
function checkOptions(options: PerceptualOptions) {
  const given = readOptions(options, "options", optionNames);
  const { model, map = false, resize, signal, batchSize = 8, maxPixels = 100_000_000 } = given;
  checkModel(model, "options.model");
  if (typeof map !== "boolean") throw typeError("a boolean", "options.map", map);
  if (resize !== undefined && resize !== "a") {
    const expected = `"a" or an integer from ${minSide} to 16384`;
    if (typeof resize !== "number" && typeof resize !== "string")
      throw typeError(expected, "options.resize", resize);
    if (!isInteger(resize, minSide, 16_384)) throw rangeError(expected, "options.resize", resize);
  }
  checkSignal(signal);
  checkInteger(batchSize, "options.batchSize", 1, 4096);
  checkInteger(maxPixels, "options.maxPixels", 1, 2 ** 31 - 1);
  signal?.throwIfAborted();
  return { model, map, resize, signal, batchSize, maxPixels };
}

/** @throws {TypeError} not a Vgg @throws {RangeError} another architecture or number of channels */
export function checkModel(model: unknown, name: string): Vgg {
  if (!(model instanceof Vgg)) throw typeError("a Vgg", name, model);
  if (model.arch !== "vgg16") throw rangeError("a vgg16", name, model.arch);
  if (model.inChannels !== 3)
    throw new RangeError(
      `Expected a model of 3 channels for ${name} but received one of ${model.inChannels}`,
    );
  return model;
}

/** Returns the model's graphs for `comparePairwise`. */
export function graphsOf(model: Vgg): GraphOf {
  return (samples, height, width) => model.graphs.perceptual(samples, height, width);
}

/**
 * Computes LPIPS, the perceptual distance of two images: version 0.1 with VGG16. Images are read as by `classify`, but
 * in their own size, which is at least 16 × 16. Images given as bytes are copied before this returns.
 * @throws {TypeError|RangeError} a model other than a vgg16 of 3 channels, not an image, two sizes without `resize`
 * @throws {VggError} IMAGE_…, DISPOSED, OUT_OF_MEMORY, QUEUE_FULL; or the reason of `signal`
 * @example
 * const model = await Vgg.load("vgg16", "DEFAULT");
 * const { total } = await perceptualDistance("before.png", "after.png", { model });
 */
export async function perceptualDistance<Options extends PerceptualOptions>(
  a: ImageSource,
  b: ImageSource,
  options: Options,
): Promise<DistanceOf<Options>>;
/**
 * Computes LPIPS of each pair of images of two arrays of one length. If a pair fails, the call rejects with its error.
 * Pairs may differ in size from each other, unless `map` is asked for.
 * @example const { total } = await perceptualDistance(["a1.png", "a2.png"], ["b1.png", "b2.png"], { model });
 */
export async function perceptualDistance<Options extends PerceptualOptions>(
  a: readonly ImageSource[],
  b: readonly ImageSource[],
  options: Options,
): Promise<DistanceOf<Options>>;
/**
 * Computes LPIPS of Tensors (N, 3, H, W) float32 with samples in [-1, 1], as the reference takes them. Samples are not
 * checked. Tensors are copied before this returns.
 * @example
 * const [a, b] = [Tensor.zeros([1, 3, 64, 64]), Tensor.randn([1, 3, 64, 64])];
 * const { map } = await perceptualDistance(a, b, { model, map: true }); // (1, 1, 64, 64)
 */
export async function perceptualDistance<Options extends PerceptualOptions>(
  a: Tensor<"float32">,
  b: Tensor<"float32">,
  options: Options,
): Promise<DistanceOf<Options>>;
export async function perceptualDistance(
  a: ImageSource | readonly ImageSource[] | Tensor<"float32">,
  b: ImageSource | readonly ImageSource[] | Tensor<"float32">,
  options: PerceptualOptions,
): Promise<PerceptualDistance> {
  const { model, map, resize, signal, batchSize, maxPixels } = checkOptions(options);
  const graphOf = graphsOf(model);
  let reads: ReadPair[];
  let sources: OpenedSource[] = [];
  if (tensorOf(a, "a") !== undefined) {
    if (resize !== undefined)
      throw rangeError("no value, since Tensors are not resized,", "options.resize", resize);
    reads = openTensors(a, b, maxPixels);
  } else {
    const orientation = model.preprocessing?.orientation ?? true;
    const reading = { resize, maxPixels, orientation, resizeName: "the option resize" };
    const call = {};
    const pairs = openImages(a, b);
    sources = pairs.flatMap((pair) => pair.map(({ source }) => source));
    reads = pairs.map((pair) => imagePair(pair, reading, call));
  }
  const all = { batchSize, signal, maxPixels: maxRunPixels, wantsMap: map };
  const distances: PairDistance[] = [];
  let size: readonly [height: number, width: number] | undefined;
  try {
    for await (const outcome of comparePairwise(graphOf, reads, all)) {
      if (isFailure(outcome)) throw outcome.error;
      const { height, width, distance } = outcome;
      size ??= [height, width];
      if (map && (size[0] !== height || size[1] !== width)) {
        const received = `${size[1]} × ${size[0]} and ${width} × ${height}`;
        throw new RangeError(`Expected pairs of one size for options.map but received ${received}`);
      }
      distances.push(distance);
    }
  } catch (error) {
    discardAll(sources);
    throw error;
  }
  return {
    total: distances.map(({ total }) => total),
    layers: layers.map((_, layer) => distances.map(({ layers: shares }) => shares[layer]!)),
    ...(map ? { map: mapOf(distances, size!) } : {}),
  };
}

function mapOf(
  distances: readonly PairDistance[],
  size: readonly [number, number],
): Tensor<"float32"> {
  const area = size[0] * size[1];
  const data = new Float32Array(distances.length * area);
  for (const [index, { map }] of distances.entries()) data.set(map!, index * area);
  return new Tensor([distances.length, 1, ...size], data);
}
