// LPIPS, the perceptual distance of images: Zhang et al., "The unreasonable effectiveness of deep features as a
// perceptual metric", CVPR 2018, version 0.1 with VGG16.
import { checkInteger, checkSignal, rangeError, readOptions, typeError } from "../check.js";
import { Tensor } from "../tensor.js";
import { Vgg } from "../vgg/model.js";
import { maxRunPixels, type PairDistance } from "./compare.js";
import { comparePairwise } from "./each.js";
import { openTensors } from "./pairs.js";
import { layers } from "./record.js";

/** Options of `perceptualDistance`. */
export interface PerceptualOptions {
  /** A live "vgg16" with 3 channels. LPIPS is defined with torchvision's weights, "DEFAULT". */
  model: Vgg;
  /** Whether to return the distance of each pixel too. Default false. */
  map?: boolean;
  /** Stops the decoding and the device's work. The call rejects with the signal's reason. */
  signal?: AbortSignal;
  /** The number of pairs in one batch on the device, at most. Large images are computed one pair at a time. Default 8. */
  batchSize?: number;
  /** Limit of width times height of an image, in pixels. Default 100 million. */
  maxPixels?: number;
}

/** The result of `perceptualDistance`. */
export interface PerceptualDistance {
  /** The distance of each pair: 0 for equal images, rarely above 1. */
  readonly total: number[];
  /** By layer (relu1_2, relu2_2, relu3_3, relu4_3, relu5_3): the share of each pair. The shares of a pair add up to its total. */
  readonly layers: number[][];
  /** The distance of each pixel, (N, 1, H, W) float32, if `map` asks for it. The mean of a pair's map is about its total. */
  readonly map?: Tensor;
}

/**
 * Computes LPIPS.
 */
export async function perceptualDistance(
  a: Tensor,
  b: Tensor,
  options: PerceptualOptions,
): Promise<PerceptualDistance> {
  const known = ["model", "map", "signal", "batchSize", "maxPixels"];
  const given = readOptions(options, "options", known);
  const { model, map = false, signal, batchSize = 8, maxPixels = 100_000_000 } = given;
  if (!(model instanceof Vgg)) throw typeError("a Vgg", "options.model", model);
  if (model.arch !== "vgg16") throw rangeError("a vgg16", "options.model", model.arch);
  if (model.inChannels !== 3)
    throw new RangeError(
      `Expected a model of 3 channels for options.model but this one has ${model.inChannels}`,
    );
  if (typeof map !== "boolean") throw typeError("a boolean", "options.map", map);
  checkSignal(signal);
  checkInteger(batchSize, "options.batchSize", 1, 4096);
  checkInteger(maxPixels, "options.maxPixels", 1, 2 ** 31 - 1);
  signal?.throwIfAborted();
  const reads = openTensors(a, b, maxPixels);
  const outcomes = comparePairwise(
    (samples, height, width) => model.graphs.perceptual(samples, height, width),
    reads,
    { batchSize, signal, maxPixels: maxRunPixels, wantsMap: map },
  );
  const distances: PairDistance[] = [];
  let size: readonly number[] | undefined;
  for await (const outcome of outcomes) {
    if ("error" in outcome) throw outcome.error;
    const { height, width, distance } = outcome;
    size ??= [height, width];
    distances.push(distance);
  }
  return {
    total: distances.map(({ total }) => total),
    layers: layers.map((_, layer) => distances.map(({ layers: shares }) => shares[layer]!)),
    ...(map ? { map: mapOf(distances, size!) } : {}),
  };
}

function mapOf(distances: readonly PairDistance[], size: readonly number[]): Tensor {
  const area = size[0]! * size[1]!;
  const data = new Float32Array(distances.length * area);
  for (const [index, { map }] of distances.entries()) data.set(map!, index * area);
  return new Tensor([distances.length, 1, ...size], data);
}
