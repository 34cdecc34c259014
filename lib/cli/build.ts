// `vgg build`: builds the addon in place. It needs CMake and a compiler, but not the addon, and downloads nothing.
import { spawn, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { VggError } from "../errors.js";
import { addonReport, native } from "../native/load.js";
import { command, type OutputOptions, print } from "./options.js";

const packageRoot = fileURLToPath(new URL("../..", import.meta.url));

export function buildCommand(): Command {
  return command("build", "build the native addon in place")
    .option("--clean", "first remove the files of an earlier build", false)
    .action(build);
}

function cmakeJs(...args: string[]): Promise<number | null> {
  const script = join(
    dirname(createRequire(import.meta.url).resolve("cmake-js/package.json")),
    "bin/cmake-js",
  );
  return new Promise((resolve, reject) => {
    // Send its output to stderr, because it is progress and not a result.
    const child = spawn(process.execPath, [script, ...args, "--directory", packageRoot], {
      stdio: ["ignore", 2, 2],
    });
    child.on("error", reject);
    child.on("exit", resolve);
  });
}

async function build(options: OutputOptions & { clean: boolean }): Promise<void> {
  if (spawnSync("cmake", ["--version"]).error) {
    throw new VggError(
      "BUILD_FAILED",
      "Expected CMake ≥ 3.18 on the PATH but found none; install it (Debian: apt install cmake g++)",
    );
  }
  const status = await cmakeJs(
    options.clean ? "rebuild" : "compile",
    "--log-level",
    "warn",
    "--parallel",
    "4",
  );
  if (status !== 0) {
    throw new VggError(
      "BUILD_FAILED",
      `Expected the build in ${packageRoot} to succeed but cmake-js exited with ${status}; see its output above`,
    );
  }
  native();
  const { path } = addonReport();
  print(options, { path }, () => `built ${path}`);
}
