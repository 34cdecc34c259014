// Staging: what the packages hold, that the working tree stays as it is, and what bad input says.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasTools, platforms, Repository, tool } from "./small-repository.ts";

const repository = new Repository();
const { root, prebuilt, out } = repository;
afterAll(() => repository.remove());

const { stage } = await tool("stage.mjs");
const stageAll = () => stage({ root, prebuilt, out });
const json = (...path: string[]) => JSON.parse(readFileSync(join(out, ...path), "utf8"));
const filesOf = (tarball: string) =>
  execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" }).trimEnd().split("\n").sort();
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

describe.skipIf(!hasTools)("stage", () => {
  const before = readFileSync(repository.path("package.json"), "utf8");
  let packages: { name: string; version: string; tarball: string; integrity: string }[];
  beforeAll(() => {
    packages = stageAll();
  });

  it("writes eight packages of platforms, then the main one and the server, all of one version", () => {
    expect(packages.map(({ name }) => name)).toEqual([
      ...platforms.map((name) => `@vgg-cudnn/${name}`),
      "vgg-cudnn",
      "vgg-cudnn-serve",
    ]);
    expect(new Set(packages.map(({ version }) => version))).toEqual(new Set(["1.2.3"]));
  });

  it("gives each platform's package exactly one os, one cpu and, on Linux, one libc", () => {
    for (const platform of platforms) {
      const [os, cpu, libc] = platform.split("-");
      const manifest = json(platform, "package.json");
      expect(manifest).toMatchObject({
        name: `@vgg-cudnn/${platform}`,
        version: "1.2.3",
        os: [os],
        cpu: [cpu],
        main: "vgg_cudnn.node",
        files: ["vgg_cudnn.node"],
        engines: { node: ">=20" },
        license: "MIT",
        preferUnplugged: true,
      });
      const expected = { gnu: ["glibc"], musl: ["musl"] }[libc as string];
      expect(manifest.libc).toEqual(expected);
    }
  });

  it("packs the addon, the licence, a README of three lines and package.json for each platform", () => {
    for (const { name, tarball } of packages.slice(0, platforms.length)) {
      expect(filesOf(tarball)).toEqual(
        ["LICENSE", "README.md", "package.json", "vgg_cudnn.node"].map((file) => `package/${file}`),
      );
      const readme = readFileSync(join(out, basename(name), "README.md"), "utf8");
      expect(readme.split("\n").filter((line) => line !== "").length).toBe(3);
    }
  });

  it("packs the main package with the optional dependencies at exactly its version", () => {
    const manifest = json("vgg-cudnn", "package.json");
    expect(manifest.optionalDependencies).toEqual(
      Object.fromEntries(platforms.map((name) => [`@vgg-cudnn/${name}`, "1.2.3"])),
    );
    expect(manifest.scripts).toEqual({ install: "node npm/install.mjs" });
    expect([manifest.devDependencies, manifest.workspaces]).toEqual([undefined, undefined]);
    expect(filesOf(packages.at(-2)!.tarball)).toEqual(
      ["LICENSE", "README.md", "dist/version.js", "npm/install.mjs", "package.json"].map(
        (file) => `package/${file}`,
      ),
    );
  });

  it("packs the server with its licence, without what only a clone needs", () => {
    const manifest = json("vgg-cudnn-serve", "package.json");
    expect(manifest.peerDependencies).toEqual({ "vgg-cudnn": "1.2.3" });
    expect([manifest.devDependencies, manifest.scripts]).toEqual([undefined, undefined]);
    expect(filesOf(packages.at(-1)!.tarball)).toEqual(
      ["LICENSE", "README.md", "dist/index.js", "package.json"].map((file) => `package/${file}`),
    );
  });

  it("lists the SHA-256 of each tarball and of each addon", () => {
    const sums = json("SHA256SUMS.json");
    expect(Object.keys(sums).length).toBe(2 * platforms.length + 2);
    for (const { tarball } of packages) expect(sums[basename(tarball)]).toBe(sha256(tarball));
    for (const platform of platforms)
      expect(sums[`@vgg-cudnn/${platform}/vgg_cudnn.node`]).toBe(
        sha256(join(prebuilt, platform, "vgg_cudnn.node")),
      );
  });

  it("leaves the working tree as it was, and the same packages the second time", () => {
    const hashes = () => packages.map(({ integrity }) => integrity);
    const first = hashes();
    packages = stageAll();
    expect(hashes()).toEqual(first);
    expect(readFileSync(repository.path("package.json"), "utf8")).toBe(before);
    expect(readdirSync(repository.scratch).sort()).toEqual(["out", "prebuilt", "repository"]);
  });

  it("writes some platforms, while the main package names all", () => {
    const folder = join(repository.scratch, "some");
    const names = stage({ root, prebuilt, out: folder, platforms: ["win32-x64"] });
    expect(names.map(({ name }: { name: string }) => name)).toEqual([
      "@vgg-cudnn/win32-x64",
      "vgg-cudnn",
      "vgg-cudnn-serve",
    ]);
    expect(Object.keys(names[1].manifest.optionalDependencies).length).toBe(platforms.length);
    rmSync(folder, { recursive: true });
  });
});

