// `vgg summary`: what the network is made of. Needs no addon.
import type { Command } from "commander";
import { Summary } from "../vgg/summary.js";
import { topology } from "../vgg/topology.js";
import { command, type ModelOptions, type OutputOptions, print, withModel } from "./options.js";

export function summaryCommand(): Command {
  return withModel(
    command("summary", "print layers, output shapes, parameters and multiply-adds"),
  ).action((options: ModelOptions & OutputOptions) => {
    const { arch, inChannels, numClasses, imageSize } = options;
    const summary = new Summary(topology(arch, { inChannels, numClasses, imageSize }));
    print(options, summary, () => String(summary));
  });
}
