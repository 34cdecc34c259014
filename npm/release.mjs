// `npm run release -- --dry-run`: does all of a release, with a test registry instead of npm's. `--publish` publishes for good.
// Options: --prebuilt DIR, which has addons that are built already. docs/releasing.md describes the steps.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { inspect as inspectFile, table as tableOf } from "./inspect.mjs";
import { startRegistry } from "./registry.mjs";
import { readManifest, serverName, stage } from "./stage.mjs";
import { platforms, root, runMain, ToolError, UsageError } from "./tools.mjs";

const names = Object.keys(platforms);
const addonIn = (prebuilt, name) => join(prebuilt, name, "vgg_cudnn.node");
const say = (text) => console.log(`release: ${text}`);

/**
 * Runs a command to its end.
 * @param options.isShown whether its output is shown, not returned
 * @returns `status` and `output`
 */
async function run(command, args, { isShown = false, ...options }) {
  const stdio = isShown ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"];
  const child = spawn(command, args, { ...options, stdio });
  let output = "";
  for (const stream of isShown ? [] : [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  const [status] = await once(child, "close").catch(({ code }) => {
    throw new ToolError(`Expected ${command} in PATH but received ${code}`);
  });
  return { status, output: output.trim() };
}

/** Runs a command whose failure ends the release. @returns its output */
async function must(command, args, { advice, ...options }) {
  const { status, output } = await run(command, args, options);
  if (status !== 0)
    throw new ToolError(
      [`${command} ${args.slice(0, 2).join(" ")} ended with status ${status}. ${advice}`, output]
        .filter(Boolean)
        .join("\n"),
    );
  return output;
}

/** @throws {ToolError} if the working tree is not the commit that is released */
async function requireClean(from) {
  const advice = "Release from a clone of the repository.";
  const changes = await must("git", ["status", "--porcelain"], { cwd: from, advice });
  if (changes !== "")
    throw new ToolError(
      `Expected a clean working tree; commit or remove what has changed:\n${changes}`,
    );
}

/** What a dry run only mentions, and what stops a release for good. Each sentence says what to do. */
function unfinished(from, { version, repository }) {
  const changelog = readFileSync(join(from, "CHANGELOG.md"), "utf8");
  const heading = changelog.split("\n").find((line) => `${line} `.startsWith(`## ${version} `));
  if (heading === undefined)
    throw new ToolError(
      `Expected CHANGELOG.md to have the heading "## ${version} (YYYY-MM-DD)"; add it`,
    );
  const found = [];
  if (!/\(\d{4}-\d\d-\d\d\)$/.test(heading))
    found.push(
      `write the date into CHANGELOG.md: "## ${version} (YYYY-MM-DD)" instead of "${heading}"`,
    );
  if (repository.url.includes("OWNER"))
    found.push("replace OWNER in repository, homepage and bugs of package.json");
  return found;
}

/** Builds the eight addons, unless a folder has them. @returns the folder */
async function build(from, prebuilt) {
  const advice = "Mend the build, then start the release again: it goes on with what is built.";
  const options = { cwd: from, isShown: true, advice };
  await must("npm", ["run", "build"], options);
  if (prebuilt !== undefined) return prebuilt;
  await must("npm", ["run", "build:prebuilt"], options);
  return join(from, "build/prebuilt");
}

/** @throws {ToolError} if the inspection refuses a platform's file */
function inspectAll(prebuilt, inspect) {
  const found = names.map((name) => inspect(name, addonIn(prebuilt, name)));
  const problems = found.flatMap(({ name, problems }) => problems.map((one) => `${name} ${one}`));
  if (problems.length > 0)
    throw new ToolError(
      `A platform's file failed, so nothing is released. Mend it and build it again with npm run build:prebuilt PLATFORM:\n${problems.join("\n")}`,
    );
  console.log(tableOf(found));
}

/** The registry to publish to: `flags` for npm, its `env`, and `close`. A dry run sees none of npm's settings or tokens. */
async function openTarget(isDry, scratch) {
  if (!isDry) return { flags: [], env: process.env, close() {} };
  const registry = await startRegistry();
  const settings = join(scratch, "npmrc");
  const host = registry.url.slice("http:".length);
  writeFileSync(settings, `${host}:_authToken=${registry.token}\n`, { mode: 0o600 });
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_|TOKEN/i.test(name));
  const env = {
    ...Object.fromEntries(kept),
    npm_config_userconfig: settings,
    npm_config_globalconfig: join(scratch, "none"),
    npm_config_update_notifier: "false",
  };
  // A flag has precedence over every file of settings, also the one for the scope.
  const flags = [`--registry=${registry.url}`, `--@vgg-cudnn:registry=${registry.url}`];
  return { flags, env, close: registry.close };
}

/** Publishes a package. A version that is there with the same bytes is left alone, so that a release can go on. */
async function publish(one, tag, { flags, env, provenance, cwd }) {
  const id = `${one.name}@${one.version}`;
  const view = await run("npm", ["view", id, "dist.integrity", ...flags], { env, cwd });
  if (view.status === 0 && view.output === one.integrity) return say(`${id} is published already`);
  if (view.status === 0 && view.output !== "")
    throw new ToolError(
      `Expected ${id} to be new but it is published with other contents. Never republish a version: release the next patch of all ten`,
    );
  const args = [
    "publish",
    one.tarball,
    "--access",
    "public",
    "--tag",
    tag,
    ...provenance,
    ...flags,
  ];
  const advice = `${id} is not published, nor any package after it. Mend the cause, then run the same command again: it goes on here.`;
  await must("npm", args, { env, cwd, advice });
  say(`published ${id} under ${tag}`);
}

/** This machine's platform, in which the published packages are tried. */
function ownPlatform() {
  const { platform, arch, report } = process;
  const libc = report.getReport().header.glibcVersionRuntime === undefined ? "musl" : "gnu";
  return platform === "linux" ? `linux-${arch}-${libc}` : `${platform}-${arch}`;
}

/** Installs the published package in an empty project, and checks that it runs with the addon that was published. */
async function tryOut({ version, prebuilt, isDry, scratch, flags, env }) {
  const cwd = join(scratch, "project");
  mkdirSync(cwd);
  writeFileSync(join(cwd, "package.json"), '{ "private": true }\n');
  const settings = [
    "--no-audit",
    "--no-fund",
    `--cache=${join(scratch, "cache")}`,
    "--ignore-scripts",
  ];
  const advice = `It stays under the tag next. Find the cause; if it is in the packages, release the next patch of all ten.`;
  const both = [`vgg-cudnn@${version}`, `${serverName}@${version}`];
  const install = ["install", ...both, ...settings, ...flags];
  // npm's registry may take a minute to show a new version.
  for (let left = isDry ? 0 : 6; ; left--) {
    const { status } = await run("npm", install, { env, cwd });
    if (status === 0) break;
    if (left <= 0) await must("npm", install, { env, cwd, advice });
    await sleep(20_000);
  }
  const { VGG_ADDON: _, ...plain } = env;
  const vgg = (...args) =>
    must(process.execPath, ["node_modules/vgg-cudnn/dist/cli/main.js", ...args], {
      ...{ cwd, env: plain, advice },
    });
  console.log(await vgg("check"));
  // Any file does: this loads the server and no weights.
  await vgg("serve", "--model", "a=package.json", "--check");
  const bytes = readFileSync(addonIn(prebuilt, ownPlatform()));
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const { output } = await run(
    process.execPath,
    ["node_modules/vgg-cudnn/dist/cli/main.js", "doctor"],
    { cwd, env: plain },
  );
  if (!output.includes(hash))
    throw new ToolError(
      `Expected the installed package to load the addon ${hash} of this release. ${advice}\n${output}`,
    );
}

/**
 * Makes a release. Each failure stops it.
 * @param options.isDry publishes into a registry on loopback, which ends with this process, instead of npm's
 * @param options.prebuilt a folder with the eight addons; by default they are built
 * @param options.hasProvenance whether npm signs where the packages were built, which it can do only in a workflow
 * @throws {ToolError} with what to do
 */
export async function release({
  root: from = root,
  isDry,
  prebuilt: given,
  inspect = inspectFile,
  hasProvenance = !isDry,
}) {
  await requireClean(from);
  if (hasProvenance && !(process.env.ACTIONS_ID_TOKEN_REQUEST_URL || process.env.SIGSTORE_ID_TOKEN))
    throw new ToolError(
      "Expected a workflow, in which npm can sign where the packages were built; start the workflow named release",
    );
  const left = unfinished(from, JSON.parse(readFileSync(join(from, "package.json"), "utf8")));
  if (left.length > 0 && !isDry) throw new ToolError(`Before a release, ${left.join(", and ")}`);
  const prebuilt = await build(from, given);
  const { version } = readManifest(from);
  inspectAll(prebuilt, inspect);
  await requireClean(from);
  const packages = stage({ root: from, prebuilt, out: join(from, "build/packages") });
  const scratch = mkdtempSync(join(tmpdir(), "vgg-release-"));
  const { close, ...target } = await openTarget(isDry, scratch);
  try {
    const isPrerelease = version.includes("-");
    const options = { ...target, provenance: hasProvenance ? ["--provenance"] : [], cwd: from };
    const tried = ["vgg-cudnn", serverName];
    // The platforms first: a lock file that is made before they are there would lack them.
    for (const one of packages.filter(({ name }) => !tried.includes(name)))
      await publish(one, isPrerelease ? "next" : "latest", options);
    for (const one of packages.filter(({ name }) => tried.includes(name)))
      await publish(one, "next", options);
    await tryOut({ version, prebuilt, isDry, scratch, ...target });
    for (const name of isPrerelease ? [] : tried) {
      const advice = `The packages are published and run. Set the tag with: npm dist-tag add ${name}@${version} latest`;
      const args = ["dist-tag", "add", `${name}@${version}`, "latest", ...target.flags];
      await must("npm", args, { env: target.env, cwd: from, advice });
    }
  } finally {
    await close();
    rmSync(scratch, { recursive: true, force: true });
  }
  if (isDry) say(`nothing was published. ${packages.length} packages are in build/packages`);
  for (const one of left) say(`before the release, ${one}`);
  if (!isDry)
    say(`${version} is released. Attach build/packages/SHA256SUMS.json to the release's page`);
}

async function main() {
  const { values } = parseArgs({
    options: {
      "dry-run": { type: "boolean", default: false },
      publish: { type: "boolean", default: false },
      prebuilt: { type: "string" },
    },
  });
  if (values["dry-run"] === values.publish)
    throw new UsageError("say --dry-run, which publishes nothing, or --publish");
  await release({ isDry: values["dry-run"], prebuilt: values.prebuilt });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain("release", main);
