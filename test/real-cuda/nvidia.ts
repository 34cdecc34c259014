// NVIDIA's libraries in .cache/nvidia (`npm run cuda:fetch`): their paths, compiling against them, and how a process finds them.
import { execFile, type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeGpu, type GpuName } from "../../lib/device/gpus.ts";
import { receiptName } from "../../lib/nvidia/sets/installed.ts";
import {
  type LibrarySet as Installable,
  parseSets,
  testedSets,
} from "../../lib/nvidia/sets/set.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
const cache = join(root, ".cache/nvidia");
/** The folder of standInDriver(). */
export const driverFolder = join(cache, "driver");

/** The headers that the tests compile against, by CUDA major. */
const headers = parseSets(readFileSync(join(here, "headers.txt"), "utf8"));

/** The libraries of one CUDA major, as `vgg cuda install` places them. */
export interface LibrarySet {
  readonly name: string;
  /** A value for VGG_CUDA_PATH. */
  readonly folder: string;
  readonly versions: string;
  readonly includes: readonly string[];
  readonly libFolders: readonly string[];
}

const headerFolder = (cuda: number) => join(cache, "headers", `cuda${cuda}`);

function librarySet({ name, cuda, wheels }: Installable): LibrarySet {
  const folder = join(cache, "sets", name);
  const below = join(headerFolder(cuda), "nvidia");
  return {
    name: `cuda${cuda}`,
    folder,
    versions: wheels.map(({ name, version }) => `${name} ${version}`).join(", "),
    includes: readdirSync(below).map((part) => join(below, part, "include")),
    libFolders: [folder],
  };
}

/** Prints in one line why the tests are skipped. */
export function skipped(it: { skip(name: string): void }): void {
  const reason = "NVIDIA's libraries are not in .cache/nvidia: npm run cuda:fetch";
  console.log(`real-cuda: skipped, ${reason}`);
  it.skip(reason);
}

const platform = `${process.platform}-${process.arch}`;
const sets = testedSets().filter((set) => set.isTested && set.platform === platform);
const isFetched =
  sets.every(({ name }) => existsSync(join(cache, "sets", name, receiptName))) &&
  headers.every(({ cuda, wheels }) =>
    wheels.every(({ members }) =>
      members.every(({ path }) => existsSync(join(headerFolder(cuda), path))),
    ),
  );

/** The sets, newest first. Empty if they were not fetched. */
export const librarySets: LibrarySet[] = isFetched ? sets.map(librarySet) : [];

/**
 * Runs a command to its end. `log` has both of its streams, for the message of a failure. The sanitizer that test/asan.mjs
 * preloads is removed, because compilers leak. A child that loads the addon passes LD_PRELOAD on.
 */
export function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): SpawnSyncReturns<string> & { log: string } {
  const result = spawnSync(command, args, {
    encoding: "utf8",
    cwd: root,
    env: { ...process.env, LD_PRELOAD: "", ...env },
    maxBuffer: 1 << 28,
  });
  if (result.error) throw result.error;
  return { ...result, log: `${result.stdout}${result.stderr}` };
}

/** Compiles into .cache/nvidia. @throws what the compiler says */
function compile(
  compiler: string,
  flags: readonly string[],
  sources: readonly string[],
  output: string,
) {
  const file = join(cache, output);
  mkdirSync(dirname(file), { recursive: true });
  const partial = `${file}.${process.pid}`;
  const { status, log } = run(compiler, [...flags, ...sources, "-o", partial, "-ldl"]);
  if (status !== 0) throw new Error(log);
  renameSync(partial, file);
  return file;
}

/** With a set, native/cuda/nvidia/api.h uses NVIDIA's own types. Without one, it uses the types of the addon's build. */
function cxxFlags(set?: LibrarySet): string[] {
  const flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-I", join(root, "native")];
  if (!set) return flags;
  const includes = set.includes.flatMap((folder) => ["-isystem", folder]);
  return [...flags, "-DVGG_NVIDIA_HEADERS", "-D__CUDA_API_VERSION_INTERNAL", ...includes];
}

