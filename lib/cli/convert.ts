// `vgg convert`: converts weights from one file format to another, optionally to half precision.
import { stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import { type Command, Option } from "commander";
import { describe, rangeError } from "../check.js";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { convertTensor, type FloatType, floatTypes } from "../checkpoint/convert.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { writePytorch } from "../checkpoint/pytorch/write.js";
import { type LazyTensor, writeTensors } from "../checkpoint/safetensors.js";
import { commandLineMessage, VggError } from "../errors.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { combine } from "../vgg/preprocessing/statement.js";
import { readStated, statedImageSize } from "../vgg/preprocessing/stored.js";
import { describedBy, storedImageSize } from "../vgg/save.js";
import { usualImageSize } from "../vgg/topology.js";
import { type IdentifiedWeights, identifyWeights } from "../vgg/weight-names.js";
import { command, type OutputOptions, print } from "./options.js";
import { writeError } from "./text.js";

interface ConvertOptions extends OutputOptions {
  precision?: FloatType;
  key?: string;
}

const writers = [".safetensors", ".pth", ".pt"];

export function convertCommand(): Command {
  return command("convert", "write weights in another format; needs no addon")
    .argument("<in>", "a .pth (zip or legacy) or .safetensors file")
    .argument("<out>", "a name that ends in .safetensors, .pth or .pt")
    .addOption(
      new Option(
        "--precision <name>",
        "precision of floating-point tensors (default: unchanged)",
      ).choices(floatTypes),
    )
    .option("--key <name>", "which state dict to use if the checkpoint has several")
    .action(convert);
}

/** What goes into the new file beside the tensors, and what does not. */
interface Carried {
  readonly metadata: Readonly<Record<string, string>>;
  /** The parts that the new file does not have, in words. */
  readonly lost: readonly string[];
}

/** Finds the network, if the file is one of the family. Other state dicts can be converted too. */
function networkIn(path: string, { tensors }: Checkpoint): IdentifiedWeights | undefined {
  try {
    return identifyWeights({ path, arch: undefined, prefix: undefined }, tensors);
  } catch (error) {
    if (error instanceof VggError && error.code === "STATE_DICT_MISMATCH") return undefined;
    throw error;
  }
}

/** Whether two paths lie in one folder. Then JSON beside one file lies beside the other too. */
const areNear = (from: string, to: string) => dirname(resolve(from)) === dirname(resolve(to));

/** Returns what `save` would store: the class names, the preprocessing and the sizes that `load` would take. */
async function carriedBySafetensors(
  path: string,
  to: string,
  checkpoint: Checkpoint,
): Promise<Carried> {
  const { metadata: own, labels, others, format } = checkpoint.contents;
  const metadata = Object.fromEntries(own);
  const lost = others.map((name) => describe(name));
  const hasMetadata = format === "safetensors"; // It is copied as it is, with its class names.
  const network = networkIn(path, checkpoint);
  if (network === undefined) {
    const names = labels === undefined || hasMetadata ? {} : { labels: JSON.stringify(labels) };
    return { metadata: { format: "pt", ...names, ...metadata }, lost };
  }
  const { arch, inChannels, numClasses } = network;
  const stated = await readStated(path, own, arch, false);
  const fitting = [labels, stated.labels].find((each) => each?.length === numClasses);
  if (!hasMetadata && labels !== undefined && labels.length !== numClasses)
    lost.push(`${labels.length} class names for ${numClasses} classes`);
  const imageSize = storedImageSize(own) ?? statedImageSize(stated.statements) ?? usualImageSize;
  // What is stored as a list under another name is not stored twice.
  const names = hasMetadata && labels === fitting ? undefined : fitting;
  const described = (preprocessing: Preprocessing | undefined) => ({
    ...describedBy({ arch, imageSize }, { labels: names, preprocessing }),
    ...metadata,
  });
  try {
    const preprocessing =
      stated.statements.length === 0
        ? undefined
        : combine(undefined, stated.statements, { inChannels, imageSize });
    return { metadata: described(preprocessing), lost };
  } catch (error) {
    if (!(error instanceof VggError)) throw error;
    // It is in the metadata, which are kept, or in JSON beside the file.
    if (stated.configs.length > 0 && !areNear(path, to))
      lost.push(`the preprocessing (${commandLineMessage(error)})`);
    return { metadata: described(undefined), lost };
  }
}

/** A .pth file is a plain state dict, as load_state_dict takes it. */
async function carriedByPytorch(
  path: string,
  to: string,
  checkpoint: Checkpoint,
): Promise<Carried> {
  const { metadata, labels, others } = checkpoint.contents;
  const names = labels === undefined ? [] : [`${labels.length} class names`];
  const said = ["format", "arch", ...(labels === undefined ? [] : ["labels"])];
  const lost = [...[...metadata.keys()].filter((key) => !said.includes(key)), ...others].map(
    (key) => describe(key),
  );
  const network = networkIn(path, checkpoint);
  const { configs } =
    network === undefined || areNear(path, to)
      ? { configs: [] }
      : await readStated(path, metadata, network.arch, false);
  return { metadata: {}, lost: [...names, ...lost, ...configs] };
}

const maxListed = 6;

function listed(lost: readonly string[]): string {
  const more = lost.length - maxListed;
  return more <= 0 ? lost.join(", ") : `${lost.slice(0, maxListed).join(", ")} and ${more} more`;
}

/** Whether two paths lead to one file. */
async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all(
    [a, b].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino;
}

/** Says what is not kept. @throws {RangeError} the file would be lost with it */
async function sayLost(from: string, to: string, lost: readonly string[]): Promise<void> {
  if (lost.length === 0) return;
  const isPytorch = extname(to).toLowerCase() !== ".safetensors";
  if (await isSameFile(from, to)) {
    throw rangeError(
      `another file than IN, because this one has what the new one cannot keep (${listed(lost)}),`,
      "OUT",
      to,
    );
  }
  const advice = isPytorch ? "; a .safetensors file keeps class names and preprocessing" : "";
  writeError(`vgg: ${to}: not kept: ${listed(lost)}${advice}\n`);
}

async function convert(from: string, to: string, options: ConvertOptions): Promise<void> {
  const extension = extname(to).toLowerCase();
  if (!writers.includes(extension))
    throw rangeError(`a name that ends in ${writers.join(", ")}`, "OUT", to);
  const { precision, key } = options;
  const checkpoint = await openCheckpoint(from, key === undefined ? {} : { key });
  try {
    const isSafetensors = extension === ".safetensors";
    const { metadata, lost } = isSafetensors
      ? await carriedBySafetensors(from, to, checkpoint)
      : await carriedByPytorch(from, to, checkpoint);
    await sayLost(from, to, lost);
    const tensors = lazyTensors(checkpoint, precision);
    if (isSafetensors) await writeTensors(to, tensors, metadata);
    else await writePytorch(to, tensors);
    await checkpoint.file.checkUnchanged();
    print(
      options,
      { in: from, out: to, tensors: tensors.size, notKept: lost },
      () => `${to}: ${tensors.size} tensors`,
    );
  } finally {
    await checkpoint.close();
  }
}

/** Returns the tensors of a file, which are read and converted as they are written. */
function lazyTensors(
  checkpoint: Checkpoint,
  precision: FloatType | undefined,
): Map<string, LazyTensor> {
  const lazy = (stored: StoredTensor): LazyTensor => {
    const isConverted =
      precision !== undefined && ["float64", ...floatTypes].includes(stored.dtype);
    return {
      shape: stored.shape,
      dtype: isConverted ? precision : stored.dtype,
      async read() {
        const tensor = await checkpoint.read(stored);
        checkpoint.forget(stored);
        return isConverted ? convertTensor(tensor, precision) : tensor;
      },
    };
  };
  return new Map([...checkpoint.tensors].map(([name, stored]) => [name, lazy(stored)]));
}
