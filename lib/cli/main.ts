#!/usr/bin/env node
// The command line `vgg`: results on stdout, everything else on stderr. Exit 0: done; 1: it failed; 2: it was asked wrongly.
import { Command, CommanderError } from "commander";
import { version } from "../device/diagnosis.js";
import { VggError } from "../errors.js";
import { benchCommand } from "./bench.js";
import { buildCommand } from "./build.js";
import { checkCommand } from "./check.js";
import { classifyCommand } from "./classify.js";
import { convertCommand } from "./convert.js";
import { doctorCommand } from "./doctor.js";
import { planCommand } from "./plan.js";
import { pullCommand } from "./pull.js";
import { summaryCommand } from "./summary.js";
import { validateCommand } from "./validate.js";

const commands = [
  classifyCommand(),
  validateCommand(),
  checkCommand(),
  summaryCommand(),
  convertCommand(),
  pullCommand(),
  planCommand(),
  benchCommand(),
  doctorCommand(),
  buildCommand(),
];

const program = new Command("vgg")
  .description("VGG11 and its family in Node.js at the speed of the hardware")
  .version(version, "-V, --version", "print the version")
  .helpCommand("help [command]", "show what a command takes")
  .helpOption("-h, --help", "show this help")
  .exitOverride()
  .configureOutput({ outputError: () => {} }); // said below, in one line
for (const command of commands) {
  command.copyInheritedSettings(program);
  program.addCommand(command);
}

/** One line, or an object for machines; a wrong call is told apart from a failure by the exit code. */
function report(error: unknown): number {
  const isJson = process.argv.includes("--json");
  // The library's own words about an argument; any other TypeError is a defect and keeps its stack.
  const isArgument =
    (error instanceof RangeError || error instanceof TypeError) &&
    error.message.startsWith("Expected");
  const isUsage = error instanceof CommanderError || isArgument;
  // What the system refuses has a code of its own; anything else is a defect and keeps its stack.
  const isSystem = error instanceof Error && "syscall" in error;
  if (!isUsage && !isSystem && !(error instanceof VggError)) throw error;
  const message = error.message.replace(/^error: /, "");
  const code = error instanceof VggError ? error.code : isSystem ? "SYSTEM" : "USAGE";
  process.stderr.write(
    isJson ? `${JSON.stringify({ error: { code, message } })}\n` : `vgg: ${message}\n`,
  );
  return isUsage ? 2 : 1;
}

// A reader that has seen enough (`vgg summary | head -1`) is no failure.
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
    process.exitCode = isHelp ? 0 : report(error);
  }
}

void main();
