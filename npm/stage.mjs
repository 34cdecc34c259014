// `node npm/stage.mjs [PLATFORM…]`: writes the packages as they are published, packs them, and lists their SHA-256 hashes.
// Options: --prebuilt build/prebuilt, --out build/packages. The working tree is only read. docs/releasing.md describes it.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { lookAt, platformsNamed, root, runMain, ToolError, platforms as table } from "./tools.mjs";

const addon = "vgg_cudnn.node";
const sumsFile = "SHA256SUMS.json";

/** The package of the server, whose folder is serve/. */
export const serverName = "vgg-cudnn-serve";

/** The name of a platform's package. */
export const packageOf = (platform) => `@vgg-cudnn/${platform}`;

const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

/** Runs npm without any script of a package. @returns what it prints */
function npm(cwd, ...args) {
  const { error, status, stdout, stderr } = spawnSync("npm", [...args, "--ignore-scripts"], {
    cwd,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (error) throw new ToolError(`Expected npm in PATH but received ${error.code}`);
  if (status !== 0)
    throw new ToolError(`npm ${args[0]} ended with status ${status}: ${stderr.trim()}`);
  return stdout;
}

/** npm 11 prints a list of packages, npm 12 an object of them. */
const packed = (text) => Object.values(JSON.parse(text));

/**
 * @returns package.json
 * @throws {ToolError} unless package.json, serve/package.json, package-lock.json, lib/version.ts and dist/ have one version
 */
export function readManifest(folder) {
  const manifest = readJson(join(folder, "package.json"));
  const lock = readJson(join(folder, "package-lock.json"));
  const constantIn = (path) => {
    const file = join(folder, path);
    if (!existsSync(file))
      throw new ToolError(`Expected ${file} but there is none; run: npm run build`);
    return /version(?:: string)? = "([^"]*)"/.exec(readFileSync(file, "utf8"))?.[1];
  };
  const server = readJson(join(folder, "serve/package.json"));
  const found = {
    "package-lock.json": lock.version,
    'packages[""] of package-lock.json': lock.packages[""].version,
    "packages.serve of package-lock.json": lock.packages.serve?.version,
    "serve/package.json": server.version,
    "peerDependencies of serve/package.json": server.peerDependencies?.[manifest.name],
    "lib/version.ts": constantIn("lib/version.ts"),
    "dist/version.js": constantIn("dist/version.js"),
  };
  for (const [place, version] of Object.entries(found))
    if (version !== manifest.version)
      throw new ToolError(
        `Expected version ${manifest.version} of package.json in ${place} but found ${version}; ` +
          "set the version with: npm version --no-git-tag-version X.Y.Z && npm run build",
      );
  return manifest;
}

/** The package.json of a platform's package. */
function platformManifest(platform, { version, license, repository, engines }) {
  const { os, cpu, libc } = table[platform];
  return {
    name: packageOf(platform),
    version,
    description: `The prebuilt addon of vgg-cudnn for ${platform}.`,
    license,
    // Provenance compares this with the repository of the workflow.
    repository,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
    engines,
    main: addon,
    files: [addon],
    // Plug'n'Play then keeps the file on disk, because a system loads no library out of an archive.
    preferUnplugged: true,
  };
}

/**
 * Writes the package of one platform.
 * @param manifest the main package's, whose version, license, repository and engines it gets
 * @param licence the path of the LICENSE file
 */
export function writePlatform(folder, platform, { file, manifest, licence }) {
  mkdirSync(folder, { recursive: true });
  const own = platformManifest(platform, manifest);
  writeJson(join(folder, "package.json"), own);
  writeFileSync(
    join(folder, "README.md"),
    `# ${own.name}\n\n${own.description}\nInstall \`vgg-cudnn\`, which brings this package where it fits.\n`,
  );
  cpSync(file, join(folder, addon));
  // The tarball has the mode, and its bytes must not depend on the machine.
  chmodSync(join(folder, addon), 0o644);
  cpSync(licence, join(folder, "LICENSE"));
}

/** The package.json of the main package: with the platforms' packages, and without what only a clone needs. */
function mainManifest({ devDependencies: _, workspaces: __, scripts, ...manifest }) {
  const names = Object.keys(table).map(packageOf);
  return {
    ...manifest,
    scripts: { install: scripts.install },
    optionalDependencies: {
      ...manifest.optionalDependencies,
      ...Object.fromEntries(names.map((name) => [name, manifest.version])),
    },
  };
}

/** Copies the files that npm would pack, and writes the package.json with the optional dependencies. */
function writeMain(from, folder, manifest) {
  const [{ files }] = packed(npm(from, "pack", "--dry-run", "--json"));
  for (const { path } of files) cpSync(join(from, path), join(folder, path));
  writeJson(join(folder, "package.json"), mainManifest(manifest));
}

/** Copies the files of the server that npm would pack, with the licence. */
function writeServer(from, folder) {
  const source = join(from, "serve");
  const [{ files }] = packed(npm(source, "pack", "--dry-run", "--json"));
  for (const { path } of files) cpSync(join(source, path), join(folder, path));
  cpSync(join(from, "LICENSE"), join(folder, "LICENSE"));
  const { devDependencies: _, scripts: __, ...manifest } = readJson(join(source, "package.json"));
  writeJson(join(folder, "package.json"), manifest);
}

/**
 * Packs folders with npm.
 * @returns for each folder its package: `name`, `version`, `manifest`, the path of its `tarball`, and npm's `integrity` and `shasum`
 */
