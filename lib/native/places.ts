// The files that may be the addon, in the order in which they are tried. Nothing is read before it is asked for.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { arch, platform } from "node:process";
import { fileURLToPath } from "node:url";
import { version } from "../version.js";

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
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
    return manifest.name === "vgg-cudnn" ? { root, manifest } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What loads each file that may be the addon, each by a literal path. Tools that copy a program with the files that it
 * reads (@vercel/nft, Next.js) look for such paths, and for a `require` that `createRequire` makes.
 */
function loaders(
  file: string,
): { require: NodeJS.Require } & Record<
  "built" | "prebuilt",
  Readonly<Record<string, () => unknown>>
> {
  const require = createRequire(file);
  return {
    require,
    built: {
      Release: () => require("../../build/Release/vgg_cudnn.node"),
      Debug: () => require("../../build/Debug/vgg_cudnn.node"),
    },
    prebuilt: {
      "@vgg-cudnn/linux-x64-gnu": () => require("@vgg-cudnn/linux-x64-gnu"),
      "@vgg-cudnn/linux-x64-musl": () => require("@vgg-cudnn/linux-x64-musl"),
      "@vgg-cudnn/linux-arm64-gnu": () => require("@vgg-cudnn/linux-arm64-gnu"),
      "@vgg-cudnn/linux-arm64-musl": () => require("@vgg-cudnn/linux-arm64-musl"),
      "@vgg-cudnn/darwin-arm64": () => require("@vgg-cudnn/darwin-arm64"),
      "@vgg-cudnn/darwin-x64": () => require("@vgg-cudnn/darwin-x64"),
      "@vgg-cudnn/win32-x64": () => require("@vgg-cudnn/win32-x64"),
      "@vgg-cudnn/win32-arm64": () => require("@vgg-cudnn/win32-arm64"),
    },
  };
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
      return createRequire(path)(path);
    },
  };
}

/** Whether a platform package serves this system. One for musl or glibc serves any Linux: only loading it tells. */
const isForThisSystem = (name: string) =>
  [name, name.replace(/-(gnu|musl)$/, "")].includes(`@vgg-cudnn/${platform}-${arch}`);

/**
 * The files to try: only `VGG_ADDON` if it is set, otherwise builds in the package's folder, which are newer, and the
 * platform packages. A file for musl may load with glibc, so it comes last.
 */
export function places(): Place[] {
  const { VGG_ADDON } = process.env;
  if (VGG_ADDON) return [chosen(VGG_ADDON)];
  const root = ownPackage()?.root;
  // In a bundle that is no file, packages are looked for from the working directory.
  const { require, built, prebuilt } = loaders(thisFile() ?? resolve("bundle.js"));
  const builds = Object.entries(root === undefined ? {} : built).map(([config, load]): Place => {
    const path = join(root!, "build", config, "vgg_cudnn.node");
    return { kind: "built", name: path, path: () => path, load };
  });
  const packages = Object.entries(prebuilt)
    .filter(([name]) => isForThisSystem(name))
    .map(([name, load]): Place => {
      const path = () => require.resolve(name);
      return {
        kind: "prebuilt",
        name,
        path,
        load() {
          path();
          const { version: found } = require(`${name}/package.json`) as { version?: unknown };
          // Another version may have another interface. A lock file or an override may bring one.
          if (found !== version) throw new Error(`Expected version ${version} but found ${found}`);
          return load();
        },
      };
    });
  return [...builds, ...packages];
}
