// What is said if there is no addon: each file that was tried, and what to do. The script of `npm install` says the same.
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { arch, platform, versions } from "node:process";
import type { AddonReport } from "./addon.js";
import { installedFolder, ownPackage } from "./places.js";

const requirements = "needs CMake ≥ 3.18 and a C++20 compiler";

/** What is used here of `process.report`. Older types lack `excludeNetwork`. */
interface Report {
  excludeNetwork?: boolean;
  getReport(): { header?: Readonly<Record<string, unknown>> };
}

/** Whether the C library is musl. Node tells it in 13 ms, so it is asked only for a message. */
function isMusl(): boolean {
  if (platform !== "linux") return false;
  const report = process.report as Report | undefined;
  if (report === undefined) return false;
  const { excludeNetwork = false } = report;
  try {
    // Otherwise Node asks the network for the name of each host with an open connection, and blocks until it answers.
    report.excludeNetwork = true;
    const { header } = report.getReport();
    return header !== undefined && header.glibcVersionRuntime === undefined;
  } catch {
    return false;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** Whether npx finds this copy of the package from the working directory. Otherwise it would fetch one. */
function isInReach(root: string): boolean {
  try {
    for (let folder = process.cwd(), last = ""; folder !== last; folder = dirname(folder)) {
      last = folder;
      if (!existsSync(join(folder, "node_modules/.bin/vgg-cudnn"))) continue;
      return realpathSync(join(folder, "node_modules/vgg-cudnn")) === realpathSync(root);
    }
  } catch {
    // The working directory or the package cannot be read.
  }
  return false;
}

/** Returns the command that builds the addon of this copy of the package; undefined if it was bundled. */
export function buildCommand(): string | undefined {
  const root = ownPackage()?.root;
  if (root === undefined) return undefined;
  // Without its loader, which `yarn node` brings, Plug'n'Play finds no dependency.
  const isPlugged = versions.pnp !== undefined;
  if (!isPlugged && isInReach(root)) return "npx vgg-cudnn build";
  const script = join(root, "dist", "cli", "main.js");
  return `${isPlugged ? "yarn node" : "node"} ${/\s/.test(script) ? `"${script}"` : script} build`;
}

/** Returns the platform package that the package's own package.json asks for on this system, as `npm install` takes it. */
function installable(): { name: string; version: string } | undefined {
  const wanted = ownPackage()?.manifest.optionalDependencies ?? {};
  const name = `@vgg-cudnn/${platform}-${arch}`;
  const libc = isMusl() ? "musl" : "gnu";
  const found = [name, `${name}-${libc}`].find((key) => Object.hasOwn(wanted, key));
  const version = found && wanted[found];
  return version === undefined ? undefined : { name: found as string, version };
}

/** Says what to do about an addon that is missing. */
function advice(): string {
  if (process.env.VGG_ADDON)
    return "VGG_ADDON names the only file that is tried: correct it, or unset it";
  const build = buildCommand();
  if (build === undefined) {
    return (
      "vgg-cudnn was bundled, and a bundle cannot hold an addon: leave vgg-cudnn out of the bundle (external), with\n" +
      '  esbuild: --external:vgg-cudnn; webpack: externals: { "vgg-cudnn": "import vgg-cudnn" };\n' +
      '  Vite: ssr.external: ["vgg-cudnn"]; Next.js: serverExternalPackages: ["vgg-cudnn"];\n' +
      "or set VGG_ADDON to the path of vgg_cudnn.node"
    );
  }
  const wanted = installable();
  if (wanted === undefined) return `Build it with: ${build}\n(${requirements})`;
  const command = `npm install ${wanted.name}@${wanted.version}`;
  const folder = installedFolder(wanted.name);
  const install =
    folder === undefined
      ? `Install it with: ${command} (--omit=optional, or a lock file made elsewhere, skips it),`
      : `If its file is damaged, delete the folder ${folder}\nand install it again with: ${command},`;
  return `${install}\nor build it with: ${build} (${requirements})`;
}

/** Returns the whole message of ADDON_MISSING for a report without a file. */
export function addonMissingText({ tried }: Pick<AddonReport, "tried">): string {
  const tries = tried.map(({ path, error }) => `  ${path}: ${error}`);
  const first = `Expected the native addon for ${platform}-${arch} but it could not be loaded:`;
  return [first, ...tries, advice()].join("\n");
}
