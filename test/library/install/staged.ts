// A package as a registry gives it, with an addon of a few lines that builds in a second, for tests of the install script.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { project, source } from "../../support/small-addon.ts";

const repository = fileURLToPath(new URL("../../..", import.meta.url));

export interface Result {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly milliseconds: number;
}

/** A staged package and what can be run in it. */
export class Staged {
  readonly scratch = mkdtempSync(join(tmpdir(), "vgg-install-"));
  /** The path has spaces and letters beyond ASCII. */
  readonly root = join(this.scratch, "an é app", "node_modules", "vgg-cudnn");
  readonly addon = this.path("build/Release/vgg_cudnn.node");

  constructor() {
    for (const [path, text] of Object.entries({ "CMakeLists.txt": project, "addon.cc": source }))
      this.write(path, text);
    const manifest = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
    const { files, dependencies } = manifest;
    const published = [
      "package.json",
      ...files.filter((path: string) => /^(npm\/|dist)/.test(path)),
    ];
    for (const path of published)
      cpSync(join(repository, path), this.path(path), {
        recursive: true,
        filter: (from) => !/\.(map|d\.ts)$/.test(from),
      });
    for (const name of Object.keys(dependencies))
      symlinkSync(join(repository, "node_modules", name), this.path(`../${name}`));
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  /** Makes a folder for PATH that has only Node and `sh`, and scripts under the names of tools. */
  tools(scripts: Readonly<Record<string, string>> = {}): string {
    const folder = mkdtempSync(join(this.scratch, "bin-"));
    symlinkSync(process.execPath, join(folder, "node"));
    symlinkSync("/bin/sh", join(folder, "sh"));
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    return folder;
  }

  /** Starts the script of package.json as npm does, by `sh -c`. It ends with its group if a signal is sent to it. */
  start(environment: NodeJS.ProcessEnv = {}, command = "exec node npm/install.mjs") {
    const { NODE_OPTIONS, VGG_ADDON, VGG_BUILD, CXX, CMAKE_GENERATOR, ...rest } = process.env;
    const start = performance.now();
    const child = spawn("/bin/sh", ["-c", command], {
      cwd: this.root,
      env: { ...rest, ...environment },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
      });
    const ended = once(child, "close").then(
      ([status, signal]): Result => ({
        status,
        signal,
        output,
        milliseconds: Math.round(performance.now() - start),
      }),
    );
    return { child, ended, output: () => output };
  }

  run(environment: NodeJS.ProcessEnv = {}, command?: string): Promise<Result> {
    return this.start(environment, command).ended;
  }

  /** What is in build/, other than the addon. */
  leftovers(): string[] {
    const folders = ["build", "build/Release"].map((name) => this.path(name));
    return folders
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder))
      .filter((name) => name !== "Release" && name !== "vgg_cudnn.node");
  }

  /** Moves the built addon to a platform package. @returns its folder */
  prebuild(): string {
    const libc = process.platform === "linux" ? "-gnu" : "";
    const folder = `../@vgg-cudnn/${process.platform}-${process.arch}${libc}`;
    const { version } = JSON.parse(readFileSync(this.path("package.json"), "utf8"));
    const manifest = { name: folder.slice(3), version, main: "vgg_cudnn.node" };
    this.write(`${folder}/package.json`, JSON.stringify(manifest));
    renameSync(this.addon, this.path(`${folder}/vgg_cudnn.node`));
    rmSync(this.path("build"), { recursive: true });
    return this.path(folder);
  }

  /** Removes the addon and restores the sources. */
  reset(): void {
    for (const name of ["build", "../@vgg-cudnn"])
      rmSync(this.path(name), { recursive: true, force: true });
    rmSync(this.path("tsconfig.build.json"), { force: true });
    this.write("addon.cc", source);
  }

  remove(): void {
    rmSync(this.scratch, { recursive: true });
  }
}
