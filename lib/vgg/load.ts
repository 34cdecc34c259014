// Loads weights: finds the file, checks it against the options, and opens a model that takes its values.
import { checkSignal, readOptions, typeError } from "../check.js";
import { readOptionNames } from "../checkpoint/checkpoint.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { VggError } from "../errors.js";
import { isWeightsName, pullWeights } from "./known-weights.js";
import {
  checkLabels,
  type LoadOptions,
  openDeviceOf,
  optionNames,
  type VggOptions,
} from "./options.js";
import type { ModelState } from "./state.js";
import { type Architecture, topology } from "./topology.js";
import { type IdentifiedWeights, identifyWeights } from "./weight-names.js";

/**
 * Opens the file of a path or of known weights while `open` makes a model of it.
 * @param open takes the options with what the file decides, and a function that fills a model's parameters
 */
export async function loadWeights<Model>(
  arch: Architecture,
  source: string,
  options: LoadOptions,
  open: (options: VggOptions, fill: (state: ModelState) => Promise<void>) => Promise<Model>,
): Promise<Model> {
  const known = [...optionNames, ...readOptionNames, "signal"];
  const given = readOptions(options, "options", known);
  if (typeof source !== "string")
    throw typeError("a path or the name of known weights", "source", source);
  const { key, verify, maxHeaderBytes, signal } = given;
  checkSignal(signal);
  signal?.throwIfAborted();
  topology(arch, given);
  // Check all that can be checked without the file before a download of half a gigabyte.
  const { device, precision } = await openDeviceOf(given);
  checkLabels(given.labels, given.numClasses ?? given.labels?.length ?? 0);
  const path = isWeightsName(source)
    ? await pullWeights(arch, source, signal === undefined ? {} : { signal })
    : source;
  const reading = {
    ...(key === undefined ? {} : { key }),
    ...(verify === undefined ? {} : { verify }),
    ...(maxHeaderBytes === undefined ? {} : { maxHeaderBytes }),
  };
  const checkpoint = await openCheckpoint(path, reading);
  try {
    const weights = identifyWeights(path, arch, checkpoint.tensors);
    checkAgreement(path, given, weights);
    const { inChannels, numClasses } = weights;
    const stored = checkpoint.contents.labels;
    const labels = given.labels ?? (stored?.length === numClasses ? stored : undefined);
    const complete = {
      ...given,
      device,
      precision,
      inChannels,
      numClasses,
      ...(labels === undefined ? {} : { labels }),
    };
    return await open(complete, (state) => state.loadCheckpoint(checkpoint, weights));
  } finally {
    await checkpoint.close();
  }
}

/** @throws {VggError} STATE_DICT_MISMATCH the options claim other channels or classes than the file has */
function checkAgreement(path: string, options: VggOptions, weights: IdentifiedWeights): void {
  for (const name of ["inChannels", "numClasses"] as const) {
    if (options[name] !== undefined && options[name] !== weights[name]) {
      const message = `${path}: Expected ${name} ${options[name]} as in the options but the file has ${weights[name]}`;
      throw new VggError("STATE_DICT_MISMATCH", message);
    }
  }
}
