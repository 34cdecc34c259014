// `npm run test:prebuilt [PLATFORM…]`: runs prebuilt addons in installed packages under each platform's own Node, and compares what they
// compute with what this machine's platform computes. Options: --prebuilt build/prebuilt, --json. docs/prebuilt.md describes it.
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { requireLlvm } from "../binary.mjs";
import { inspect } from "../inspect.mjs";
import { stage } from "../stage.mjs";
import { Interrupted, platformsNamed, root, runMain, ToolError } from "../tools.mjs";
import { filesOf, installApp, shareWeights } from "./app.mjs";
import { compare, table } from "./compare.mjs";
import { onInterruption, runWithFiles } from "./programs.mjs";
import { appOf, prepareRunner, requireRunners, runnable } from "./systems.mjs";

/** The platform whose findings the others must equal. */
const reference = runnable[0];
/** The seconds that one command may take under an emulator. */
const limit = 300;

/** Runs a platform's Node. @returns what it printed. @throws {ToolError} unless it ends with status 0 */
async function node({ command, env }, what, args) {
  const [program, ...first] = command;
  const { stdout, stderr, failure } = await runWithFiles(program, [...first, ...args], {
    env,
    limit,
  });
  if (failure !== undefined)
    throw new ToolError(`${what} ended with ${failure}: ${`${stdout}\n${stderr}`.trim()}`);
  return stdout;
}

function parsed(what, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ToolError(`Expected JSON of ${what} but received ${JSON.stringify(text)}`);
  }
}

/** Runs the checks of one platform. @returns what `compare` compares */
async function check(runner, platform, files) {
  const { pathOf } = runner;
  const json = async (what, ...args) => parsed(what, await node(runner, what, args));
  const vgg = (name, ...args) =>
    json(`vgg ${name}`, pathOf(files.command), name, "--json", ...args);
  const [image, weights] = [files.image, files.weights].map(pathOf);
  const smoke = await json("the smoke test", pathOf(files.smoke), image, weights);
  const { predictions } = (await vgg("classify", image, "--weights", weights))[0];
  const { addon } = await vgg("doctor");
  return {
    smoke,
    // A whole VGG11 takes an emulator minutes.
    check: await vgg("check", "--image-size", "64", "--hidden-features", "256"),
    classify: predictions,
    doctor: { package: addon.package, sha256: addon.sha256 },
    file: fileOf(files.addon(platform)),
  };
}

/** What `vgg doctor` must say of a file. */
function fileOf(path) {
  const { name, version } = JSON.parse(readFileSync(join(path, "../package.json")));
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  return { package: { name, version }, sha256 };
}

/** Installs and checks one platform. @returns its findings and the `seconds` that the runs took */
async function runPlatform(platform, packages) {
  const app = appOf(platform);
  const runner = await prepareRunner(platform);
  try {
    const files = installApp(app, platform, packages);
    const start = performance.now();
    if (platform === reference)
      await node(runner, "the making of weights", [files.smoke, "--make", files.weights]);
    else shareWeights(filesOf(appOf(reference)).weights, files.weights);
    const found = await check(runner, platform, files);
    return { ...found, seconds: (performance.now() - start) / 1000 };
  } finally {
    await runner.end?.();
  }
}

/** A platform's row of the table, and its problems. */
function judged(platform, expected, found) {
  if (found.failure)
    return { row: { platform, randn: "FAILED" }, checks: 1, problems: [found.failure] };
  const { cells, problems } = compare(expected, found);
  const { node: version, instructionSet } = found.smoke;
  const seconds = found.seconds.toFixed(0);
  const row = { platform, node: version, kernels: instructionSet, ...cells, seconds };
  return { row, checks: Object.keys(cells).length, problems };
}

/** Runs platforms one after the other. A signal ends it after the current program, and nothing of the runs stays. */
async function runAll(names, packages) {
  const found = {};
  let isInterrupted = false;
  const stopListening = onInterruption(() => {
    isInterrupted = true;
  });
  try {
    for (const name of names) {
      console.error(`${name}: running`);
      found[name] = await runPlatform(name, packages).catch((error) => {
        if (!(error instanceof ToolError) || name === reference) throw error;
        return { failure: error.message };
      });
      // A signal during npm, which blocks this thread, is seen only now.
      await setImmediate();
      if (isInterrupted) throw new Interrupted();
    }
  } finally {
    stopListening();
    for (const name of names) rmSync(filesOf(appOf(name)).weights, { force: true });
  }
  return found;
}

/** @throws {ToolError} if a file is not for its platform. Its failure to run would say less. */
function inspectAll(prebuilt, names) {
  requireLlvm();
  const problems = names.flatMap((name) => {
    const file = join(prebuilt, name, "vgg_cudnn.node");
    return inspect(name, file).problems.map((problem) => `${file} ${problem}`);
  });
  if (problems.length > 0) throw new ToolError(problems.join("; "));
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prebuilt: { type: "string", default: join(root, "build/prebuilt") },
      json: { type: "boolean", default: false },
    },
  });
  const asked = platformsNamed(positionals.length > 0 ? positionals : runnable);
  requireRunners(asked);
  const names = [...new Set([reference, ...asked])];
  const packages = join(root, "build/run-packages");
  inspectAll(values.prebuilt, names);
  stage({ prebuilt: values.prebuilt, out: packages, platforms: names });
  const found = await runAll(names, packages);
  const results = names.map((name) => judged(name, found[reference], found[name]));
  console.log(values.json ? JSON.stringify(found, null, 2) : table(results.map(({ row }) => row)));
  for (const [i, { problems }] of results.entries())
    for (const problem of problems) console.error(`test:prebuilt: ${names[i]}: ${problem}`);
  const count = (of) => results.reduce((sum, result) => sum + of(result), 0);
  const failed = count(({ problems }) => problems.length);
  if (!values.json)
    console.log(`${count(({ checks }) => checks) - failed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

await runMain("test:prebuilt", main);
