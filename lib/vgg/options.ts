// The options of models and their methods: types and checks.
import { types } from "node:util";
import type { BatchingOptions, QueueOptions } from "../batch/options.js";
import { checkOneOf, describe, isPlainObject, optionOf, rangeError, typeError } from "../check.js";
import type { ReadOptions } from "../checkpoint/checkpoint.js";
import { labelsFrom } from "../checkpoint/labels.js";
import { Device, type DeviceId, type DeviceTensor, openDevice } from "../device/device.js";
import type { Progress } from "../download/download.js";
import { type Precision, precisions } from "../dtype.js";
import { VggError } from "../errors.js";
import type { PreprocessingOptions } from "../image/preprocessing.js";
import { imagenetLabels } from "./labels.js";
import type { LayerName } from "./layers.js";
import type { TopologyOptions } from "./topology.js";

/**
 * Names of classes in the forms in which people store them: a list in the order of the classes, names to numbers
 * (`class_to_idx`), numbers to names (`idx_to_class`, `id2label`), numbers to ImageNet's pairs
 * (`{"0": ["n01440764", "tench"]}`), or an object that has one of these under a usual name, such as a config.json.
 */
export type ClassNames =
  | readonly string[]
  | Readonly<Record<string, unknown>>
  | ReadonlyMap<string | number, unknown>;

/** Options that `Vgg.create` and `Vgg.load` share. */
export interface VggOptions extends TopologyOptions {
  /** The device, or its id. Default "auto". A device that the model opened is released with the model. */
  device?: Device | DeviceId | undefined;
  /**
   * A folder of plans and kernels that `vgg plan --out` made, for a GPU that the model opens: as `openDevice`'s option.
   * Not with a Device. Default: the environment variable VGG_PLANS, or none.
   */
  plans?: string | undefined;
  /** The arithmetic, one of `device.info.precisions`. Default "float32". */
  precision?: Precision | undefined;
  /**
   * The names of the classes, one for each; `readLabels` reads them from a file. Default: the file's, or else ImageNet's
   * if there are 1000 classes.
   */
  labels?: ClassNames | undefined;
  /**
   * How images become the network's input. Parts that are not given come from the file, or else are as for torchvision's
   * weights. `crop` is the image size, and `channels` must be `inChannels`. A network with other than 1 or 3 channels
   * takes none.
   */
  preprocess?: PreprocessingOptions | undefined;
  /**
   * Bounds for calls of `classify`, `embed` and `forward` with `batched: true` that are under way at the same time: they
   * share runs. Their results may differ by some 1e-6 from what one image alone gives. false: each call has its own run, and
   * gives the same bits every time. Default {}.
   */
  batching?: false | BatchingOptions | undefined;
}

/** Options of `Vgg.create`. */
export interface CreateOptions extends VggOptions {
  /** An integer from 0 to 2^53 - 1. Default 0. A seed gives the same parameters on every machine. */
  seed?: number | undefined;
}

/**
 * Options of `load`. `inChannels` and `numClasses` come from the file; if they are given, they must agree with it.
 * `imageSize`, `labels` and parts of `preprocess` come from it or from JSON beside it, if they are there and not given.
 */