/** Compiles a program from one source of this folder and sources of native/. Returns its path. */
export function compileProgram(
  name: string,
  native: readonly string[] = [],
  set?: LibrarySet,
): string {
  const sources = [join(here, `${name}.cc`), ...native.map((file) => join(root, "native", file))];
  return compile("g++", cxxFlags(set), sources, `built/${name}-${set?.name ?? "addon"}`);
}

/** The compiler's output for a source that has only assertions. Empty if all hold. */
export function checkSource(source: string, set: LibrarySet): string {
  return run("g++", [...cxxFlags(set), "-fsyntax-only", join(here, source)]).log;
}

/** Compiles the stand-in for the driver, libcuda.so.1, in a separate folder. */
export function standInDriver(): string {
  // The soname lets cuDNN, which needs libcuda.so.1, use the one that is already loaded.
  const flags = [
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-shared",
    "-fPIC",
    "-Wl,-soname,libcuda.so.1",
  ];
  return compile("gcc", flags, [join(here, "stand_in_driver.c")], "driver/libcuda.so.1");
}

/** The file that describes a GPU. */
export function gpuFile(gpu: GpuName): string {
  const file = join(cache, "gpus", `${gpu}.json`);
  mkdirSync(join(cache, "gpus"), { recursive: true });
  writeFileSync(file, describeGpu(gpu));
  return file;
}

/** The libraries of a set whose names start with `prefix`. */
export function librariesOf(set: LibrarySet, prefix: string): string[] {
  return set.libFolders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(folder, name)),
  );
}

/** The functions that a library exports. */
export function exportsOf(library: string): Set<string> {
  const { status, stdout, log } = run("nm", ["-D", "--defined-only", "--format=posix", library]);
  if (status !== 0) throw new Error(log);
  return new Set(stdout.split("\n").map((line) => line.split(/[ @]/)[0]!));
}

/**
 * The environment in which the addon, or any program, finds a set and the stand-in driver. The dynamic loader reads its
 * search path when a process starts, so this is for a child, never for process.env.
 */
export function environmentOf(set: LibrarySet, gpu?: GpuName): NodeJS.ProcessEnv {
  return {
    LD_LIBRARY_PATH: [driverFolder, ...set.libFolders].join(":"),
    VGG_CUDA_PATH: [driverFolder, set.folder].join(":"),
    VGG_STAND_IN_GPU: gpu ? gpuFile(gpu) : "",
  };
}

/** `env` for a child that loads the addon. Under `npm run test:asan` the leaks of NVIDIA's libraries are ignored. */
function scriptEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { LD_PRELOAD, ASAN_OPTIONS } = process.env;
  return LD_PRELOAD ? { LD_PRELOAD, ASAN_OPTIONS: `${ASAN_OPTIONS}:detect_leaks=0`, ...env } : env;
}

/**
 * Runs a script of this package, by its path from the root. The addon finds a set and the stand-in driver there, or what
 * `env` names instead.
 */
export function runScript(script: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  return run(process.execPath, [join(root, script), ...args], scriptEnvironment(env));
}

/** Runs a script of this folder with a question as JSON and returns the answer that it prints as JSON. */
export async function ask<T>(script: string, question: unknown, set: LibrarySet): Promise<T> {
  const args = [join(here, script), JSON.stringify(question)];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...scriptEnvironment(environmentOf(set)) },
    maxBuffer: 1 << 28,
  });
  if (stderr !== "") throw new Error(`${script}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

/**
 * A new folder in .cache/nvidia with these libraries in it. They are hard links, because the addon looks beside the file that
 * a symbolic link leads to.
 */
export function folderOf(libraries: readonly string[]): string {
  const folder = mkdtempSync(join(cache, "partial-"));
  for (const library of libraries) linkSync(library, join(folder, basename(library)));
  return folder;
}
