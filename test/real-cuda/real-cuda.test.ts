// Compares the addon's declarations of NVIDIA's libraries with NVIDIA's own headers and libraries. No GPU is needed.
import { beforeAll, describe, expect, it } from "vitest";
import { gpuNames as gpus } from "../../lib/device/gpus.ts";
import {
  checkSource,
  compileProgram,
  environmentOf,
  exportsOf,
  gpuFile,
  type LibrarySet,
  librariesOf,
  librarySets,
  run,
  skipped,
  standInDriver,
} from "./nvidia.ts";

if (librarySets.length === 0) skipped(it);

/** The lines that layouts.cc prints: structures, elements and functions. */
function layouts(set?: LibrarySet): string[] {
  const { status, stdout, log } = run(compileProgram("layouts", [], set), []);
  if (status !== 0) throw new Error(log);
  return stdout.trimEnd().split("\n");
}

/** The names of a library's table in native/cuda/nvidia/api.h. */
function namesOf(library: string, lines: string[]): string[] {
  const names = lines
    .filter((line) => line.startsWith(`${library} `))
    .map((line) => line.split(" ")[1]!);
  expect(names.length).toBeGreaterThan(10);
  return names;
}

describe.runIf(librarySets.length > 0)("the stand-in driver", () => {
  it("exports every function that the addon looks up in libcuda.so.1", () => {
    const exported = exportsOf(standInDriver());
    expect(namesOf("driver", layouts()).filter((name) => !exported.has(name))).toEqual([]);
  });
});

for (const set of librarySets)
  describe(`${set.name} (${set.versions})`, () => {
    const addon: string[] = [];
    beforeAll(() => {
      standInDriver();
      addon.push(...layouts());
    });

    it("declares every value and every function as native/cuda/nvidia/api.h does", () => {
      expect(checkSource("abi.cc", set)).toBe("");
    });

    it("lays out structures and passes parameters as native/cuda/nvidia/api.h does", () => {
      expect(addon).toEqual(layouts(set));
    });

    it("exports every function that the addon calls", () => {
      for (const [table, prefix] of [
        ["cudnn", "libcudnn.so."],
        ["cublasLt", "libcublasLt.so."],
        ["nvrtc", "libnvrtc.so."],
      ] as const) {
        const libraries = librariesOf(set, prefix);
        expect(libraries).toHaveLength(1);
        const exported = exportsOf(libraries[0]!);
        expect(namesOf(table, addon).filter((name) => !exported.has(name))).toEqual([]);
      }
    });

    it("is found by the addon's loader, and its cuDNN accepts the description of every GPU", () => {
      const program = compileProgram("loads", [
        "cuda/nvidia/library.cc",
        "cuda/nvidia/library_folders.cc",
        "cuda/nvidia/installation.cc",
        "core/glob.cc",
        "core/system/dynamic_library_linux.cc",
        "core/system/dynamic_library_posix.cc",
        "core/system/system_posix.cc",
      ]);
      // Set only the addon's own variable: parts that are opened by name later must already be open.
      const env = { ...environmentOf(set, "h200"), LD_LIBRARY_PATH: "" };
      const { status, stdout, log } = run(program, gpus.map(gpuFile), env);
      expect(status, log).toBe(0);
      const lines = stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split(" | "));
      expect(lines.slice(0, 4).map(([name, , , problem]) => [name, problem])).toEqual([
        ["CUDA driver", ""],
        ["cuDNN", ""],
        ["cuBLASLt", ""],
        ["NVRTC", ""],
      ]);
      for (const [, , path] of lines.slice(1, 4)) expect(path).toContain(set.folder);
      expect(lines.slice(4)).toEqual(gpus.map((gpu) => [gpuFile(gpu), "0", ""]));
    });
  });
