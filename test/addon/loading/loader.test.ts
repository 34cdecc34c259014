// The loader finds the addon in packages that are staged as package managers leave them, and says what to do if it does not.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { diagnose, version } from "../../../lib/index.ts";
import type { AddonReport } from "../../../lib/native/addon.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const addon = diagnose().addon.path!;
const system = `${process.platform}-${process.arch}`;
const [first, second] =
  process.platform === "linux"
    ? [`@vgg-cudnn/${system}-gnu`, `@vgg-cudnn/${system}-musl`]
    : [`@vgg-cudnn/${system}`, undefined];

let project: string;
let main: string;

beforeEach(() => {
  project = realpathSync(mkdtempSync(join(tmpdir(), "vgg loader-")));
  main = install("node_modules");
});
afterEach(() => rmSync(project, { recursive: true }));

/** Writes the main package as it is published, without an addon. @returns its folder */
function install(modules: string): string {
  const folder = join(project, modules, "vgg-cudnn");
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const optional = [first, ...(second ? [second] : [])].map((name) => [name, version]);
  const staged = { ...manifest, optionalDependencies: Object.fromEntries(optional) };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify(staged));
  for (const path of ["native", "errors.js", "realm.js", "version.js"])
    cpSync(join(root, "dist", path), join(folder, "dist", path), { recursive: true });
  return folder;
}

/** Writes a platform package. Its file is the addon, unless it is given. */
function installPlatform(name: string, found = version, file?: string, modules = "node_modules") {
  const folder = join(project, modules, name);
  mkdirSync(folder, { recursive: true });
  const manifest = { name, version: found, main: "vgg_cudnn.node" };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  putAddon(join(folder, "vgg_cudnn.node"), file);
  return join(folder, "vgg_cudnn.node");
}

function putAddon(path: string, text?: string): string {
  mkdirSync(dirname(path), { recursive: true });
  if (text === undefined) cpSync(addon, path);
  else writeFileSync(path, text);
  return path;
}

/** What a program finds that imports the loader from `folder` and works in `cwd`. */
function load(
  env: NodeJS.ProcessEnv = {},
  folder = main,
  cwd = project,
): AddonReport & { message: string | null } {
  const url = pathToFileURL(join(folder, "dist/native/load.js")).href;
  const script = `
    const { addonReport, native } = await import(${JSON.stringify(url)});
    let message = null;
    try { native(); } catch (error) { message = error.code + ": " + error.message; }
    console.log(JSON.stringify({ ...addonReport(), message }));`;
  const { VGG_ADDON: _, ...inherited } = process.env;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", script],
    { cwd, env: { ...inherited, ...env }, encoding: "utf8" },
  );
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

describe("the loader takes", () => {
  it("the platform package of this system", () => {
    const path = installPlatform(first!);
    expect(load()).toMatchObject({
      path,
      kind: "prebuilt",
      package: { name: first, version },
      message: null,
    });
  });

  it("a build in the package's folder before a platform package", () => {
    installPlatform(first!);
    const debug = putAddon(join(main, "build/Debug/vgg_cudnn.node"));
    expect(load()).toMatchObject({ path: debug, kind: "built", package: null });
    const release = putAddon(join(main, "build/Release/vgg_cudnn.node"));
    expect(load()).toMatchObject({ path: release, kind: "built", package: null });
  });

  it("the platform package if the build cannot be loaded", () => {
    putAddon(join(main, "build/Release/vgg_cudnn.node"), "not an addon");
    const path = installPlatform(first!);
    const { tried, ...report } = load();
    expect(report).toMatchObject({ path, kind: "prebuilt" });
    expect(tried.map(({ error }) => error === null)).toEqual([false, false, true]);
  });

  it("VGG_ADDON, from the working directory, and nothing else", () => {
    installPlatform(first!);
    const path = putAddon(join(project, "own/addon.node"));
    const found = load({ VGG_ADDON: "own/addon.node" });
    expect(found).toMatchObject({ path, kind: "environment", package: null });
    expect(found.tried).toEqual([{ path, error: null }]);
    const { message, tried, ...report } = load({ VGG_ADDON: join(project, "absent.node") });
    expect(report).toEqual({ path: null, kind: null, package: null });
    expect(tried).toHaveLength(1);
    expect(message).toMatch(/absent\.node: Cannot find module .*\nVGG_ADDON names the only file/);
  });

  it("a platform package beside the main package in pnpm's store", () => {
    const store = `node_modules/.pnpm/vgg-cudnn@${version}/node_modules`;
    const target = install(store);
    rmSync(main, { recursive: true });
    symlinkSync(target, main, "dir");
    const path = installPlatform(first!, version, undefined, store);
    expect(load()).toMatchObject({ path, kind: "prebuilt", message: null });
  });

  it("what a resolver such as Plug'n'Play's gives for the package's name", () => {
    const path = installPlatform(first!, version, undefined, "elsewhere");
    const hook = join(project, "resolver.cjs");
    writeFileSync(
      hook,
      `const Module = require("node:module");
      const find = Module._resolveFilename;
      Module._resolveFilename = (name, ...rest) =>
        find(name.startsWith("@vgg-cudnn/") ? ${JSON.stringify(join(project, "elsewhere"))} + "/" + name : name, ...rest);
      process.versions.pnp = "3";`,
    );
    expect(load({ NODE_OPTIONS: `--require "${hook}"` })).toMatchObject({ path, message: null });
    rmSync(dirname(path), { recursive: true });
    expect(load({ NODE_OPTIONS: `--require "${hook}"` }).message).toContain(
      `or build it with: yarn node "${join(main, "dist/cli/main.js")}" build (`,
    );
  });

  it.runIf(second)("the package for glibc before the package for musl", () => {
    installPlatform(second!);
    expect(load().package?.name).toBe(second);
    const path = installPlatform(first!);
    expect(load()).toMatchObject({ path, tried: { length: 3 } });
    // A system with musl cannot load the file for glibc.
    installPlatform(first!, version, "not an addon");
    expect(load().package?.name).toBe(second);
  });
});

