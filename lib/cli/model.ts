// Loads the model of a command line: weights from a file or by name, on the given device.
import { basename } from "node:path";
import { type Command, Option } from "commander";
import { checkInteger } from "../check.js";
import type { Device } from "../device/device.js";
import { openDevice } from "../device/device.js";
import { isWeightsName, knownWeights, pullWeights } from "../vgg/known-weights.js";
import { labelsOfText } from "../vgg/label-file.js";
import { Vgg } from "../vgg/model.js";
import { listNames } from "../vgg/names/refusal.js";
import type { LoadReport } from "../vgg/options.js";
import { type Architecture, architectures } from "../vgg/topology.js";
import { downloadLine } from "./download-progress.js";
import { readText } from "./input.js";
import { type DeviceOptions, integer, withDevice, withRequired } from "./options.js";
import { type PreprocessFlags, preprocessOf, withPreprocess } from "./preprocess.js";
import { writeError } from "./text.js";

export interface WeightsOptions extends DeviceOptions, PreprocessFlags {
  arch?: Architecture;
  weights: string;
  imageSize?: number;
  labels?: string;
  key?: string;
  prefix?: string;
  batchSize: number;
  /** Shows no progress of the load. */
  quiet?: boolean;
}

/** The network of `--weights DEFAULT` without `--arch`. */
export const usualArch: Architecture = "vgg11";

/** Adds the options that name a file of weights and a device. */
export function withWeightsFile(of: Command): Command {
  withDevice(of)
    .option("--weights <file>", "a .pth or .safetensors file, or DEFAULT for torchvision's own")
    .option("--key <name>", "which state dict to use if the checkpoint has several")
    .option("--prefix <text>", "use only names that begin so, if the file has several networks");
  return withRequired(of, "--weights <file>", "; --weights DEFAULT downloads torchvision's");
}

/** Adds the options of the network that the weights belong to. */
export function withNetwork(of: Command): Command {
  return of
    .addOption(
      new Option(
        "--arch <name>",
        `network (default: the file says it; ${usualArch} for DEFAULT)`,
      ).choices(architectures),
    )
    .option(
      "--image-size <pixels>",
      "height and width of the network's input (default: the file's, otherwise 224)",
      integer,
    );
}

export function withBatchSize(of: Command, noun = "images"): Command {
  return of.option("--batch-size <count>", `${noun} that go to the device at once`, integer, 8);
}

/** Adds the options of a network that takes images. */
export function withImages(of: Command): Command {
  return withPreprocess(withBatchSize(withNetwork(withWeightsFile(of))));
}

/** Adds the options of a network that names classes. */
export function withWeights(of: Command): Command {
  return withImages(of).option(
    "--labels <file>",
    "names of the classes: one a line, numbered, or JSON (class_to_idx, id2label)",
  );
}

export async function loadModel(options: WeightsOptions): Promise<Vgg> {
  const { weights, precision, imageSize, key, prefix } = options;
  checkInteger(options.batchSize, "--batch-size", 1, 4096);
  const labels =
    options.labels === undefined
      ? undefined
      : labelsOfText(await readText(options.labels, "--labels"), "--labels");
  const device: Device = await openDevice(options.device);
  const isKnown = isWeightsName(weights);
  const arch = options.arch ?? (isKnown ? usualArch : undefined);
  const preprocess = preprocessOf(options);
  const file = isKnown ? knownWeights(arch!, weights).file : basename(weights);
  const line = options.quiet === true ? undefined : await downloadLine(file);
  const loading = {
    device,
    precision,
    ...(imageSize === undefined ? {} : { imageSize }),
    ...(labels === undefined ? {} : { labels }),
    ...(key === undefined ? {} : { key }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(Object.keys(preprocess).length === 0 ? {} : { preprocess }),
    ...(line === undefined ? {} : { onProgress: line.show }),
  };
  const model = await (arch === undefined
    ? Vgg.load(weights, loading)
    : Vgg.load(arch, weights, loading)
  ).finally(line?.stop);
  sayIgnored(model.arch, model.loadReport);
  return model;
}

/** Says on stderr which names of a file were skipped, and what else of it is not used. */
export function sayIgnored(
  arch: Architecture,
  report: Pick<LoadReport, "path" | "ignored" | "warnings"> | undefined,
): void {
  if (report === undefined) return;
  const { path, ignored, warnings } = report;
  for (const warning of warnings) writeError(`vgg: ${warning}\n`);
  if (ignored.length === 0) return;
  const what = ignored.length === 1 ? "1 name is" : `${ignored.length} names are`;
  writeError(`vgg: ${path}: ${what} not of the ${arch} and skipped: ${listNames(ignored)}\n`);
}

/** Returns the path of a file, or of published weights, which are downloaded with a line of progress. */
export async function weightsPath(arch: Architecture, weights: string): Promise<string> {
  if (!isWeightsName(weights)) return weights;
  const line = await downloadLine(knownWeights(arch, weights).file);
  return pullWeights(arch, weights, { onProgress: line.show }).finally(line.stop);
}
