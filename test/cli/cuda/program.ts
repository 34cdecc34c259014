// The command line with another table of tested sets: small wheels stand for NVIDIA's. Each test gets its own cache folder.
import { type SpawnSyncReturns, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { type MadeWheel, makeWheel, sha256 } from "../../support/wheels.ts";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const scratch = mkdtempSync(join(tmpdir(), "vgg-cuda-cli-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

export const platform = `${process.platform}-${process.arch}`;
const machine = process.arch === "arm64" ? "aarch64" : "x86_64";

/** Makes the wheels of a set, with the layout and the names that NVIDIA's have. */
export function makeWheels(
  cuda: 12 | 13,
  versions = ["9.28.1.4", "", ""],
  bytes = 3000,
): MadeWheel[] {
  const [cudnn, cublas = "", nvrtc = ""] = versions;
  const suffix = cuda === 12 ? "-cu12" : "";
  const folder = (name: string) => (cuda === 12 ? `nvidia/${name}/lib` : "nvidia/cu13/lib");
  const minor = cuda === 12 ? "12.9" : "13.5";
  const library = () => randomBytes(bytes);
  const parts = ["", "_graph", "_ops", "_cnn", "_heuristic", "_engines_precompiled", "_adv"];
  return [
    makeWheel(
      `nvidia-cudnn-cu${cuda}`,
      Object.fromEntries(parts.map((part) => [`libcudnn${part}.so.9`, library()])),
      { version: cudnn!, at: "nvidia/cudnn/lib", machine },
    ),
    makeWheel(
      `nvidia-cublas${suffix}`,
      {
        [`libcublas.so.${cuda}`]: library(),
        [`libcublasLt.so.${cuda}`]: library(),
      },
      { version: cublas || `${minor}.1.2`, at: folder("cublas"), machine },
    ),
    makeWheel(
      `nvidia-cuda-nvrtc${suffix}`,
      {
        [`libnvrtc.so.${cuda}`]: library(),
        [`libnvrtc.alt.so.${cuda}`]: library(),
        [`libnvrtc-builtins.so.${minor}`]: library(),
      },
      { version: nvrtc || `${minor}.37`, at: folder("cuda_nvrtc"), machine },
    ),
  ];
}

const isTaken = (path: string) =>
  path.includes("/licenses/") || /libcudnn(?!_adv)|libcublasLt|libnvrtc(?!\.alt)/.test(path);

/** Makes the lines of lib/nvidia/sets/tested-sets.ts for a set of these wheels. */
export function tableOf(name: string, wheels: readonly MadeWheel[]): string {
  const lines = wheels.flatMap(({ wheel, contents }) => [
    `wheel ${wheel.name} ${wheel.version} ${wheel.file} ${wheel.sha256} ${wheel.size}`,
    ...[...contents]
      .filter(([path]) => isTaken(path))
      .map(([path, bytes]) => `${path} ${sha256(bytes)} ${bytes.length}`),
  ]);
  return [`set ${name} ${platform} tested`, ...lines].join("\n");
}

/** The names in the folder of a set, and in its list of files. */
export function namesOf(wheels: readonly MadeWheel[]): string[] {
  return wheels
    .flatMap(({ wheel, contents }) =>
      [...contents.keys()]
        .filter(isTaken)
        .map((path) =>
          path.includes("/licenses/") ? `${wheel.name}.LICENSE.txt` : path.split("/").at(-1)!,
        ),
    )
    .sort();
}

let programs = 0;

/** Makes a copy of the package whose tested sets are in a table. Returns the path of its command line. */
export function makeProgram(table: string): string {
  const folder = join(scratch, `program-${programs++}`);
  mkdirSync(folder);
  cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true });
  for (const name of ["node_modules", "build", "package.json"])
    symlinkSync(join(root, name), join(folder, name));
  const source = `export const table = ${JSON.stringify(table)};\n`;
  writeFileSync(join(folder, "dist/nvidia/sets/tested-sets.js"), source);
  return join(folder, "dist/cli/main.js");
}

let caches = 0;
export const newCache = () => join(scratch, `cache-${caches++}`);
export const setsOf = (cache: string) => join(cache, "vgg-cudnn", "cuda");

/** The environment of a process that has no driver, no settings of pip, and a separate cache folder. */
export function environment(cache: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(PIP_|VGG_|.*_proxy$|FAKE_)/i.test(name),
  );
  return {
    ...Object.fromEntries(inherited),
    HOME: join(cache, "home"),
    XDG_CACHE_HOME: cache,
    XDG_CONFIG_HOME: join(cache, "config"),
    PIP_CONFIG_FILE: "/dev/null",
    VGG_CUDA_PATH: "/nowhere",
    ...more,
  };
}

export type Run = Pick<SpawnSyncReturns<string>, "status" | "signal" | "stdout" | "stderr">;

/** Starts a command. The loopback index runs in this process, so the command must not block it. */
export function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [program, "cuda", ...args], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr += text));
  const ended = new Promise<Run>((resolve) => {
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  return { child, ended };
}

export const vgg = (
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Run> => start(program, args, env).ended;
