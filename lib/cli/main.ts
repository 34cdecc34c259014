#!/usr/bin/env node
// The command line `vgg`: prints results on stdout and everything else on stderr. Exit code 0: success; 1: failure;
// 2: wrong usage.
import { Command, CommanderError, Help } from "commander";
import { commandLineMessage, VggError } from "../errors.js";
import { version } from "../version.js";
import { benchCommand } from "./bench.js";
import { buildCommand } from "./build.js";
import { checkCommand } from "./check.js";
import { classifyCommand } from "./classify/classify.js";
import { completionCommand } from "./completion.js";
import { convertCommand } from "./convert.js";
import { cudaCommand } from "./cuda/cuda.js";
import { doctorCommand } from "./doctor.js";
import { compareCommand } from "./drawing/compare.js";
import { seeCommand } from "./drawing/see.js";
import { embedCommand } from "./embeddings/embed.js";
import { similarCommand } from "./embeddings/similar.js";
import { flagsInMessage, withoutOtherFlags } from "./flags.js";
import { withExamples } from "./help.js";
import { planCommand } from "./plan.js";
import { pullCommand } from "./pull.js";
import { serveCommand } from "./serve/serve.js";
import { workerCommand } from "./serve/worker.js";
import { summaryCommand } from "./summary.js";
import { writeError } from "./text.js";
import { validateCommand } from "./validate/validate.js";

const commands = [
  classifyCommand(),
  embedCommand(),
  similarCommand(),
  validateCommand(),
  compareCommand(),
  seeCommand(),
  serveCommand(),
  workerCommand(),
  checkCommand(),
  summaryCommand(),
  convertCommand(),
  pullCommand(),
  planCommand(),
  cudaCommand(),
  benchCommand(),
  doctorCommand(),
  buildCommand(),
  completionCommand(),
];

const program = new Command("vgg")
  .description("VGG11 and its family in Node.js at the speed of the hardware")
  .version(version, "-V, --version", "print the version")
  .helpCommand("help [command]", "show the help of a command")
  .helpOption("-h, --help", "show this help")
  .exitOverride()
  .configureOutput({ outputError: () => {} }) // `report` prints errors
  .configureHelp({
    // A switch is off unless it is given, so its default says nothing.
    optionDescription: (option) =>
      option.defaultValue === false ? option.description : new Help().optionDescription(option),
  });
withExamples(program);
for (const command of commands) {
  program.addCommand(command);
  for (const each of [command, ...command.commands]) {
    each.copyInheritedSettings(program);
    withExamples(each);
  }
}

/** Prints an error as text, or as one line of JSON with --json. @returns the exit code: 2 for wrong usage, 1 for a failure */
function report(error: unknown): number {
  const isJson = process.argv.includes("--json");
  // Only the library's messages about arguments are usage errors. Any other TypeError is a defect and keeps its stack.
  const isArgument =
    (error instanceof RangeError || error instanceof TypeError) &&
    error.message.startsWith("Expected");
  const isUsage = error instanceof CommanderError || isArgument;
  // The code of a system error is SYSTEM. Anything else is a defect and keeps its stack.
  const isSystem = error instanceof Error && "syscall" in error;
  if (!isUsage && !isSystem && !(error instanceof VggError)) throw error;
  const given = commandLineMessage(error).replace(/^error: /, "");
  const message = isArgument ? flagsInMessage(given, chosen()) : withoutOtherFlags(given, chosen());
  const code = error instanceof VggError ? error.code : isSystem ? "SYSTEM" : "USAGE";
  writeError(isJson ? `${JSON.stringify({ error: { code, message } })}\n` : `vgg: ${message}\n`);
  return isUsage ? 2 : 1;
}

/** The command that the arguments name, if there is one: `vgg cuda install` is a command of a command. */
function chosen(): Command | undefined {
  const named = (of: readonly Command[], name: string | undefined) =>
    of.find((each) => each.name() === name);
  const first = named(commands, process.argv[2]);
  return named(first?.commands ?? [], process.argv[3]) ?? first;
}

// A reader that closes the pipe early (`vgg summary | head -1`) is not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : report(error));
});

async function main(): Promise<void> {
  if (process.argv.length <= 2) {
    program.outputHelp();
    return;
  }
  try {
    await program.parseAsync();
  } catch (error) {
    const isHelp = error instanceof CommanderError && error.exitCode === 0;
    // `vgg cuda` alone: its help is on stderr, and says what the usage is.
    const isUsage = error instanceof CommanderError && error.code === "commander.help";
    process.exitCode = isHelp ? 0 : isUsage ? 2 : report(error);
  }
}

void main();
