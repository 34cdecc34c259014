// `vgg build`: builds the addon in place. It needs CMake and a compiler, but not the addon, and downloads nothing.
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { VggError } from "../errors.js";
import { command, type OutputOptions, print } from "./options.js";

export function buildCommand(): Command {
  return command("build", "build the native addon in place")
    .option("--clean", "then remove the other files of earlier builds", false)
    .action(build);
}

async function build(options: OutputOptions & { clean: boolean }): Promise<void> {
  // The install script uses the same file, in a clone before anything is compiled. So it is no TypeScript.
  const { build: run, BuildError } = await import("../../npm/build.mjs");
  try {
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const path = await run(root, { isClean: options.clean });
    print(options, { path }, () => `built ${path}`);
  } catch (error) {
    if (error instanceof BuildError) throw new VggError("BUILD_FAILED", error.message);
    throw error;
  }
}
