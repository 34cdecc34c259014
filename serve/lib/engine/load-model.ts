// Loads the weights of a model onto a device, with the options of its configuration.
import { type Architecture, architectures, type Device, readLabels, Vgg } from "vgg-cudnn";
import { isPublished } from "../settings/config.js";
import type { ModelOptions } from "../settings/options.js";

/** What a model is loaded from. */
export interface ModelSource {
  /** The model's name, which is the architecture of published weights if none is given. */
  readonly name: string;
  readonly weights: string;
  readonly options: ModelOptions;
  readonly maxPixels: number | undefined;
}

/**
 * Loads weights as the options say.
 * @throws the errors of `Vgg.load`; the reason of `signal`
 */
export async function loadModel(
  { name, weights, options, maxPixels }: ModelSource,
  device: Device,
  signal?: AbortSignal,
): Promise<Vgg> {
  const { arch, key, prefix, imageSize, precision, labels, batching } = options;
  const preprocess = { ...options.preprocess, ...(maxPixels !== undefined && { maxPixels }) };
  const names = typeof labels === "string" ? await readLabels(labels) : labels;
  const given = {
    device,
    ...(signal !== undefined && { signal }),
    ...(key !== undefined && { key }),
    ...(prefix !== undefined && { prefix }),
    ...(imageSize !== undefined && { imageSize }),
    ...(precision !== undefined && { precision }),
    ...(names !== undefined && { labels: names }),
    ...(batching !== undefined && { batching }),
    ...(Object.keys(preprocess).length > 0 && { preprocess }),
  };
  const named = architectures.find((each) => each === name) ?? "vgg11";
  const network = arch ?? (isPublished(weights) ? named : undefined);
  return network === undefined
    ? Vgg.load(weights, given)
    : Vgg.load(network as Architecture, weights, given);
}
