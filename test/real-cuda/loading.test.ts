// NVIDIA's real libraries with missing parts: a clear report, no output on the streams, never an abort. Also tests `vgg plan` from end to end.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Diagnosis } from "../../lib/device/diagnosis.ts";
import type { PlanReport } from "../../lib/vgg/plan.ts";
import {
  driverFolder,
  environmentOf,
  folderOf,
  type LibrarySet,
  librariesOf,
  librarySets,
  runScript,
  skipped,
  standInDriver,
} from "./nvidia.ts";

if (librarySets.length === 0) skipped(it);
else standInDriver();

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
const kept = (folder: string) => {
  folders.push(folder);
  return folder;
};
const temporary = () => kept(mkdtempSync(join(tmpdir(), "vgg-real-cuda-")));

/** Prefixes of the libraries that the addon loads. */
const parts = ["libcudnn", "libcublasLt.so", "libnvrtc"];
const missing = (set: LibrarySet, ...absent: string[]) =>
  kept(
    folderOf(
      parts
        .flatMap((prefix) => librariesOf(set, prefix))
        .filter((path) => !absent.some((name) => path.includes(name))),
    ),
  );

/** The environment of a process that finds libraries only in these folders, and where its loader looks by itself. */
const only = (...found: string[]): NodeJS.ProcessEnv => ({
  ...environmentOf(librarySets[0]!, "h200"),
  VGG_CUDA_PATH: found.join(":"),
  LD_LIBRARY_PATH: "",
  HOME: temporary(),
  XDG_CACHE_HOME: "",
  CUDA_PATH: "",
  CUDA_HOME: "",
  CONDA_PREFIX: "",
  VIRTUAL_ENV: "",
});

function vgg(args: readonly string[], env: NodeJS.ProcessEnv) {
  const { status, signal, stdout, stderr } = runScript("dist/cli/main.js", args, env);
  return { status, signal, stdout, stderr };
}

function doctor(...found: string[]): Diagnosis["cuda"] {
  const { status, signal, stdout, stderr } = vgg(["doctor", "--json"], only(...found));
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  return (JSON.parse(stdout) as Diagnosis).cuda;
}

/** Whether this machine has libraries that would replace the missing ones. */
const hasOwn =
  librarySets.length > 0 &&
  doctorQuietly().some(({ name, path }) => name !== "CUDA driver" && path !== null);
function doctorQuietly() {
  return (JSON.parse(vgg(["doctor", "--json"], only(driverFolder)).stdout) as Diagnosis).cuda
    .libraries;
}

const problems = (cuda: Diagnosis["cuda"]) =>
  cuda.libraries.filter(({ problem }) => problem !== null).map(({ name }) => name);
const problemOf = (cuda: Diagnosis["cuda"], library: string) =>
  cuda.libraries.find(({ name }) => name === library)!.problem;

for (const set of hasOwn ? [] : librarySets) {
  const major = set.name.slice(4);
  describe(`loading from ${set.name}`, () => {
    it("finds all libraries in one folder, and the GPU", () => {
      const cuda = doctor(driverFolder, missing(set));
      expect(problems(cuda)).toEqual([]);
      expect(cuda).toMatchObject({ available: true, reason: "cuda:0 NVIDIA H200" });
    });

    it.each(["graph", "heuristic", "engines_precompiled", "engines_runtime_compiled"])(
      "names cuDNN's %s part if it is missing",
      (part) => {
        const folder = missing(set, `libcudnn_${part}.so`);
        const cuda = doctor(driverFolder, folder);
        expect(cuda.available).toBe(false);
        // Without cuDNN the driver decides which CUDA's cuBLASLt and NVRTC are looked for.
        expect(problems(cuda)).toEqual(major === "13" ? ["cuDNN"] : ["cuDNN", "cuBLASLt", "NVRTC"]);
        expect(problemOf(cuda, "cuDNN")).toContain(`libcudnn_${part}.so.9 beside ${folder}`);
        expect(cuda.reason).toContain(`libcudnn_${part}.so.9`);
        const planned = vgg(["plan", "--gpu", "h200", "--json"], only(driverFolder, folder));
        expect(planned).toMatchObject({ status: 1, signal: null, stdout: "" });
        expect(JSON.parse(planned.stderr).error.code).toBe("LIBRARY_MISSING");
      },
    );

    it("names cuBLASLt if it is missing, and then does not ask cuDNN", () => {
      const folder = missing(set, "libcublasLt");
      const cuda = doctor(driverFolder, folder);
      expect(cuda.available).toBe(false);
      expect(problems(cuda)).toEqual(["cuBLASLt"]);
      expect(cuda.reason).toContain(`libcublasLt.so.${major} was not found`);
      const planned = vgg(["plan", "--gpu", "h200", "--json"], only(driverFolder, folder));
      expect(planned).toMatchObject({ status: 1, signal: null, stdout: "" });
      expect(JSON.parse(planned.stderr).error).toMatchObject({
        code: "LIBRARY_MISSING",
        message: expect.stringContaining("cuBLASLt"),
      });
    });

    it("works without NVRTC, whose kernels may be in the cache, and reports only NVRTC", () => {
      const cuda = doctor(driverFolder, missing(set, "libnvrtc"));
      expect(cuda).toMatchObject({ available: true, reason: "cuda:0 NVIDIA H200" });
      expect(problems(cuda)).toEqual(["NVRTC"]);
      expect(problemOf(cuda, "NVRTC")).toContain(`libnvrtc.so.${major} was not found`);
    });

    it("needs cuBLASLt and NVRTC of the CUDA version that cuDNN has", () => {
      const other = librarySets.find(({ name }) => name !== set.name)!;
      const cuda = doctor(
        driverFolder,
        missing(set, "libcublasLt", "libnvrtc"),
        missing(other, "libcudnn"),
      );
      expect(cuda.available).toBe(false);
      expect(problems(cuda)).toEqual(["cuBLASLt", "NVRTC"]);
      expect(cuda.reason).toContain(`libcublasLt.so.${major} was not found`);
    });
  });
}

