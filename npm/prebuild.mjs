// `npm run build:prebuilt [PLATFORM…]`: builds the addon for the platforms of platforms.json on one Linux machine, and inspects each file.
// The results are build/prebuilt/PLATFORM/vgg_cudnn.node. docs/prebuilt.md describes it.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { requireLlvm } from "./binary.mjs";
import { inspect, recordSize, table } from "./inspect.mjs";
import { platforms, platformsNamed, root, runMain, ToolError } from "./tools.mjs";
import { findZig } from "./zig.mjs";

const packageOf = (name) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));

/** CMake's names. */
const systems = { linux: "Linux", darwin: "Darwin", win32: "Windows" };
const processors = { x64: "x86_64", arm64: "aarch64" };

/** Variables that would add options to the compiler or to CMake. The result must not depend on them. */
const ignored =
  /^(C|CXX|CPP|LD)FLAGS$|^(C|CPLUS_INCLUDE_|C_INCLUDE_|LIBRARY_)PATH$|^CMAKE_|^(MACOSX_DEPLOYMENT_TARGET|SDKROOT|CC|CXX|AR|RANLIB)$/;

/** What the commands of a build inherit. */
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ignored.test(name)));
}

/** Runs a command to its end and shows its output. @throws {ToolError} if it fails */
async function run(command, args) {
  const child = spawn(command, args, { cwd: root, env: environment(), stdio: "inherit" });
  const [status, signal] = await once(child, "exit");
  if (status !== 0)
    throw new ToolError(`${command} ${args[0]} ended with ${signal ?? `status ${status}`}`);
}

/** Writes a file unless it has these contents, so that CMake finds nothing changed. */
function write(path, contents, mode) {
  if (!existsSync(path) || readFileSync(path, "utf8") !== contents) writeFileSync(path, contents);
  chmodSync(path, mode);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Writes the commands that CMake takes for a compiler, an archiver and an indexer. @returns their folder */
function writeTools(work, zig, target) {
  const folder = join(work, "tools");
  mkdirSync(folder, { recursive: true });
  const cache = quoted(join(root, ".cache/zig-cache"));
  const commands = { "c++": `c++ -target ${target}`, ar: "ar", ranlib: "ranlib" };
  for (const [name, command] of Object.entries(commands)) {
    const script = `#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR=${cache} ZIG_LOCAL_CACHE_DIR=${cache}
exec ${quoted(zig)} ${command} "$@"
`;
    write(join(folder, name), script, 0o755);
  }
  return folder;
}

/** Builds one platform's addon in its folder, with `jobs` compilers at once. @returns the path of the built file */
async function build(platform, zig, jobs) {
  const { os, cpu, target } = platforms[platform];
  const work = join(root, "build/prebuilt", platform, "work");
  mkdirSync(work, { recursive: true });
  const tools = writeTools(work, zig, target);
  const settings = {
    CMAKE_BUILD_TYPE: "Release",
    CMAKE_SYSTEM_NAME: systems[os],
    CMAKE_SYSTEM_PROCESSOR: processors[cpu],
    CMAKE_CXX_COMPILER: join(tools, "c++"),
    CMAKE_AR: join(tools, "ar"),
    CMAKE_RANLIB: join(tools, "ranlib"),
    // No path of this machine goes into the file: the same sources give the same bytes anywhere.
    CMAKE_CXX_FLAGS: `-Werror -ffile-prefix-map=${root}=`,
    // A signature of a Mach-O file covers its symbols, so the linker removes them before it signs.
    CMAKE_MODULE_LINKER_FLAGS: "-s",
    CMAKE_SKIP_RPATH: "ON",
    CMAKE_JS_INC: `${packageOf("node-addon-api")};${join(packageOf("node-api-headers"), "include")}`,
    CMAKE_PROJECT_INCLUDE: join(root, "npm/prebuild.cmake"),
  };
  const options = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
  await run("cmake", ["-S", root, "-B", work, ...options, "-Wno-dev"]);
  await run("cmake", ["--build", work, "--target", "vgg_cudnn", "-j", `${jobs}`]);
  return join(work, "vgg_cudnn.node");
}

/** Builds and inspects one platform's addon. An earlier result stays until the new one is whole. @returns what the inspection found */
async function make(platform, zig, jobs, isRecording) {
  const start = performance.now();
  const result = join(root, "build/prebuilt", platform, "vgg_cudnn.node");
  const built = await build(platform, zig, jobs);
  if (isRecording) recordSize(platform, built);
  const found = inspect(platform, built);
  if (found.problems.length > 0)
    throw new ToolError(`${platform}: ${found.problems.join("; ")}. The file is ${built}`);
  const copy = `${result}.new`;
  writeFileSync(copy, readFileSync(built));
  renameSync(copy, result);
  console.log(`${platform}: built in ${Math.round((performance.now() - start) / 1000)} s`);
  return found;
}

/** @throws {ToolError} without CMake. The build would notice it only after the compiler's download. */
function requireCmake() {
  if (spawnSync("cmake", ["--version"]).error !== undefined)
    throw new ToolError("Expected cmake in PATH. On Debian: apt install cmake");
}

/**
 * Builds as many platforms at once as there are processors: Zig builds the C++ library of a target on one.
 * @returns what the inspections found, in the order of `names`. @throws the first failure, after the builds that were under way
 */
async function makeAll(names, zig, isRecording) {
  const found = [];
  const failures = [];
  const processors = availableParallelism();
  const atOnce = Math.min(names.length, processors);
  const jobs = Math.max(2, Math.ceil(processors / atOnce));
  let next = 0;
  const work = async () => {
    while (next < names.length && failures.length === 0) {
      const index = next++;
      try {
        found[index] = await make(names[index], zig, jobs, isRecording);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  if (failures.length > 0) throw failures[0];
  return found;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { "record-sizes": { type: "boolean", default: false } },
  });
  const names = platformsNamed(positionals);
  requireCmake();
  requireLlvm();
  const zig = findZig();
  console.log(table(await makeAll(names, zig, values["record-sizes"])));
}

await runMain("prebuild", main);