export function pack(folders, destination) {
  mkdirSync(destination, { recursive: true });
  const paths = folders.map((folder) => resolve(folder));
  const made = packed(
    npm(dirname(paths[0]), "pack", ...paths, "--json", "--pack-destination", destination),
  );
  return folders.map((folder) => {
    const manifest = readJson(join(folder, "package.json"));
    const { filename, integrity, shasum } = made.find(({ name }) => name === manifest.name);
    const { name, version } = manifest;
    return {
      name,
      version,
      manifest,
      tarball: join(destination, basename(filename)),
      integrity,
      shasum,
    };
  });
}

/** @returns the packages that `stage` wrote into a folder, as it returned them. @throws {ToolError} if there are none */
export function readStaged(folder) {
  const sums = join(folder, sumsFile);
  if (!existsSync(sums))
    throw new ToolError(
      `Expected staged packages in ${folder}; stage them with: node npm/stage.mjs`,
    );
  const names = [...Object.keys(table), "vgg-cudnn", serverName].filter((name) =>
    existsSync(join(folder, name)),
  );
  return names.map((folderName) => {
    const manifest = readJson(join(folder, folderName, "package.json"));
    const { name, version } = manifest;
    const file = `${name.replace("@", "").replace("/", "-")}-${version}.tgz`;
    return { name, version, manifest, tarball: join(folder, "tarballs", file) };
  });
}

/** @throws {ToolError} unless each platform has a file */
function requireFiles(prebuilt, names) {
  const missing = names.filter((name) => {
    const found = lookAt(join(prebuilt, name, addon));
    return !found?.isFile() || found.size === 0;
  });
  if (missing.length > 0)
    throw new ToolError(
      `Expected ${join(prebuilt, "PLATFORM", addon)} for ${missing.join(", ")} but there is no such file, or an empty one; ` +
        `build it with: npm run build:prebuilt ${missing.join(" ")}`,
    );
}

/** @throws {ToolError} if the folder has files that are not of an earlier call */
function requireReplaceable(out) {
  if (!existsSync(out) || existsSync(join(out, sumsFile))) return;
  if (!lstatSync(out).isDirectory() || readdirSync(out).length > 0)
    throw new ToolError(
      `Expected ${out} to be a folder of staged packages, an empty one or none; name another with --out`,
    );
}

/** Makes a folder beside the result, so that one renaming puts it in place. @throws {ToolError} if nothing can be written there */
function makeWork(target) {
  try {
    mkdirSync(dirname(target), { recursive: true });
    return mkdtempSync(`${target}.`);
  } catch ({ code }) {
    throw new ToolError(
      `Expected a folder that can be written at ${dirname(target)} but received ${code}; name another with --out`,
    );
  }
}

/** Replaces an earlier result as a whole: one that is removed in part would be taken for a folder with other files. */
function putInPlace(work, target) {
  const earlier = mkdtempSync(`${target}.`);
  try {
    if (existsSync(target)) renameSync(target, join(earlier, "packages"));
    renameSync(work, target);
  } finally {
    rmSync(earlier, { recursive: true, force: true });
  }
}

/** Writes the hashes of the tarballs, and of the addons that `vgg doctor` names. */
function writeSums(folder, packages) {
  const sums = {};
  for (const { name, tarball } of packages) {
    sums[basename(tarball)] = sha256(tarball);
    const file = join(folder, name.replace("@vgg-cudnn/", ""), addon);
    if (existsSync(file)) sums[`${name}/${addon}`] = sha256(file);
  }
  writeJson(join(folder, sumsFile), sums);
}

/**
 * Writes the packages as they are published: `out/<platform>`, `out/vgg-cudnn`, `out/vgg-cudnn-serve`, their tarballs in
 * `out/tarballs` and `out/SHA256SUMS.json`. An earlier result is replaced when the new one is whole.
 * @param options.root the repository, by default this one; its dist/ must be built
 * @param options.prebuilt the folder with `<platform>/vgg_cudnn.node`
 * @param options.platforms the platforms to write, by default all. The main package names all in any case.
 * @returns the packages, platforms first, then the main one, then the server, as `pack` returns them
 * @throws {ToolError} a file that is missing, versions that differ, an unknown platform, a folder with other files
 */
export function stage({ root: from = root, prebuilt, out, platforms = [] }) {
  const names = platformsNamed(platforms);
  const manifest = readManifest(from);
  requireFiles(prebuilt, names);
  const target = resolve(out);
  requireReplaceable(target);
  const work = makeWork(target);
  try {
    const licence = join(from, "LICENSE");
    for (const name of names) {
      const file = join(prebuilt, name, addon);
      writePlatform(join(work, name), name, { file, manifest, licence });
    }
    writeMain(from, join(work, manifest.name), manifest);
    writeServer(from, join(work, serverName));
    const folders = [...names, manifest.name, serverName].map((name) => join(work, name));
    const packages = pack(folders, join(work, "tarballs"));
    writeSums(work, packages);
    putInPlace(work, target);
    return packages.map((one) => ({
      ...one,
      tarball: join(target, "tarballs", basename(one.tarball)),
    }));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prebuilt: { type: "string", default: join(root, "build/prebuilt") },
      out: { type: "string", default: join(root, "build/packages") },
    },
  });
  const packages = stage({ ...values, platforms: positionals });
  for (const { tarball } of packages) console.log(tarball);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain("stage", main);
