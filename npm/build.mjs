// Builds the addon from the package's sources with CMake, beside the addon that is there. `vgg build` and the install script use it.
// The new addon takes the old one's place when it is whole and loads, so that no failure and no second build takes a good one away.
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { createRequire } from "node:module";
import { constants, hostname } from "node:os";
import { dirname, join } from "node:path";
import { BuildError, findTools, jobs } from "./build-tools.mjs";

export { BuildError, findTools, jobs };

const signals = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The folders of Node-API's headers. */
function headers(root) {
  const require = createRequire(join(root, "package.json"));
  const folderOf = (name) => {
    try {
      return dirname(require.resolve(`${name}/package.json`));
    } catch {
      throw new BuildError(
        `Expected the package ${name} beside vgg-cudnn but it is not installed; run: npm install`,
      );
    }
  };
  return [folderOf("node-addon-api"), join(folderOf("node-api-headers"), "include")];
}

const machine = hostname().replace(/[^A-Za-z0-9]/g, "_");
const prefix = "building-";

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Removes the folders of builds that were interrupted. A build on another machine may use the same disk for up to a day. */
function removeAbandoned(output) {
  for (const name of readdirSync(output).filter((each) => each.startsWith(prefix))) {
    const path = join(output, name);
    const [, host, pid] = /^building-(\w+)-(\d+)-/.exec(name) ?? [];
    const isOld = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > 864e5;
    if (host === machine ? !isAlive(Number(pid)) : isOld) remove(path);
  }
}

/** Removes what can be removed. Windows keeps a file that a process has loaded. */
function remove(path) {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {}
}

/**
 * Runs a command, whose output goes to stderr because it is progress and no result. A signal ends the command and all
 * processes that it has started.
 */
function run(command, args, cwd, interruption) {
  const isGroup = process.platform !== "win32";
  return new Promise((resolve, reject) => {
    if (interruption.signal !== undefined) return reject(new BuildError("The build was stopped"));
    const child = spawn(command, args, { cwd, stdio: ["ignore", 2, 2], detached: isGroup });
    interruption.stop = () => {
      try {
        if (isGroup) process.kill(-child.pid, "SIGKILL");
        else child.kill("SIGKILL");
      } catch {} // It has ended.
    };
    child.on("error", reject);
    child.on("exit", (status, signal) => {
      if (status === 0) return resolve();
      const how = signal === null ? `status ${status}` : signal;
      reject(
        new BuildError(
          `Expected the build in ${cwd} to succeed but ${command} ${args[0]} ended with ${how}; see its output above`,
        ),
      );
    });
  });
}

/** The arguments that configure the build in `work`. */
function configuration(root, work, { compiler, generator }, include) {
  const settings = {
    CMAKE_BUILD_TYPE: "Release",
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(work, "out"),
    CMAKE_JS_INC: include.join(";"),
    ...(compiler !== undefined && { CMAKE_CXX_COMPILER: compiler }),
    ...(process.platform === "darwin" && {
      CMAKE_OSX_ARCHITECTURES: process.arch === "x64" ? "x86_64" : process.arch,
    }),
  };
  return [
    ...["-S", root, "-B", work, "-Wno-dev"],
    ...(generator === undefined ? [] : ["-G", generator]),
    ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`),
  ];
}

/** Loads the addon in a separate process. @throws {BuildError} if it does not load */
function tryOut(path) {
  const { NODE_OPTIONS: _, ...environment } = process.env;
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ["-e", "require(process.env.VGG_BUILT)"],
    { env: { ...environment, VGG_BUILT: path }, encoding: "utf8" },
  );
  if (status === 0) return;
  const reason = /^\w*Error: .*$/m.exec(stderr)?.[0] ?? `Node ended with ${signal ?? status}`;
  throw new BuildError(`Expected the new addon to load but it does not: ${reason}`);
}

/** Puts the new addon into its place. Windows does not replace a loaded file, but moves it. */
function put(built, target, work) {
  mkdirSync(dirname(target), { recursive: true });
  try {
    renameSync(built, target);
  } catch (error) {
    if (process.platform !== "win32" || !existsSync(target)) throw error;
    renameSync(target, join(work, "replaced.node"));
    renameSync(built, target);
  }
}

async function buildIn(root, work, tools, interruption) {
  await run(tools.cmake, configuration(root, work, tools, headers(root)), root, interruption);
  const args = [
    "--build",
    work,
    "--target",
    "vgg_cudnn",
    "--config",
    "Release",
    "--parallel",
    String(jobs()),
  ];
  await run(tools.cmake, args, root, interruption);
  // A generator with several configurations adds a folder for each.
  const outputs = ["out", "out/Release"].map((folder) => join(work, folder, "vgg_cudnn.node"));
  const built = outputs.find((path) => existsSync(path));
  if (built === undefined)
    throw new BuildError(`Expected the build in ${root} to make vgg_cudnn.node but it did not`);
  tryOut(built);
  return built;
}

/** Makes the folder of a build. Its name has the process, so that a later build knows whether it is in use. */
function makeWorkFolder(output) {
  try {
    mkdirSync(output, { recursive: true });
    removeAbandoned(output);
    return mkdtempSync(join(output, `${prefix}${machine}-${process.pid}-`));
  } catch (error) {
    throw new BuildError(
      `Expected ${output} to be a folder in which files can be made but received ${error.code}; ` +
        "build as its owner, or copy the package",
    );
  }
}

/** Removes the files of earlier builds and keeps the addon and the folders of builds under way. */
function clean(output, target) {
  for (const folder of [output, dirname(target)])
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (path !== target && path !== dirname(target) && !name.startsWith(prefix)) remove(path);
    }
}

/**
 * Builds the addon into build/Release of the package.
 * @param root the package's folder
 * @param options.tools what `findTools` returns, which is called without it
 * @param options.isClean whether the other files in build/ are removed afterwards, by default false
 * @returns the addon's path
 * @throws {BuildError} if it cannot be built. The addon of an earlier build is then still there.
 */
export async function build(root, { isClean = false, tools = findTools() } = {}) {
  const output = join(root, "build");
  const target = join(output, "Release", "vgg_cudnn.node");
  const work = makeWorkFolder(output);
  const interruption = { signal: undefined, stop: () => {} };
  const interrupt = (signal) => {
    interruption.signal ??= signal;
    interruption.stop();
  };
  for (const signal of signals) process.on(signal, interrupt);
  try {
    put(await buildIn(root, work, tools, interruption), target, work);
    if (isClean) clean(output, target);
    return target;
  } catch (error) {
    if (error.syscall === undefined) throw error;
    throw new BuildError(`Expected to write ${target} but received ${error.message}`);
  } finally {
    remove(work);
    for (const signal of signals) process.off(signal, interrupt);
    // The process ends as it would have without these listeners.
    if (interruption.signal !== undefined) end(interruption.signal);
  }
}

function end(signal) {
  process.kill(process.pid, signal);
  // Windows has no signals.
  process.exitCode = 128 + constants.signals[signal];
}
