// `vgg pull`: downloads published weights. Prints their paths on stdout, and progress on stderr if it is a terminal.
import type { Command } from "commander";
import { rangeError } from "../check.js";
import type { Progress } from "../download/download.js";
import { type PullOptions, pull } from "../download/hub.js";
import { type KnownWeights, knownWeights, listWeights } from "../vgg/known-weights.js";
import { type Architecture, architectures } from "../vgg/topology.js";
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
    const progress = await progressLine(weights);
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

/** Formats the line of progress: `vgg16-397923af.pth ██████░░░░ 60 % 316.7 of 527.8 MiB`. */
export function progressText(
  file: string,
  { receivedBytes, totalBytes, isWaiting }: Progress,
): string {
  if (isWaiting) return `${file} waits for another process that downloads it`;
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  if (totalBytes === undefined) return `${file} ${mib(receivedBytes)} MiB`;
  const ratio = totalBytes === 0 ? 1 : Math.min(1, receivedBytes / totalBytes);
  const cells = 24;
  const full = Math.floor(ratio * cells);
  const bar = "█".repeat(full) + "░".repeat(cells - full);
  return `${file} ${bar} ${Math.floor(ratio * 100)} % ${mib(receivedBytes)} of ${mib(totalBytes)} MiB`;
}

/** Progress without a terminal: prints one line if the download waits for another process. */
function waitingLine({ file }: KnownWeights): {
  show: (progress: Progress) => void;
  stop: () => void;
} {
  let isSaid = false;
  return {
    show(progress) {
      if (!progress.isWaiting || isSaid) return;
      isSaid = true;
      process.stderr.write(`vgg: ${progressText(file, progress)}\n`);
    },
    stop: () => {},
  };
}

async function progressLine(
  weights: KnownWeights,
): Promise<{ show: (progress: Progress) => void; stop: () => void }> {
  // ora 9.4.1 never ends its first redraw on a terminal that reports no columns.
  if (!process.stderr.isTTY || !process.stderr.columns) return waitingLine(weights);
  const { default: ora } = await import("ora");
  // Do not discard keys, so that Ctrl-C ends the process. The bytes already received are kept.
  const line = ora({ text: weights.file, stream: process.stderr, discardStdin: false });
  return {
    show(progress) {
      line.text = progressText(weights.file, progress);
      if (!line.isSpinning) line.start();
    },
    stop: () => void line.stop(),
  };
}