export interface LoadOptions extends VggOptions, ReadOptions {
  /**
   * Considers only names that begin with this, such as "student.", in a file with several networks. "": only names with
   * nothing before torchvision's. Default: all names.
   */
  prefix?: string | undefined;
  /** Aborts a download. */
  signal?: AbortSignal | undefined;
  /** Called as bytes of published weights arrive, as in `pullWeights`, and then as the file is read (`isReading`). */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Where a model's parameters came from. */
export interface LoadReport {
  /** The path of the file. */
  readonly path: string;
  /** The format of the file. */
  readonly format: "pytorch" | "pytorch-legacy" | "safetensors";
  /** Whose names the parameters have in the file. */
  readonly names: "torchvision" | "timm" | "tutorial";
  /** Names in the file that are no parameters of the network, in the file's order. They were not read. */
  readonly ignored: readonly string[];
  /** The paths of JSON files beside it that say how images become the network's input. */
  readonly configs: readonly string[];
  /** Sentences about what the file or the JSON beside it has and what is not used: class names, another state dict. */
  readonly warnings: readonly string[];
}

/** Options of `classify` and `classifyEach`. */
export interface ClassifyOptions {
  /** The number of classes to return, the best first. Default 5, or all if there are fewer. */
  top?: number | undefined;
  /** The number of images in one batch on the device. Default 8. */
  batchSize?: number | undefined;
  /** Stops the decoding and the device's work. The call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Replaces parts of the model's `preprocessing` for this call. `crop` may be any size from 32 pixels to `resize`. */
  preprocess?: PreprocessingOptions | undefined;
}

/** Options of `forward` for the logits. The options of QueueOptions need `batched: true`. */
export interface ForwardOptions extends QueueOptions {
  /** Drops work that has not started, else stops it between two layers. `forward` rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Receives the logits instead of a new Tensor: (N, numClasses) float32 on the model's device. */
  into?: DeviceTensor | undefined;
  /** Whether calls under way at the same time share runs, as calls of `classify` do. The input is a Tensor. Default false. */
  batched?: boolean | undefined;
}

/** Options of `forward` for the outputs of layers. The options of QueueOptions need `batched: true`. */
export interface LayerOptions<Name extends LayerName> extends QueueOptions {
  /** Drops work that has not started, else stops it between two layers. `forward` rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * The layers to return: torchvision's module names, or the groups "features" and "classifier". Each output is taken
   * before the ReLU that follows the layer; the ReLU has a name of its own.
   */
  outputs: readonly Name[];
  /** Receive outputs by name instead of new Tensors. */
  into?: { readonly [Key in Name]?: DeviceTensor | undefined } | undefined;
  /** As in ForwardOptions. Default false. */
  batched?: boolean | undefined;
}

/** The names of the options in VggOptions. */
export const optionNames = Object.freeze([
  ...["device", "plans", "precision"],
  ...["inChannels", "numClasses", "hiddenFeatures", "imageSize"],
  ...["labels", "preprocess", "batching"],
]);

/**
 * Opens the device, and checks that it offers the precision.
 * @throws {TypeError|RangeError} unknown device or precision, or no folder of plans
 * @throws {VggError} UNSUPPORTED, DEVICE_UNAVAILABLE, ADDON_MISSING
 */
export async function openDeviceOf(
  options: VggOptions,
): Promise<{ device: Device; precision: Precision }> {
  const precision = checkOneOf(optionOf(options, "precision", "float32"), "precision", precisions);
  const device = optionOf(options, "device", "auto");
  const plans = optionOf(options, "plans");
  if (device instanceof Device && plans !== undefined)
    throw typeError("no plans beside a Device, which openDevice opens with them,", "plans", plans);
  const opened = device instanceof Device ? device : await openDevice(device, { plans });
  if (!opened.info.precisions.includes(precision)) {
    throw new VggError(
      "UNSUPPORTED",
      `precision ${describe(precision)} is not available on ${opened.id}, which has ${opened.info.precisions.join(", ")}`,
    );
  }
  return { device: opened, precision };
}

/**
 * Reads class names of any form.
 * @throws {TypeError} none of the forms @throws {RangeError} a number is missing or occurs twice
 */
export function readClassNames(labels: unknown): readonly string[] | undefined {
  if (labels === undefined) return undefined;
  const isObject = typeof labels === "object" && labels !== null;
  const names = isObject ? labelsFrom(labels) : undefined;
  if (names !== undefined) return Object.freeze([...names]);
  if (Array.isArray(labels) && labels.length === 0) return Object.freeze([]);
  if (isObject && !Array.isArray(labels) && (isPlainObject(labels) || types.isMap(labels)))
    throw rangeError("names with the numbers 0 to n - 1, each once,", "labels", labels);
  throw typeError("an array of strings, or names with numbers,", "labels", labels);
}

/**
 * Returns the labels of `numClasses` classes: the given ones, or ImageNet's if they have the same number.
 * @throws {TypeError|RangeError} the errors of `readClassNames`; another number of labels
 */
export function checkLabels(labels: unknown, numClasses: number): readonly string[] | undefined {
  const names = readClassNames(labels);
  if (names === undefined) return numClasses === imagenetLabels.length ? imagenetLabels : undefined;
  if (names.length !== numClasses) {
    throw new RangeError(
      `Expected ${numClasses} names, one for each class, for labels but received ${names.length}`,
    );
  }
  return names;
}
