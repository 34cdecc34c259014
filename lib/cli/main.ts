#!/usr/bin/env node
// The command line `vgg`: prints results on stdout and everything else on stderr. Exit code 0: success; 1: failure;
// 2: wrong usage.
import { Command, CommanderError, Help } from "commander";
import { commandLineMessage, VggError } from "../errors.js";
import { version } from "../version.js";
import { flagsInMessage, withoutOtherFlags } from "./flags.js";
import { withExamples } from "./help.js";
import { writeError } from "./text.js";

/** The commands in the order of the help. Each loads its part of the library. */
const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  classify: async () => (await import("./classify/classify.js")).classifyCommand(),
  embed: async () => (await import("./embeddings/embed.js")).embedCommand(),
  similar: async () => (await import("./embeddings/similar.js")).similarCommand(),
  validate: async () => (await import("./validate/validate.js")).validateCommand(),
  compare: async () => (await import("./drawing/compare.js")).compareCommand(),
  see: async () => (await import("./drawing/see.js")).seeCommand(),
  serve: async () => (await import("./serve/serve.js")).serveCommand(),
  worker: async () => (await import("./serve/worker.js")).workerCommand(),
  check: async () => (await import("./check.js")).checkCommand(),
  summary: async () => (await import("./summary.js")).summaryCommand(),
  convert: async () => (await import("./convert.js")).convertCommand(),
  pull: async () => (await import("./pull.js")).pullCommand(),
  plan: async () => (await import("./plan.js")).planCommand(),
  cuda: async () => (await import("./cuda/cuda.js")).cudaCommand(),
  bench: async () => (await import("./bench.js")).benchCommand(),
  doctor: async () => (await import("./doctor.js")).doctorCommand(),
  build: async () => (await import("./build.js")).buildCommand(),
  completion: async () => (await import("./completion.js")).completionCommand(),
};
/** A command that is asked for is loaded alone, which halves the start of a small one. Help and completion need all. */
const asked = process.argv[2] ?? "";
const names =
  Object.hasOwn(loaders, asked) && asked !== "completion" ? [asked] : Object.keys(loaders);
const commands = await Promise.all(names.map((name) => loaders[name]!()));

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
