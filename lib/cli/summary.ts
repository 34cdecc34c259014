// `vgg summary`: prints the layers of the network, and the contents of a file of weights. It needs no addon.
import type { Command } from "commander";
import { rangeError } from "../check.js";
import { openCheckpoint } from "../checkpoint/open.js";
import { Summary } from "../vgg/summary.js";
import { topology } from "../vgg/topology.js";
import { identifyWeights } from "../vgg/weight-names.js";
import { command, type ModelOptions, type OutputOptions, print, withModel } from "./options.js";

interface SummaryOptions extends ModelOptions, OutputOptions {
  weights?: string;
  key?: string;
}

export function summaryCommand(): Command {
  return withModel(command("summary", "print layers, output shapes, parameters and multiply-adds"))
    .option("--weights <file>", "take channels and classes from a file, and describe it")
    .option("--key <name>", "which state dict to use if the checkpoint has several")
    .action(summarize);
}

async function summarize(options: SummaryOptions, command: Command): Promise<void> {
  const { arch, inChannels, numClasses, imageSize, weights, key } = options;
  if (weights === undefined) {
    const summary = new Summary(topology(arch, { inChannels, numClasses, imageSize }));
    print(options, summary, () => String(summary));
    return;
  }
  const checkpoint = await openCheckpoint(weights, key === undefined ? {} : { key });
  try {
    const { format, tensors, metadata } = checkpoint.contents;
    const identified = identifyWeights(weights, arch, tensors);
    for (const name of ["inChannels", "numClasses"] as const) {
      const isGiven = command.getOptionValueSource(name) === "cli";
      if (isGiven && options[name] !== identified[name]) {
        throw rangeError(`${identified[name]}, which ${weights} has,`, name, options[name]);
      }
    }
    const summary = new Summary(topology(arch, { ...identified, imageSize }));
    const dtypes = [...new Set([...tensors.values()].map(({ dtype }) => dtype))];
    const file = {
      path: weights,
      format,
      bytes: checkpoint.file.size,
      names: identified.scheme,
      dtypes,
      metadata: Object.fromEntries(metadata),
    };
    print(options, { ...summary, weights: file }, () =>
      [
        String(summary),
        `${weights}: ${format}, ${(file.bytes / 1e6).toFixed(2)} MB, ${dtypes.join(" and ")}, ${file.names}'s names`,
      ].join("\n"),
    );
  } finally {
    await checkpoint.close();
  }
}
