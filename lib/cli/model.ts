// Loads the model of a command line: weights from a file or by name, on the given device.
import { type Command, InvalidArgumentError, Option } from "commander";
import { checkInteger } from "../check.js";
import type { Device } from "../device/device.js";
import { openDevice } from "../device/device.js";
import { fileError, isMissing } from "../files/errors.js";
import { readWhole } from "../files/read-whole.js";
import { Vgg } from "../vgg/model.js";
import { type Architecture, architectures } from "../vgg/topology.js";
import { type DeviceOptions, integer, withDevice, withRequired } from "./options.js";

export interface WeightsOptions extends DeviceOptions {
  arch: Architecture;
  weights: string;
  imageSize: number;
  labels?: string;
  key?: string;
  batchSize: number;
}

export function withWeights(of: Command): Command {
  withDevice(of)
    .addOption(new Option("--arch <name>", "network").choices(architectures).default("vgg11"))
    .option("--weights <file>", "a .pth or .safetensors file, or DEFAULT for torchvision's own")
    .option("--key <name>", "which state dict to use if the checkpoint has several")
    .option("--image-size <pixels>", "height and width of the network's input", integer, 224)
    .option("--labels <file>", "names of the classes: one a line, or a JSON list")
    .option("--batch-size <count>", "images that go to the device at once", integer, 8);
  return withRequired(of, "--weights <file>", "; --weights DEFAULT downloads torchvision's");
}

export async function loadModel(options: WeightsOptions): Promise<Vgg> {
  const { arch, weights, precision, imageSize, key } = options;
  checkInteger(options.batchSize, "--batch-size", 1, 4096);
  const labels = options.labels === undefined ? undefined : await readLabels(options.labels);
  const device: Device = await openDevice(options.device);
  return Vgg.load(arch, weights, {
    device,
    precision,
    imageSize,
    ...(labels === undefined ? {} : { labels }),
    ...(key === undefined ? {} : { key }),
  });
}

/**
 * Reads a file of class names.
 * @throws {InvalidArgumentError} no such file, or not a list of strings
 * @throws {VggError} FOLDER_UNUSABLE
 */
export async function readLabels(path: string): Promise<string[]> {
  const text = await readWhole(path).catch((cause: NodeJS.ErrnoException) => {
    if (!isMissing(cause) && cause.code !== "EISDIR") throw fileError(cause, path);
    throw new InvalidArgumentError(
      `Expected a file for --labels but received ${path} (${cause.code})`,
    );
  });
  if (!text.trimStart().startsWith("[")) return text.split(/\r?\n/).filter((line) => line !== "");
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((item) => typeof item === "string"))
      return list as string[];
  } catch {
    // The error is thrown below.
  }
  throw new InvalidArgumentError(`Expected a list of strings in ${path}`);
}
