// A repository of a few files that npm/stage.mjs and npm/release.mjs can read, for tests that need no build.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../..", import.meta.url));

const table = join(repository, "npm/platforms.json");

/** Absent in the bundle for GPU servers. npm and tar run as on Linux and macOS. */
export const hasTools = existsSync(table) && process.platform !== "win32";

/** The names of the platforms. */
export const platforms = hasTools ? Object.keys(JSON.parse(readFileSync(table, "utf8"))) : [];

/** A small repository, and files that stand for its prebuilt addons. */
export class Repository {
  readonly scratch: string;
  readonly root: string;
  readonly prebuilt: string;
  readonly out: string;

  constructor(version = "1.2.3", scratch = mkdtempSync(join(tmpdir(), "vgg release é-"))) {
    this.scratch = scratch;
    this.root = join(scratch, "repository");
    this.prebuilt = join(scratch, "prebuilt");
    this.out = join(scratch, "out");
    const manifest = {
      name: "vgg-cudnn",
      version,
      license: "MIT",
      repository: { type: "git", url: "git+https://example.com/vgg-cudnn.git" },
      engines: { node: ">=20" },
      type: "module",
      files: ["dist", "npm/install.mjs"],
      scripts: {
        install: "node npm/install.mjs",
        build: "node -e 0",
        prepare: "exit 1",
        prepack: "exit 1",
      },
      optionalDependencies: {},
      devDependencies: { typescript: "1.0.0" },
      workspaces: ["."],
    };
    this.write("package.json", JSON.stringify(manifest));
    const packages = { "": { version }, serve: { version } };
    this.write("package-lock.json", JSON.stringify({ version, packages }));
    const server = {
      ...{ name: "vgg-cudnn-serve", version, license: "MIT", type: "module", files: ["dist"] },
      peerDependencies: { "vgg-cudnn": version },
      scripts: { prepack: "exit 1" },
      devDependencies: { typescript: "1.0.0" },
    };
    this.write("serve/package.json", JSON.stringify(server));
    this.write("serve/dist/index.js", "export {};\n");
    this.write("serve/README.md", "# vgg-cudnn-serve\n");
    this.write("lib/version.ts", `export const version: string = "${version}";\n`);
    this.write("dist/version.js", `export const version = "${version}";\n`);
    this.write("npm/install.mjs", "// nothing\n");
    this.write("README.md", "# vgg-cudnn\n");
    this.write("LICENSE", "MIT\n");
    for (const name of platforms) this.addon(name, `an addon for ${name}`);
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  /** Writes the file that stands for a platform's addon. */
  addon(platform: string, text: string): string {
    const folder = join(this.prebuilt, platform);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "vgg_cudnn.node"), text);
    return join(folder, "vgg_cudnn.node");
  }

  remove(): void {
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Imports a tool of npm/, which has no types. */
export const tool = (name: string) =>
  // biome-ignore lint/suspicious/noExplicitAny: the tools are JavaScript.
  hasTools ? (import(join(repository, "npm", name)) as Promise<any>) : ({} as any);