describe.skipIf(!hasTools)("bad input of stage", () => {
  const sums = () => readFileSync(join(out, "SHA256SUMS.json"), "utf8");
  beforeAll(() => {
    stageAll();
  });

  it("is a platform without a file, or with an empty one", () => {
    const before = sums();
    const file = repository.addon("win32-arm64", "");
    rmSync(join(prebuilt, "darwin-x64"), { recursive: true });
    expect(stageAll).toThrow(
      /for darwin-x64, win32-arm64 but .*npm run build:prebuilt darwin-x64 win32-arm64$/,
    );
    expect(sums()).toBe(before);
    repository.addon("darwin-x64", "an addon for darwin-x64");
    writeFileSync(file, "an addon for win32-arm64");
    stageAll();
  });

  it("is a file instead of the folder of addons, or in the path of the result", () => {
    const file = join(repository.scratch, "file");
    writeFileSync(file, "a");
    expect(() => stage({ root, prebuilt: file, out })).toThrow(
      / for linux-x64-gnu, .* no such file/,
    );
    expect(() => stage({ root, prebuilt, out: join(file, "sub") })).toThrow(
      new RegExp(
        `^Expected a folder that can be written at ${file} but .*name another with --out$`,
      ),
    );
    rmSync(file);
  });

  it("is a version that differs in any of its places", () => {
    const places = {
      "package-lock.json": '{ "version": "1.2.2", "packages": { "": { "version": "1.2.3" } } }',
      "serve/package.json": '{ "version": "1.2.2", "peerDependencies": { "vgg-cudnn": "1.2.3" } }',
      "lib/version.ts": 'export const version: string = "1.2.2";',
      "dist/version.js": 'export const version = "1.2.2";',
    };
    for (const [place, text] of Object.entries(places)) {
      const before = readFileSync(repository.path(place), "utf8");
      repository.write(place, text);
      expect(stageAll).toThrow(
        `Expected version 1.2.3 of package.json in ${place} but found 1.2.2`,
      );
      repository.write(place, before);
    }
    const server = readFileSync(repository.path("serve/package.json"), "utf8");
    repository.write(
      "serve/package.json",
      server.replace('"vgg-cudnn":"1.2.3"', '"vgg-cudnn":"1"'),
    );
    expect(stageAll).toThrow("in peerDependencies of serve/package.json but found 1;");
    repository.write("serve/package.json", server);
    rmSync(repository.path("dist/version.js"));
    expect(stageAll).toThrow(/dist\/version\.js but there is none; run: npm run build$/);
    repository.write("dist/version.js", 'export const version = "1.2.3";\n');
  });

  it("is an unknown platform", () => {
    expect(() => stage({ root, prebuilt, out, platforms: ["linux-x86"] })).toThrow(
      "unknown platform: linux-x86; the platforms are linux-x64-gnu",
    );
  });

  it("is a folder that has other files, which stay", () => {
    const folder = join(repository.scratch, "other");
    mkdirSync(folder);
    writeFileSync(join(folder, "a.txt"), "a");
    expect(() => stage({ root, prebuilt, out: folder })).toThrow(/name another with --out$/);
    expect(existsSync(join(folder, "a.txt"))).toBe(true);
    rmSync(folder, { recursive: true });
  });
});
