// `vgg summary`: prints the layers of the network, and the contents of a file of weights. It needs no addon.
import type { Command } from "commander";
import { rangeError } from "../check.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { commandLineMessage, VggError } from "../errors.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { combine, type Statement } from "../vgg/preprocessing/statement.js";
import { readStated, statedImageSize, warningsAbout } from "../vgg/preprocessing/stored.js";
import { storedImageSize } from "../vgg/save.js";
import { Summary } from "../vgg/summary.js";
import { type Topology, topology } from "../vgg/topology.js";
import { identifyWeights } from "../vgg/weight-names.js";
import { sayIgnored, weightsPath } from "./model.js";
import { command, type ModelOptions, type OutputOptions, print, withModel } from "./options.js";

interface SummaryOptions extends ModelOptions, OutputOptions {
  weights?: string;
  key?: string;
  prefix?: string;
}

export function summaryCommand(): Command {
  return withModel(command("summary", "print layers, output shapes, parameters and multiply-adds"))
    .option("--weights <file>", "describe a file, which then says the network and its sizes")
    .option("--key <name>", "which state dict to use if the checkpoint has several")
    .option("--prefix <text>", "use only names that begin so, if the file has several networks")
    .action(summarize);
}

async function summarize(options: SummaryOptions, command: Command): Promise<void> {
  const { arch, weights, key, prefix } = options;
  if (weights === undefined) {
    const summary = new Summary(topology(arch, options));
    print(options, summary, () => String(summary));
    return;
  }
  const isGiven = (name: string) => command.getOptionValueSource(name) === "cli";
  const path = await weightsPath(arch, weights);
  const checkpoint = await openCheckpoint(path, key === undefined ? {} : { key });
  try {
    const { format, tensors, metadata } = checkpoint.contents;
    const wanted = isGiven("arch") || path !== weights ? arch : undefined;
    const identified = identifyWeights({ path, arch: wanted, prefix }, tensors);
    for (const [name, flag] of [
      ["inChannels", "--in-channels"],
      ["numClasses", "--num-classes"],
      ["hiddenFeatures", "--hidden-features"],
    ] as const) {
      if (isGiven(name) && options[name] !== identified[name]) {
        throw rangeError(`${identified[name]}, which ${path} has,`, flag, options[name]);
      }
    }
    const stated = await readStated(path, metadata, identified.arch, path !== weights);
    const { statements } = stated;
    const { numClasses: classes } = identified;
    const warnings = warningsAbout(path, checkpoint.contents, stated, classes, true);
    const stored = storedImageSize(metadata) ?? statedImageSize(statements);
    const imageSize = isGiven("imageSize") ? options.imageSize : (stored ?? options.imageSize);
    const images = describeImages(statements, { inChannels: identified.inChannels, imageSize });
    const summary = new Summary(topology(identified.arch, { ...identified, imageSize }));
    sayIgnored(identified.arch, { path, ignored: identified.ignored, warnings });
    const dtypes = [...new Set([...identified.tensors.values()].map(({ dtype }) => dtype))];
    const file = {
      path,
      format,
      bytes: checkpoint.file.size,
      names: identified.scheme,
      dtypes,
      ignored: identified.ignored,
      warnings,
      metadata: Object.fromEntries(metadata),
      ...images.json,
    };
    print(options, { ...summary, weights: file }, () =>
      [
        String(summary),
        ...(images.line === undefined ? [] : [images.line]),
        `${path}: ${identified.arch}, ${format}, ${(file.bytes / 1e6).toFixed(2)} MB, ${dtypes.join(" and ")}, ${file.names}'s names`,
      ].join("\n"),
    );
  } finally {
    await checkpoint.close();
  }
}

/** What is printed about images. */
interface ImagesText {
  readonly line?: string;
  readonly json: { readonly preprocessing?: Preprocessing; readonly problem?: string };
}

/** Says how images become the input, or why a statement beside the weights cannot be followed. */
function describeImages(
  statements: readonly Statement[],
  sizes: Pick<Topology, "inChannels" | "imageSize">,
): ImagesText {
  try {
    const preprocessing = combine(undefined, statements, sizes);
    if (preprocessing === undefined) return { json: {} };
    const [{ path } = { path: "torchvision" }] = statements;
    const { resize, crop, interpolation, mean, std } = preprocessing;
    const sides = resize === "squash" ? `${crop} × ${crop}` : `${resize}, crop ${crop}`;
    const line = `images: resize ${sides}, ${interpolation}, as in ${path}\n        mean ${mean.join(" ")}, std ${std.join(" ")}`;
    return { line, json: { preprocessing } };
  } catch (error) {
    if (!(error instanceof VggError)) throw error;
    const problem = commandLineMessage(error);
    return { line: `images: ${problem}`, json: { problem } };
  }
}
