// The install script. A clone always builds the addon. A package from a registry has a prebuilt one, and this script does nothing
// if an addon loads. docs/decisions/0020-install-script.md gives the rules. It runs with Node alone, before anything is built.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const say = (text) => process.stderr.write(`vgg-cudnn: ${text}\n`);

/** Whether this is a clone: the file is in the repository and not in the published package. */
const isClone = existsSync(join(root, "tsconfig.build.json"));

/** Whether `VGG_BUILD` asks for a build: any value but `0`. */
const isAsked = !["", "0", undefined].includes(process.env.VGG_BUILD);

/** A clone: builds with cmake-js, whose objects in build/ later builds use again. @throws {BuildError} if it fails */
async function buildClone() {
  const { build, BuildError, findTools, jobs } = await import("./build.mjs");
  const path = cmakeJs();
  // On Windows cmake-js wants Visual Studio, whose compiler cannot build the addon.
  if (path === undefined || process.platform === "win32") return build(root);
  findTools();
  const args = ["compile", "--log-level", "warn", "--parallel", String(jobs())];
  // cmake-js would take settings of npm whose names begin with cmake_.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)),
  );
  const { status, signal, error } = spawnSync(
    process.execPath,
    [path, ...args, "--directory", root],
    { env, stdio: ["ignore", 2, 2] },
  );
  if (error) throw error;
  if (status !== 0)
    throw new BuildError(
      `Expected cmake-js to build the addon but it ended with ${signal ?? status}`,
    );
}

/** @returns the script of cmake-js; undefined without development dependencies */
function cmakeJs() {
  try {
    const manifest = createRequire(import.meta.url).resolve("cmake-js/package.json");
    return join(dirname(manifest), "bin", "cmake-js");
  } catch {
    return undefined;
  }
}

/** Returns what a call of the package says if no addon can be used; undefined if an addon loads. */
async function loadError() {
  const path = join(root, "dist/native/load.js");
  if (!existsSync(path))
    return new Error(`Expected ${path}. Remove the folder ${root} and install the package again`);
  const { native } = await import(pathToFileURL(path));
  try {
    native();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The package: builds only if no addon loads and a build can help. It never fails an installation. */
async function completePackage() {
  const problem = await loadError();
  if (problem === undefined) return;
  if (problem.code !== "ADDON_MISSING" || process.env.VGG_ADDON) return say(problem.message);
  const { build, findTools } = await import("./build.mjs");
  try {
    const tools = findTools();
    say("no prebuilt addon fits this machine, so one is built");
    await build(root, { tools });
    const after = await loadError();
    if (after !== undefined) say(after.message);
  } catch (error) {
    say(`the package is installed without an addon. ${problem.message}`);
    say(`it was not built: ${error.message}`);
  }
}

async function buildPackage() {
  const { build } = await import("./build.mjs");
  say(`built ${await build(root)}`);
}

try {
  await (isClone ? buildClone() : isAsked ? buildPackage() : completePackage());
} catch (error) {
  if (error.name !== "BuildError") throw error;
  say(error.message);
  process.exitCode = 1;
}
