// A root folder for programs that are linked with musl, on a system with glibc: musl's loader, and what Node needs beside it.
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ToolError } from "../tools.mjs";
import { installOnce } from "./folders.mjs";
import { must } from "./programs.mjs";

/** Debian 13's package. Debian 12 has 1.2.3, and Node needs relocations that musl knows from 1.2.4 on. */
const pinned = {
  file: "musl_1.2.5-3_amd64.deb",
  hash: "SHA256:4288deaf14438e6c237491be45f10e3e7badb2e723cedfb08ff1fe687b646c84",
};
/** The sources of the same version. */
const source = {
  file: "musl_1.2.5.orig.tar.gz",
  hash: "SHA256:a9a118bbe84d8764da0ea0d28b3ab3fae8477fc7e4085d90102b8596fc7c75e4",
};
const oldest = [1, 2, 4];

/** @returns whether the version in a package's file name is one that Node starts with */
export function isNewEnough(file) {
  const parts = /^musl_(\d+)\.(\d+)\.(\d+)/.exec(file)?.slice(1).map(Number) ?? [];
  for (const [i, least] of oldest.entries()) if (parts[i] !== least) return parts[i] > least;
  return true;
}

/**
 * Chooses the package from the line that `apt-get download --print-uris musl` prints.
 * @returns the `uri` and the `hash` of apt's own package if it is new enough, else of the pinned one beside it
 * @throws {ToolError} if the line has another form
 */
export function choosePackage(line) {
  const [, uri, file, hash] =
    /^'([^']+)' (\S+) \d+ (SHA256:[0-9a-f]{64}|SHA512:[0-9a-f]{128})$/m.exec(line) ?? [];
  if (uri === undefined)
    throw new ToolError("Expected apt to know the package musl; run: apt-get update");
  if (isNewEnough(file)) return { uri, hash };
  return { uri: new URL(pinned.file, uri).href, hash: pinned.hash };
}

/** Fetches a file that lies beside apt's package of musl. */
function download({ uri, hash }, target) {
  must("/usr/lib/apt/apt-helper", ["download-file", uri, target, hash], {
    otherwise: `Expected apt to fetch ${uri} with the hash ${hash}`,
  });
  const [name, digest] = hash.split(":");
  const found = createHash(name).update(readFileSync(target)).digest("hex");
  if (found !== digest)
    throw new ToolError(`Expected the hash ${hash} of ${uri} but received ${found}`);
}

const aptLine = () =>
  must("apt-get", ["download", "--print-uris", "musl"], {
    otherwise: "Expected apt to know the package musl",
  });

/** Unpacks Debian's package for x64 into a root folder. */
function unpackMusl(root) {
  const deb = join(root, "musl.deb");
  download(choosePackage(aptLine()), deb);
  must("dpkg-deb", ["-x", deb, root], { otherwise: `Expected dpkg-deb to unpack ${deb}` });
  rmSync(deb);
}

/** Builds musl for arm64 with Debian's cross compiler, because apt on x64 has no packages for arm64. */
function buildMusl(root) {
  const work = join(root, "work");
  mkdirSync(work);
  const archive = join(work, source.file);
  download({ uri: new URL(source.file, choosePackage(aptLine()).uri).href, ...source }, archive);
  const step = (command, ...args) =>
    must(command, args, { cwd: work, otherwise: `Expected ${command} to build musl in ${work}` });
  step("tar", "-xf", archive, "--strip-components=1");
  step("./configure", "--target=aarch64-linux-gnu", "--disable-static");
  step("make", "-s", `-j${availableParallelism()}`, "lib/libc.so");
  mkdirSync(join(root, "lib"));
  copyFileSync(join(work, "lib/libc.so"), join(root, "lib/ld-musl-aarch64.so.1"));
  rmSync(work, { recursive: true });
}

/** Links a wheel's libraries under the names that other packages ask for. */
function addLibraries(root, libraries) {
  const names = readdirSync(libraries);
  mkdirSync(join(root, "usr/lib"), { recursive: true });
  for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
    const [stem] = name.split(".");
    const file = names.find((each) => each.startsWith(`${stem}-`));
    if (file === undefined) throw new ToolError(`Expected ${stem} in ${libraries}`);
    copyFileSync(join(libraries, file), join(root, "usr/lib", name));
  }
}

const installers = { x64: unpackMusl, arm64: buildMusl };

/**
 * Makes a folder the root of a file system for programs that are linked with musl.
 * @param libraries a folder with libstdc++ and libgcc_s, whose names have the hashes of a wheel
 */
export function makeRoot(folder, cpu, libraries) {
  const key = JSON.stringify([pinned, source, libraries]);
  const root = installOnce(join(folder, "musl"), key, (target) => {
    installers[cpu](target);
    addLibraries(target, libraries);
    // sharp looks into this file for the name of the C library.
    mkdirSync(join(target, "usr/bin"), { recursive: true });
    writeFileSync(join(target, "usr/bin/ldd"), "musl\n");
  });
  // Packages before Debian 13's have the loader in /lib.
  const lib = existsSync(join(root, "lib")) ? "musl/lib" : "musl/usr/lib";
  for (const [name, target] of Object.entries({ lib, usr: "musl/usr" }))
    if (!existsSync(join(folder, name))) symlinkSync(target, join(folder, name));
  for (const name of ["proc", "dev", "tmp"]) mkdirSync(join(folder, name), { recursive: true });
  return root;
}
