// The files that may be the addon, in the order in which they are tried. Nothing is read before it is asked for.
import { readFileSync } from "node:fs";
import module from "node:module";
import { dirname, join, resolve } from "node:path";
import { arch, platform } from "node:process";
import { fileURLToPath } from "node:url";
import { version } from "../version.js";
import { faultOfFile } from "./file.js";

/** A file that may be the addon. */
export interface Place {
  /** Whether `VGG_ADDON` names it, it was built in the package's folder, or it comes from a platform package. */
  readonly kind: "environment" | "built" | "prebuilt";
  /** The path of the file, or the name of the platform package. */
  readonly name: string;
  /** Returns the path of the file. @throws {Error} if its package is not installed */
  path(): string;
  /** Loads the file. @throws {Error} also if its package has not exactly the version of this one */
  load(): unknown;
}

/** The file of this module. In a bundle it is the bundle's; undefined in a bundle that is no file. */
function thisFile(): string | undefined {
  // A bundler that writes CommonJS leaves import.meta empty, and its output has __filename.
  const url: string | undefined = import.meta.url;
  if (url?.startsWith("file:")) return fileURLToPath(url);
  return typeof __filename === "string" && __filename !== "" ? resolve(__filename) : undefined;
}

interface Manifest {
  readonly name?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The folder of this package and its package.json; undefined if this module was bundled into another file. */
export function ownPackage(): { root: string; manifest: Manifest } | undefined {
  const file = thisFile();
  if (file === undefined) return undefined;
  const root = resolve(dirname(file), "../..");
  try {
    // Without options and without a prototype: neither Node nor this package takes a property of Object.prototype.
    const text = readFileSync(join(root, "package.json")).toString();
    const manifest: Manifest = Object.assign(Object.create(null), JSON.parse(text));
    return manifest.name === "vgg-cudnn" ? { root, manifest } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Loads a file that may be the addon. Tools that copy a program with the files that it reads (@vercel/nft, Next.js with
 * Turbopack) look for literal paths and for `module.createRequire(import.meta.url)`, in this form and no other. webpack
 * would bundle the addon if `createRequire` were imported by its name. To Turbopack, a file that is required in a try
 * block may be absent.
 */
function requireLiterally(name: string): { addon: unknown; error: unknown } {
  const require = module.createRequire(import.meta.url);
  try {
    switch (name) {
      case "build/Release":
        return { addon: require("../../build/Release/vgg_cudnn.node"), error: undefined };
      case "build/Debug":
        return { addon: require("../../build/Debug/vgg_cudnn.node"), error: undefined };
      case "@vgg-cudnn/linux-x64-gnu":
        return { addon: require("@vgg-cudnn/linux-x64-gnu"), error: undefined };
      case "@vgg-cudnn/linux-x64-musl":
        return { addon: require("@vgg-cudnn/linux-x64-musl"), error: undefined };
      case "@vgg-cudnn/linux-arm64-gnu":
        return { addon: require("@vgg-cudnn/linux-arm64-gnu"), error: undefined };
      case "@vgg-cudnn/linux-arm64-musl":
        return { addon: require("@vgg-cudnn/linux-arm64-musl"), error: undefined };
      case "@vgg-cudnn/darwin-arm64":
        return { addon: require("@vgg-cudnn/darwin-arm64"), error: undefined };
      case "@vgg-cudnn/darwin-x64":
        return { addon: require("@vgg-cudnn/darwin-x64"), error: undefined };
      case "@vgg-cudnn/win32-x64":
        return { addon: require("@vgg-cudnn/win32-x64"), error: undefined };
      case "@vgg-cudnn/win32-arm64":
        return { addon: require("@vgg-cudnn/win32-arm64"), error: undefined };
      default:
        return {
          addon: undefined,
          error: new Error(`There is no prebuilt addon for ${platform}-${arch}`),
        };
    }
  } catch (error) {
    return { addon: undefined, error };
  }
}

function loadLiterally(name: string): unknown {
  const { addon, error } = requireLiterally(name);
  if (error !== undefined) throw error;
  return addon;
}

/** @throws {Error} loading the file would fail, end the process or block it */
function checkFile(path: string): void {
  const fault = faultOfFile(path);
  if (fault !== undefined) throw new Error(fault);
}

/** The file that `VGG_ADDON` names. Node would run a file with another ending as JavaScript. */
function chosen(name: string): Place {
  const path = resolve(name);
  return {
    kind: "environment",
    name: path,
    path: () => path,
    load() {
      if (!path.endsWith(".node")) throw new Error("Expected a file whose name ends in .node");
      checkFile(path);
      return module.createRequire(path)(path);
    },
  };
}

/** The platforms that may be this one, the first to try first. A file for musl may load with glibc, so it comes last. */
function platforms(): string[] {
  const name = `${platform}-${arch}`;
  return platform === "linux" ? [`${name}-gnu`, `${name}-musl`] : [name];
}

/** A build in the package's folder. */
function built(root: string, name: string): Place {
  const path = join(root, name, "vgg_cudnn.node");
  const load = () => {
    checkFile(path);
    return loadLiterally(name);
  };
  return { kind: "built", name: path, path: () => path, load };
}

/**
 * The folder of a platform package that is installed in exactly the version of this one; undefined if there is none. npm
 * takes such a package for complete, even if its file is damaged or absent.
 */
export function installedFolder(name: string): string | undefined {
  const require = module.createRequire(thisFile() ?? resolve("bundle.js"));
  try {
    const manifest = require.resolve(`${name}/package.json`);
    const { version: found } = require(manifest) as { version?: unknown };
    return found === version ? dirname(manifest) : undefined;
  } catch {
    return undefined;
  }
}

/** The addon in a platform package. */
function prebuilt(name: string, isBundled: boolean): Place {
  // In a bundle that is no file, packages are looked for from the working directory.
  const require = module.createRequire(thisFile() ?? resolve("bundle.js"));
  const path = () => require.resolve(name);
  return {
    kind: "prebuilt",
    name,
    path,
    load() {
      const file = path();
      const { version: found } = require(`${name}/package.json`) as { version?: unknown };
      // Another version may have another interface. A lock file or an override may bring one.
      if (found !== version) throw new Error(`Expected version ${version} but found ${found}`);
      checkFile(file);
      return isBundled ? require(name) : loadLiterally(name);
    },
  };
}

/**
 * The files to try: only `VGG_ADDON` if it is set, otherwise builds in the package's folder, which are newer, and the
 * platform packages.
 */
export function places(): Place[] {
  const { VGG_ADDON } = process.env;
  if (VGG_ADDON) return [chosen(VGG_ADDON)];
  const own = ownPackage();
  const builds = own ? ["build/Release", "build/Debug"].map((name) => built(own.root, name)) : [];
  return [
    ...builds,
    ...platforms().map((name) => prebuilt(`@vgg-cudnn/${name}`, own === undefined)),
  ];
}