describe("the loader refuses", () => {
  it("a platform package of another version", () => {
    installPlatform(first!, "0.0.9");
    const { path, message } = load();
    expect(path).toBeNull();
    expect(message).toContain(`\n  ${first}: Expected version ${version} but found 0.0.9\n`);
    expect(message).toContain(`\nInstall it with: npm install ${first}@${version} (`);
  });

  it("a damaged platform package, and says which folder to delete before it is installed", () => {
    const path = installPlatform(first!, version, "not an addon");
    const { message } = load();
    expect(message).toContain(
      `\nIf its file is damaged, delete the folder ${dirname(path)}\nand install it again with: npm install ${first}@${version},`,
    );
    rmSync(path);
    expect(load().message).toContain(`delete the folder ${dirname(path)}`);
  });

  it("a broken file, an addon of another package, and a file that is no addon by its name", () => {
    installPlatform(first!, version, "not an addon");
    expect(load().message).toMatch(/^ADDON_MISSING: Expected the native addon for /);
    const foreign = join(root, `node_modules/@img/sharp-${system}/lib`);
    const [file] = readdirSync(foreign).filter((name) => name.endsWith(".node"));
    expect(load({ VGG_ADDON: join(foreign, file!) }).message).toContain(
      ".node: Expected the addon of vgg-cudnn",
    );
    const script = putAddon(join(project, "a.js"), "process.exit(9)");
    expect(load({ VGG_ADDON: script }).message).toContain(
      "a.js: Expected a file whose name ends in .node",
    );
  });

  it("all if nothing is installed, and says what to install or run", () => {
    const { message, tried } = load();
    expect(tried.map(({ path }) => path)).toEqual([
      join(main, "build/Release/vgg_cudnn.node"),
      join(main, "build/Debug/vgg_cudnn.node"),
      first,
      ...(second ? [second] : []),
    ]);
    const command = `node "${join(main, "dist/cli/main.js")}" build`;
    expect(message?.split("\n").slice(-2)).toEqual([
      `Install it with: npm install ${first}@${version} (--omit=optional, or a lock file made elsewhere, skips it),`,
      `or build it with: ${command} (needs CMake ≥ 3.18 and a C++20 compiler)`,
    ]);
  });
});

describe("the question for the C library", () => {
  it.runIf(second)("asks the network for no name, and leaves Node's settings as they were", () => {
    const hook = join(project, "report.cjs");
    writeFileSync(
      hook,
      `const { report } = process;
      report.getReport = () => ({ header: report.excludeNetwork ? { glibcVersionRuntime: "2.36" } : {} });
      process.on("exit", () => { if (report.excludeNetwork) console.error("changed"); });`,
    );
    const { message } = load({ NODE_OPTIONS: `--require "${hook}"` });
    expect(message).toContain(`npm install ${first}@${version} (`);
  });
});

describe("the command that builds", () => {
  it("goes through npx only from a folder where npx finds this copy", () => {
    mkdirSync(join(project, "node_modules/.bin"));
    writeFileSync(join(project, "node_modules/.bin/vgg-cudnn"), "");
    mkdirSync(join(project, "src"));
    expect(load({}, main, join(project, "src")).message).toContain("with: npx vgg-cudnn build (");
    expect(load({}, main, tmpdir()).message).not.toContain("npx");
    const other = install("other");
    expect(load({}, other).message).toContain(`node "${join(other, "dist/cli/main.js")}" build`);
  });
});
