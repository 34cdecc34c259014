// The compiler of the prebuilt addons: Zig of the version in zig-requirements.txt, from PyPI into .cache/zig, checked by its hash.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { root, ToolError } from "./tools.mjs";

const requirements = fileURLToPath(new URL("zig-requirements.txt", import.meta.url));

/** The only version that builds packages: the compiler is a part of the result. */
export const zigVersion = /^ziglang==(\S+)/m.exec(readFileSync(requirements, "utf8"))[1];

const folder = join(root, ".cache/zig");
const mark = join(folder, `installed-${zigVersion}`);

/** Runs a command to its end. @throws {ToolError} with `otherwise` and the last line of its output if it fails */
function run(command, args, otherwise) {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error === undefined && status === 0) return;
  const last = error?.message ?? stderr.trimEnd().split("\n").at(-1);
  throw new ToolError(`${otherwise} (${last})`);
}

/** The executable in a virtual environment. */
function executableIn(environment) {
  for (const python of readdirSync(join(environment, "lib"))) {
    const path = join(environment, "lib", python, "site-packages/ziglang/zig");
    if (existsSync(path)) return path;
  }
  throw new ToolError(`Expected Zig in ${environment}. Remove the folder and try again`);
}

/** The path in VGG_ZIG, if Zig there has the right version. CMake runs it in other folders, so a relative path becomes absolute. */
function named(given) {
  const path = given.includes("/") ? resolve(given) : given;
  const { error, stdout } = spawnSync(path, ["version"], { encoding: "utf8" });
  const version = stdout?.trim();
  if (error === undefined && version === zigVersion) return path;
  const found = error === undefined ? `version ${version || "unknown"}` : error.message;
  throw new ToolError(`Expected Zig ${zigVersion} at VGG_ZIG=${path} but received ${found}`);
}

/** @returns the compiler's executable if it needs no installation, else undefined. @throws {ToolError} as `findZig` */
export function presentZig() {
  if (process.env.VGG_ZIG) return named(process.env.VGG_ZIG);
  return existsSync(mark) ? executableIn(folder) : undefined;
}

/**
 * Finds the compiler, and installs it with pip if it is not there. `VGG_ZIG` may name an existing one of the same version.
 * @returns the path of the executable
 * @throws {ToolError} on a machine for which no wheel is pinned, without Python, or if a hash differs
 */
export function findZig() {
  const present = presentZig();
  if (present !== undefined) return present;
  const { platform, arch } = process;
  if (platform !== "linux" || (arch !== "x64" && arch !== "arm64"))
    throw new ToolError(
      `Expected Linux on x64 or arm64, or Zig ${zigVersion} in VGG_ZIG, but this machine is ${platform} on ${arch}`,
    );
  console.log(`Installing Zig ${zigVersion} into .cache/zig`);
  rmSync(folder, { recursive: true, force: true });
  run(
    "python3",
    ["-m", "venv", folder],
    "Expected Python 3 with venv, because the compiler is a Python package. On Debian: apt install python3-venv",
  );
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
  run(
    join(folder, "bin/python3"),
    [...pip, "--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", requirements],
    `Expected pip to install Zig ${zigVersion} with the hash in npm/zig-requirements.txt`,
  );
  writeFileSync(mark, "");
  return executableIn(folder);
}
