// Projects in which package managers install from the test registries, and what is then there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import type { Manager, Wish } from "./managers.ts";

/** The folder of all projects, made by `start`. Its name has a space and a letter beyond ASCII. */
export const scratch = join(tmpdir(), `vgg-registry é ${process.pid}`);

export interface Result {
  readonly status: number | null;
  readonly output: string;
  readonly seconds: number;
}

/** Makes a folder for PATH that has only these commands. */
export function binaries(node: string | undefined, ...names: readonly string[]): string {
  const folder = mkdtempSync(join(scratch, "bin-"));
  symlinkSync(node ?? process.execPath, join(folder, "node"));
  for (const name of names) {
    const found = process.env.PATH!.split(delimiter).find((each) => existsSync(join(each, name)));
    symlinkSync(join(found!, name), join(folder, name));
  }
  return folder;
}

/** Runs a command with nothing of this process's environment but what is given. */
export async function run(
  command: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<Result> {
  const start = performance.now();
  const child = spawn(command[0]!, command.slice(1), { cwd, env });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  const [status] = await once(child, "close");
  return { status, output, seconds: (performance.now() - start) / 1000 };
}

let count = 0;

/** An empty project of one package manager. */
export class Project {
  readonly folder: string;
  readonly manager: Manager;
  readonly wish: Wish;
  readonly env: NodeJS.ProcessEnv;
  readonly #node: string | undefined;

  /** @param caches which caches it uses, by default the ones of its manager and registry. yarn knows no port. */
  constructor(manager: Manager, url: string, wish: Wish = {}, caches = new URL(url).port) {
    this.manager = manager;
    this.wish = wish;
    this.#node = manager.node;
    this.folder = join(scratch, `${manager.name} ${count++}`);
    mkdirSync(this.folder);
    const manifest = { name: "project", private: true, ...manager.manifest(wish) };
    this.write("package.json", JSON.stringify(manifest));
    for (const [name, text] of Object.entries(manager.files(url, wish))) this.write(name, text);
    const place = join(scratch, `home ${manager.name} ${caches}`);
    mkdirSync(place, { recursive: true });
    // No GPU. Without scripts nothing but Node, otherwise Node and sh.
    this.env = {
      PATH: binaries(this.#node, ...(wish.scripts === "ignored" ? [] : ["sh"])),
      HOME: place,
      CUDA_VISIBLE_DEVICES: "",
      NO_COLOR: "1",
      NODE_NO_WARNINGS: "1",
    };
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  /** Runs the manager in the project. */
  call(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
    return run([...this.manager.command, ...args], this.folder, { ...this.env, ...env });
  }

  add(name: string, env: NodeJS.ProcessEnv = {}): Promise<Result> {
    return this.call(this.manager.add(name, this.wish), env);
  }

  /** Runs the package's command through the manager. */
  vgg(...args: string[]): Promise<Result> {
    const { run, runNeeds = [] } = this.manager;
    return this.call([...run, ...args], { PATH: binaries(this.#node, "sh", ...runNeeds) });
  }

  /** Runs the package's command by its path, with nothing but Node. Plug'n'Play needs the manager for that. */
  direct(...args: string[]): Promise<Result> {
    if (this.manager.isPlugged) return this.vgg(...args);
    const PATH = binaries(this.#node);
    const script = this.path("node_modules/vgg-cudnn/dist/cli/main.js");
    return run([join(PATH, "node"), script, ...args], this.folder, { ...this.env, PATH });
  }

  /** The folder of an installed package; undefined if it is not on disk. */
  installed(name: string): string | undefined {
    const unplugged = this.path(".yarn/unplugged");
    const own = existsSync(unplugged)
      ? readdirSync(unplugged).find((each) => each.startsWith(`${name.replace("/", "-")}-npm-`))
      : undefined;
    if (own !== undefined) return join(unplugged, own, "node_modules", name);
    const found = [this.path("node_modules", name), ...this.#virtual(name)];
    return found.find((path) => existsSync(path));
  }

  /** Where pnpm has a package. */
  #virtual(name: string): string[] {
    const store = this.path("node_modules/.pnpm");
    if (!existsSync(store)) return [];
    const entry = readdirSync(store).find((each) => each.startsWith(`${name.replace("/", "+")}@`));
    return entry === undefined ? [] : [join(store, entry, "node_modules", name)];
  }

  /** Takes the lock file of another project. */
  takeLock(other: Project): void {
    for (const name of [this.manager.lock, "package.json"])
      cpSync(other.path(name), this.path(name));
  }

  /** Counts packages, and bytes on disk, of what the manager has installed in the project. */
  size(): { packages: number; bytes: number } {
    const files = new Map<number, number>();
    let packages = 0;
    const visit = (path: string) => {
      const stat = lstatSync(path);
      files.set(stat.ino, stat.blocks * 512);
      if (stat.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
      else if (/\.zip$/.test(path)) packages += 1;
      else if (basename(path) === "package.json" && isPackage(dirname(path))) packages += 1;
    };
    for (const name of ["node_modules", ".yarn/cache", ".yarn/unplugged"])
      if (existsSync(this.path(name))) visit(this.path(name));
    const isUnplugged = existsSync(this.path(".yarn/unplugged"));
    if (isUnplugged) packages = readdirSync(this.path(".yarn/cache")).length;
    return { packages, bytes: [...files.values()].reduce((sum, each) => sum + each, 0) };
  }
}

/** Whether a folder is a package that was installed, and not a folder in one. */
const isPackage = (folder: string) => /node_modules[\\/](@[^\\/]+[\\/])?[^\\/]+$/.test(folder);
