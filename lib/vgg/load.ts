// Loads weights: finds the file, checks it against the options, and opens a model that takes its values.
import { readBatching } from "../batch/options.js";
import { checkOneOf, checkSignal, readOptions, typeError } from "../check.js";
import { type Contents, readOptionNames } from "../checkpoint/checkpoint.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { onCommandLine, VggError } from "../errors.js";
import { isWeightsName, pullWeights } from "./known-weights.js";
import {
  checkLabels,
  type LoadOptions,
  type LoadReport,
  openDeviceOf,
  optionNames,
  readClassNames,
  type VggOptions,
} from "./options.js";
import { readPreprocess } from "./preprocessing/fits.js";
import { combine } from "./preprocessing/statement.js";
import { readStated, type Stated, statedImageSize, warningsAbout } from "./preprocessing/stored.js";
import { storedImageSize } from "./save.js";
import type { ModelState } from "./state.js";
import { type Architecture, architectures, topology, usualImageSize } from "./topology.js";
import { type IdentifiedWeights, identifyWeights } from "./weight-names.js";

interface LoadCall {
  /** Undefined: the file decides. */
  readonly arch: Architecture | undefined;
  readonly source: string;
  readonly options: LoadOptions;
}

/**
 * Tells the two forms of `Vgg.load` apart: a string in the second place is the source.
 * @throws {TypeError} an argument of another type
 * @throws {RangeError} an unknown architecture, an architecture without a source, or known weights without one
 */
export function readLoadArguments(
  first: unknown,
  second: unknown,
  third: LoadOptions | undefined,
): LoadCall {
  const isArch = architectures.includes(first as Architecture);
  if (typeof second === "string") {
    const arch = checkOneOf(first, "arch", architectures);
    return { arch, source: second, options: third ?? {} };
  }
  if (typeof first !== "string")
    throw typeError("a path, or an architecture and a path,", "source", first);
  const isOptions = second === undefined || (typeof second === "object" && second !== null);
  if (third !== undefined || !isOptions)
    throw typeError("a path or the name of known weights", "source", second);
  if (isArch) {
    const error = new RangeError(
      `Expected a source beside the architecture, as in Vgg.load("${first}", "DEFAULT") or Vgg.load("${first}", path), but received none; a file of this name is "./${first}"`,
    );
    throw onCommandLine(
      error,
      `Expected a file or DEFAULT for --weights but received "${first}"; --arch ${first} --weights DEFAULT takes torchvision's, and a file of this name is "./${first}"`,
    );
  }
  if (isWeightsName(first)) {
    throw new RangeError(
      `Expected an architecture before "${first}", as in Vgg.load("vgg11", "${first}"), but received none; there are ${architectures.join(", ")}`,
    );
  }
  return { arch: undefined, source: first, options: (second ?? {}) as LoadOptions };
}

/** Makes a model of the options with what the file decides. `fill` writes its parameters. */
type Open<Model> = (
  arch: Architecture,
  options: VggOptions,
  fill: (state: ModelState) => Promise<void>,
  report: LoadReport,
) => Promise<Model>;

const ownNames = ["prefix", "signal", "onProgress"];

/** Opens the file of a path or of known weights while `open` makes a model of it. */
export async function loadWeights<Model>(
  { arch, source, options }: LoadCall,
  open: Open<Model>,
): Promise<Model> {
  const known = [...optionNames, ...readOptionNames, ...ownNames];
  const given = readPreprocess(readOptions(options, "options", known));
  const { key, verify, maxHeaderBytes, prefix, signal, onProgress } = given;
  checkOwn(given);
  signal?.throwIfAborted();
  topology(arch ?? "vgg11", given);
  readBatching(given.batching);
  // Check all that can be checked without the file before a download of half a gigabyte.
  const { device, precision } = await openDeviceOf(given);
  const names = readClassNames(given.labels);
  checkLabels(names, given.numClasses ?? names?.length ?? 0);
  const isKnown = arch !== undefined && isWeightsName(source);
  const path = isKnown
    ? await pullWeights(arch, source, {
        ...(signal === undefined ? {} : { signal }),
        ...(onProgress === undefined ? {} : { onProgress }),
      })
    : source;
  const checkpoint = await openCheckpoint(path, {
    ...(key === undefined ? {} : { key }),
    ...(verify === undefined ? {} : { verify }),
    ...(maxHeaderBytes === undefined ? {} : { maxHeaderBytes }),
  });
  try {
    const weights = identifyWeights({ path, arch, prefix }, checkpoint.tensors);
    checkAgreement(path, given, weights);
    const stated = await readStated(path, checkpoint.contents.metadata, weights.arch, isKnown);
    const complete = {
      ...given,
      ...decidedByFile({ ...given, labels: names }, weights, checkpoint.contents, stated),
      ...{ device, precision },
    };
    const report = Object.freeze({
      path,
      format: checkpoint.contents.format,
      names: weights.scheme,
      ignored: Object.freeze(weights.ignored),
      configs: Object.freeze(stated.configs),
      warnings: Object.freeze(
        warningsAbout(path, checkpoint.contents, stated, weights.numClasses, names === undefined),
      ),
    });
    const fill = (state: ModelState) => state.loadCheckpoint(checkpoint, weights, onProgress);
    return await open(weights.arch, complete, fill, report);
  } finally {
    await checkpoint.close();
  }
}

/** @throws {TypeError} an option of `load` alone of another type */
function checkOwn({ prefix, signal, onProgress }: LoadOptions): void {
  checkSignal(signal);
  if (prefix !== undefined && typeof prefix !== "string")
    throw typeError("a string", "options.prefix", prefix);
  if (onProgress !== undefined && typeof onProgress !== "function")
    throw typeError("a function", "options.onProgress", onProgress);
}

/** Returns the options that come from the file and the files beside it, as far as the caller did not give them. */
function decidedByFile(
  given: LoadOptions & { labels: readonly string[] | undefined },
  { inChannels, numClasses, hiddenFeatures }: IdentifiedWeights,
  { labels: stored, metadata }: Contents,
  { statements, labels: beside }: Stated,
): Partial<VggOptions> {
  const labels = given.labels ?? [stored, beside].find((each) => each?.length === numClasses);
  const imageSize = given.imageSize ?? storedImageSize(metadata) ?? statedImageSize(statements);
  const sizes = { inChannels, imageSize: imageSize ?? usualImageSize };
  const preprocess = combine(given.preprocess, statements, sizes) ?? given.preprocess;
  return {
    ...{ inChannels, numClasses, hiddenFeatures },
    ...(imageSize === undefined ? {} : { imageSize }),
    ...(labels === undefined ? {} : { labels }),
    ...(preprocess === undefined ? {} : { preprocess }),
  };
}

/** @throws {VggError} STATE_DICT_MISMATCH the options claim other sizes than the file has */
function checkAgreement(path: string, options: VggOptions, weights: IdentifiedWeights): void {
  for (const name of ["inChannels", "numClasses", "hiddenFeatures"] as const) {
    if (options[name] !== undefined && options[name] !== weights[name]) {
      const message = `${path}: Expected ${name} ${options[name]} as in the options but the file has ${weights[name]}`;
      throw new VggError("STATE_DICT_MISMATCH", message);
    }
  }
}
