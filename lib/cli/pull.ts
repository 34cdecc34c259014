// `vgg pull`: downloads published weights. Prints their paths on stdout, and progress on stderr if it is a terminal.
import type { Command } from "commander";
import { rangeError } from "../check.js";
import { type PullOptions, pull } from "../download/hub.js";
import { knownWeights, listWeights } from "../vgg/known-weights.js";
import { type Architecture, architectures } from "../vgg/topology.js";
import { downloadLine } from "./download-progress.js";
import { command, type OutputOptions, print } from "./options.js";
import { textTable } from "./table.js";

interface Options extends OutputOptions {
  folder?: string;
  mirror?: string;
  offline?: true;
  list: boolean;
}

export function pullCommand(): Command {
  return command("pull", "download published weights, and print where they are")
    .argument("[names...]", `architectures: ${architectures.join(", ")}`)
    .option("--folder <path>", "where to store them (default: torch's cache, otherwise the user's)")
    .option("--mirror <url>", "used instead of https://download.pytorch.org/models/")
    .option("--offline", "never use the network")
    .option("--list", "print what can be pulled", false)
    .action(run);
}

async function run(names: Architecture[], options: Options): Promise<void> {
  if (options.list) {
    if (names.length > 0) throw rangeError("no name beside --list", "NAME", names[0]);
    print(options, listWeights(), table);
    return;
  }
  if (names.length === 0) throw rangeError("architectures, or --list,", "NAME", names);
  const { folder, mirror, offline } = options;
  for (const weights of names.map((name) => knownWeights(name))) {
    const progress = await downloadLine(weights.file);
    const pullOptions: PullOptions = {
      onProgress: progress.show,
      ...(folder !== undefined && { folder }),
      ...(mirror !== undefined && { mirror }),
      ...(offline && { offline }),
    };
    const result = await pull(weights, pullOptions).finally(progress.stop);
    print(options, { arch: weights.arch, ...result }, () => result.path);
  }
}

function table(): string {
  const weights = listWeights();
  const rows = weights.map(({ arch, name, accuracy, gmacs, parameterCount, sizeMiB }) => [
    ...[arch, name, accuracy.top1.toFixed(3), accuracy.top5.toFixed(3)],
    ...[gmacs.toFixed(2), parameterCount.toLocaleString("en-US"), sizeMiB.toFixed(1)],
  ]);
  const heads = ["arch", "name", "acc@1", "acc@5", "GMACs", "parameters", "MiB"];
  const folder = new URL(".", weights[0]!.url).href;
  return [
    ...textTable(heads, rows, 2),
    "",
    `Files come from ${folder}; --json has each address.`,
  ].join("\n");
}