/** The 64-bit FNV-1a hash. */
function hash(bytes: Buffer, seed = 0xcbf29ce484222325n): string {
  let state = seed;
  for (const byte of bytes) state = BigInt.asUintN(64, (state ^ BigInt(byte)) * 0x100000001b3n);
  return state.toString(16).padStart(16, "0");
}

/** The files of a cache (native/cuda/disk_cache.cc) by their keys. */
function readCache(folder: string): Map<string, Buffer> {
  const entries = new Map<string, Buffer>();
  for (const name of readdirSync(folder)) {
    const file = readFileSync(join(folder, name));
    let end = -1;
    for (let i = 0; i < 3; i++) end = file.indexOf("\n", end + 1);
    const [header, key, sizeAndHash] = file.subarray(0, end).toString().split("\n");
    const value = file.subarray(end + 1);
    expect(header).toBe("vgg-cudnn cache 1");
    expect(sizeAndHash).toBe(`${value.length} ${hash(value)}`);
    const keyBytes = Buffer.from(key!);
    expect(name).toBe(hash(keyBytes) + hash(keyBytes, 0xffffffffffffffffn));
    entries.set(key!, value);
  }
  return entries;
}

describe.runIf(librarySets.length > 0)("vgg plan", () => {
  const plan = (out: string): PlanReport => {
    const args = ["plan", "--gpu", "h200", "--batch", "1,8", "--out", out, "--json"];
    const { status, signal, stdout, stderr } = vgg(args, environmentOf(librarySets[0]!));
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
    return JSON.parse(stdout);
  };

  it("stores plans and kernels, and the same ones in a second run", () => {
    const out = join(temporary(), "not", "there", "yet");
    const first = plan(out);
    expect(first).toMatchObject({ gpu: "NVIDIA H200", folder: out });
    const cache = readCache(out);
    const keys = [...cache.keys()].sort();
    const problems = new Set(
      first.convolutions.filter((row) => !row.isFirstLayer).map(({ problem }) => problem),
    );
    expect(keys.filter((key) => key.startsWith("planned for NVIDIA H200 cuDNN "))).toHaveLength(
      problems.size,
    );
    expect(keys.filter((key) => key.startsWith("kernels "))).toHaveLength(first.kernels.length);
    expect(keys).toHaveLength(problems.size + first.kernels.length);
    for (const key of keys) {
      const value = cache.get(key)!;
      if (key.startsWith("kernels ")) {
        expect(value.subarray(0, 4).toString("latin1"), key).toBe("\x7fELF");
        continue;
      }
      const text = value.toString();
      const problem = key.slice(key.indexOf("convolution "));
      const row = first.convolutions.find((row) => row.problem === problem)!;
      expect(text.slice(0, text.indexOf("\n")), key).toBe(row.form);
      const kept = JSON.parse(text.slice(text.indexOf("\n") + 1));
      expect(kept.engine, key).toMatchObject({ engineId: row.engine, smVersion: 900 });
    }
    expect(plan(out).convolutions).toEqual(first.convolutions);
    const again = readCache(out);
    expect([...again.keys()].sort()).toEqual(keys);
    for (const key of keys) expect(again.get(key)!.equals(cache.get(key)!), key).toBe(true);
  });

  it.skipIf(hasOwn)("names the missing library in one JSON object", () => {
    const empty = join(temporary(), "empty");
    mkdirSync(empty);
    const planned = vgg(["plan", "--gpu", "h200", "--json"], only(empty));
    expect(planned).toMatchObject({ status: 1, signal: null, stdout: "" });
    expect(JSON.parse(planned.stderr).error).toMatchObject({
      code: "LIBRARY_MISSING",
      message: expect.stringContaining("cuDNN: libcudnn.so.9 was not found"),
    });
  });

  it.each([
    ["an unknown GPU", ["--gpu", "h300"]],
    ["no GPU", []],
    ["a batch of 0", ["--gpu", "h200", "--batch", "0"]],
  ])("refuses %s as wrong usage", (_, args) => {
    const planned = vgg(["plan", ...args, "--json"], environmentOf(librarySets[0]!));
    expect(planned).toMatchObject({ status: 2, signal: null, stdout: "" });
    expect(JSON.parse(planned.stderr).error.code).toBe("USAGE");
  });
});
