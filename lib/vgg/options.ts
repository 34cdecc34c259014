// What models are made and called with: the types of the options, and their checks.
import { checkOneOf, describe, optionOf, typeError } from "../check.js";
import type { ReadOptions } from "../checkpoint/checkpoint.js";
import { Device, type DeviceId, type DeviceTensor, openDevice } from "../device/device.js";
import { type Precision, precisions } from "../dtype.js";
import { VggError } from "../errors.js";
import { imagenetLabels } from "./labels.js";
import type { TopologyOptions } from "./topology.js";

export interface VggOptions extends TopologyOptions {
  /** Default "auto". A device that is opened here is let go of with the model. */
  device?: Device | DeviceId;
  /** Default "float32". */
  precision?: Precision;
  /** The names of the classes, one for each. Default: ImageNet's where there are 1000 classes. */
  labels?: readonly string[];
}

export interface CreateOptions extends VggOptions {
  /** An integer from 0 to 2^53 - 1, default 0: the same parameters on every machine. */
  seed?: number;
}

/** `inChannels` and `numClasses` are the file's; given as well, they must agree with it. */
export interface LoadOptions extends VggOptions, ReadOptions {
  /** Stops a download. */
  signal?: AbortSignal;
}

export interface ClassifyOptions {
  /** How many classes, the best first. Default 5, or all where there are fewer. */
  top?: number;
  /** How many images go to the device at once, default 8. */
  batchSize?: number;
  signal?: AbortSignal;
}

export interface ForwardOptions {
  /** Drops the work if it has not started, stops it between two layers if it has; forward rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Where the logits go instead of a new Tensor: (N, numClasses) float32 on the model's device. */
  into?: DeviceTensor;
}

export interface LayerOptions<Name extends string> {
  signal?: AbortSignal;
  /** torchvision's module names: the outputs of these layers are returned, before the ReLU that follows them. */
  outputs: readonly Name[];
  /** Where outputs go instead of a new Tensor, by name. */
  into?: Partial<Record<Name, DeviceTensor>>;
}

/** The names of those of VggOptions. */
export const optionNames = Object.freeze([
  ...["device", "precision"],
  ...["inChannels", "numClasses", "imageSize", "labels"],
]);

/**
 * The device, opened, and a precision that it has.
 * @throws {TypeError|RangeError} unknown device or precision @throws {VggError} UNSUPPORTED, DEVICE_UNAVAILABLE, ADDON_MISSING
 */
export async function openDeviceOf(
  options: VggOptions,
): Promise<{ device: Device; precision: Precision }> {
  const precision = checkOneOf(optionOf(options, "precision", "float32"), "precision", precisions);
  const device = optionOf(options, "device", "auto");
  const opened = device instanceof Device ? device : await openDevice(device);
  if (!opened.info.precisions.includes(precision)) {
    throw new VggError(
      "UNSUPPORTED",
      `Expected one of ${opened.info.precisions.join(", ")}, which ${opened.id} offers, for precision but received ${describe(precision)}`,
    );
  }
  return { device: opened, precision };
}

/**
 * The labels for so many classes: those given, or ImageNet's where there are as many.
 * @throws {TypeError} no array of strings @throws {RangeError} another number of them
 */
export function checkLabels(labels: unknown, numClasses: number): readonly string[] | undefined {
  if (labels === undefined)
    return numClasses === imagenetLabels.length ? imagenetLabels : undefined;
  if (!Array.isArray(labels) || !labels.every((label) => typeof label === "string")) {
    throw typeError("an array of strings", "labels", labels);
  }
  if (labels.length !== numClasses) {
    throw new RangeError(
      `Expected ${numClasses} names, one for each class, for labels but received ${labels.length}`,
    );
  }
  return Object.freeze([...labels]);
}
