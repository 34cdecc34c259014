// What npm/inspect.mjs refuses, with small libraries that have one fault each. Linux's are compiled by the system's compiler,
// Windows' and macOS's by Zig.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));
/** Absent in the bundle for GPU servers. */
const hasTools = existsSync(join(root, "npm/inspect.mjs"));
const load = (name: string) => import(join(root, "npm", name));
const { inspect, table } = hasTools ? await load("inspect.mjs") : {};
const zig: string | undefined = hasTools ? (await load("zig.mjs")).presentZig() : undefined;

const isThere = (tool: string) => spawnSync(tool, ["--version"]).status === 0;
const missing = ["llvm-readobj", "llvm-objdump"].find((tool) => !isThere(tool));
const isLinux64 = process.platform === "linux" && process.arch === "x64";
const hasCompiler = isLinux64 && isThere("cc");

const folder = mkdtempSync(join(tmpdir(), "vgg-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

/** An addon that does nothing. It has instructions of AVX2 and AVX-512. */
const addon = `
#ifdef _WIN32
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif
PUBLIC int node_api_module_get_api_version_v1(void) { return 9; }
PUBLIC void* napi_register_module_v1(void* env, void* exports) {
#if defined(__x86_64__) && !defined(NO_AVX)
  __asm__ volatile(".rept 1000\\nvaddps %zmm0, %zmm0, %zmm0\\nvaddps %ymm0, %ymm0, %ymm0\\n.endr\\n");
#endif
  return exports;
}
`;

let count = 0;
/** Compiles a shared library. @returns its path */
function library(compiler: string[], source: string, flags: string[], name = `${count++}.node`) {
  const [command, ...first] = compiler;
  writeFileSync(at("source.c"), source);
  const strip = flags.includes("-g") ? [] : ["-s"];
  const options = ["-O2", ...strip, "-shared", "-fPIC", "-fvisibility=hidden", "-o", at(name)];
  const cache = join(root, ".cache/zig-cache");
  const { status, stderr } = spawnSync(command!, [...first, ...options, at("source.c"), ...flags], {
    encoding: "utf8",
    env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
  });
  if (status !== 0) throw new Error(`Expected ${name} to compile: ${stderr}`);
  return at(name);
}

/** What an inspection complains of. The recorded size is the file's, unless another is given. */
const problems = (platform: string, file: string, recorded = statSync(file).size): string[] =>
  inspect(platform, file, { [platform]: recorded }).problems;

describe.skipIf(!hasTools || missing !== undefined || !hasCompiler)(
  `the inspection of an addon for Linux (needs LLVM's tools and cc${missing ? `; ${missing} is absent` : ""})`,
  () => {
    const gcc = (source: string, ...flags: string[]) => library(["cc"], source, flags);
    /** A library of this soname whose function \`f\` has this symbol version. */
    const withVersion = (soname: string, version: string) => {
      writeFileSync(at("versions"), `${version} { f; };`);
      const source = `__attribute__((visibility("default"))) int f(void) { return 1; }`;
      const flags = [
        `-Wl,-soname,${soname}`,
        `-Wl,--version-script=${at("versions")}`,
        "-nostdlib",
      ];
      return library(["cc"], source, flags, `${version}-${soname}`);
    };
    const caller = `${addon} extern int f(void); PUBLIC int call(void) { return f(); }`;
    const calls = (soname: string, version: string) =>
      problems("linux-x64-gnu", gcc(caller, withVersion(soname, version)));
    let good: string;
    beforeAll(() => {
      good = gcc(addon);
    });

    it("finds nothing in a right file, and lists it", () => {
      expect(problems("linux-x64-gnu", good)).toEqual([]);
      const [, , row] = table([inspect("linux-x64-gnu", good)]).split("\n");
      expect(row).toMatch(
        /^\| linux-x64-gnu \| 0\.\d\d \| 0\.\d\d \| glibc 2\.28 \| 2 \| {2}\| avx512 1000, avx2 1000 \| runs the tests of the native code \|$/,
      );
    });

    it("refuses another machine and another format", () => {
      expect(problems("linux-arm64-gnu", good)).toContain(
        "is elf64 for x86_64, not elf64 for aarch64",
      );
      expect(problems("win32-x64", good)).toContain("is elf64 for x86_64, not COFF for x86_64");
    });

    it("refuses a library of glibc on musl", () => {
      const found = problems(
        "linux-x64-musl",
        gcc(`#include <stdio.h>\n${addon} PUBLIC void say(void) { puts(""); }`),
      );
      expect(found).toContain("needs libc.so.6");
      expect(found).toContain("asks for GLIBC_2.2.5");
    });

    it("refuses one more export, and one that is missing", () => {
      expect(problems("linux-x64-gnu", gcc(`${addon} PUBLIC int more;`))).toEqual(["exports more"]);
      const found = problems("linux-x64-gnu", gcc(addon.replace("napi_register", "register")));
      expect(found).toEqual([
        "does not export napi_register_module_v1",
        "exports register_module_v1",
      ]);
    });

    it("refuses a library that Node does not need itself", () => {
      const found = calls("libextra.so.1", "EXTRA_1");
      expect(found).toEqual(["exports call", "needs libextra.so.1", "asks for EXTRA_1"]);
    });

    it.each(["GLIBC_2.29", "GLIBC_2.34", "GLIBC_3.0", "GLIBC_PRIVATE", "GLIBCXX_3.4.30"])(
      "refuses the symbol version %s",
      (version) => {
        expect(calls("libm.so.6", version)).toEqual(["exports call", `asks for ${version}`]);
      },
    );

    it.each(["GLIBC_2.28", "GLIBC_2.2.5", "GLIBC_2.17"])("allows %s", (version) => {
      expect(calls("libm.so.6", version)).toEqual(["exports call"]);
    });

    it("refuses symbols and debugging information", () => {
      const [first] = problems("linux-x64-gnu", gcc(addon, "-g"));
      expect(first).toMatch(/^is not stripped: it has .*\.debug_info.*\.symtab/);
    });

    it("refuses a search path for libraries", () => {
      const [first] = problems("linux-x64-gnu", gcc(addon, "-Wl,-rpath,/opt/lib"));
      expect(first).toMatch(/^has a search path: RU?N?PATH.*\/opt\/lib/);
    });

    it("refuses a file without the instruction sets", () => {
      expect(problems("linux-x64-gnu", gcc(addon, "-DNO_AVX"))).toEqual([
        "has 0 instructions of avx2",
        "has 0 instructions of avx512",
      ]);
    });

    it("refuses a size more than 20 % from the recorded one", () => {
      const { size } = statSync(good);
      expect(problems("linux-x64-gnu", good, size / 1.19)).toEqual([]);
      expect(problems("linux-x64-gnu", good, size / 0.81)).toEqual([]);
      expect(problems("linux-x64-gnu", good, size / 1.25)[0]).toMatch(
        /^is 25 % larger than recorded/,
      );
      expect(problems("linux-x64-gnu", good, size / 0.75)[0]).toMatch(
        /^is 25 % smaller than recorded/,
      );
      expect(inspect("linux-x64-gnu", good, {}).problems[0]).toMatch(
        /^has no size in npm\/sizes.json/,
      );
    });

    it("refuses a path of this machine in the file", () => {
      const source = `${addon} __attribute__((used)) static const char path[] = "${root}native/a.h";`;
      expect(problems("linux-x64-gnu", gcc(source))[0]).toMatch(/^has the path .* in it$/);
    });

    it("says in one sentence that a file is absent or is a folder", () => {
      const command = (...args: string[]) =>
        spawnSync(process.execPath, [join(root, "npm/inspect.mjs"), ...args], { encoding: "utf8" });
      mkdirSync(at("linux-x64-gnu/vgg_cudnn.node"), { recursive: true });
      const cases = {
        [at("none")]: "but there is none",
        [good]: "but there is none",
        [folder]: "but that is no file",
      };
      for (const [path, what] of Object.entries(cases))
        for (const option of ["--json", "--record-sizes"]) {
          const { status, stderr } = command(option, "linux-x64-gnu", "--prebuilt", path);
          expect(stderr).toMatch(
            new RegExp(
              `^inspect: Expected an addon .* ${what}\\. .*run build:prebuilt linux-x64-gnu\\n$`,
            ),
          );
          expect(status).toBe(1);
        }
    });

    it("refuses a damaged file and a text", () => {
      for (const contents of [readFileSync(good).subarray(0, 500), "no library", ""]) {
        writeFileSync(at("damaged.node"), contents);
        expect(problems("linux-x64-gnu", at("damaged.node"))).toEqual([
          "is no shared library, or a damaged one",
        ]);
      }
    });
  },
);

describe.skipIf(!hasTools || missing !== undefined || zig === undefined)(
  "the inspection of an addon for Windows or macOS (needs LLVM's tools and Zig)",
  () => {
    const compile = (target: string, source: string, ...flags: string[]) =>
      library([zig!, "cc", "-target", target], source, flags);
    const windows = (source: string, ...flags: string[]) =>
      problems("win32-x64", compile("x86_64-windows-gnu", source, ...flags));
    const macos = (source: string, ...flags: string[]) =>
      problems("darwin-arm64", compile("aarch64-macos.11.0", source, ...flags));

    it("finds nothing in a right file", () => {
      expect(windows(addon)).toEqual([]);
      expect(macos(addon)).toEqual([]);
      expect(problems("darwin-x64", compile("x86_64-macos.11.0", addon))).toEqual([]);
    });

    it("refuses another machine", () => {
      const file = compile("aarch64-macos.11.0", addon);
      expect(problems("darwin-x64", file)).toContain(
        "is Mach-O for aarch64, not Mach-O for x86_64",
      );
      expect(problems("win32-arm64", file)).toContain(
        "is Mach-O for aarch64, not COFF for aarch64",
      );
    });

    it("refuses one more export", () => {
      expect(windows(`${addon} PUBLIC int more;`)).toEqual(["exports more"]);
      expect(macos(`${addon} PUBLIC int more;`)).toEqual(["exports more"]);
    });

    it("refuses a DLL that Node does not need itself", () => {
      const source = `${addon} int __stdcall MessageBeep(unsigned); PUBLIC int beep(void) { return MessageBeep(0); }`;
      expect(windows(source, "-luser32")).toEqual(["exports beep", "needs USER32.dll"]);
    });

    it("refuses an import from node.exe by name", () => {
      writeFileSync(at("node.def"), "NAME node.exe\nEXPORTS\nnapi_create_object\n");
      const made = spawnSync(zig!, [
        ...["dlltool", "-m", "i386:x86-64", "-D", "node.exe"],
        ...["-d", at("node.def"), "-l", at("libnode.a")],
      ]);
      expect(made.status).toBe(0);
      const source = `${addon} int napi_create_object(void*, void*); PUBLIC int make(void) { return napi_create_object(0, 0); }`;
      expect(windows(source, at("libnode.a"))).toEqual(["exports make", "needs node.exe"]);
    });

    it("refuses a newer macOS, and a search path", () => {
      const newer = compile("aarch64-macos.13.0", addon, "-Wl,-rpath,/opt/lib");
      expect(problems("darwin-arm64", newer)).toEqual([
        "has a search path: /opt/lib",
        "is for macOS 13.0, not 11.0",
      ]);
    });

    it("refuses symbols for debuggers", () => {
      const file = library([zig!, "cc", "-target", "aarch64-macos.11.0"], addon, ["-g"]);
      expect(problems("darwin-arm64", file)[0]).toBe(
        "is not stripped: it has symbols for debuggers",
      );
    });

    it("refuses a file for Apple's processors without a signature", () => {
      const file = compile("aarch64-macos.11.0", addon);
      const bytes = readFileSync(file);
      const signature = bytes.indexOf(Buffer.from([0x1d, 0, 0, 0, 16, 0, 0, 0]));
      bytes[signature] = 0x1e; // LC_SEGMENT_SPLIT_INFO, which has the same fields
      writeFileSync(file, bytes);
      expect(problems("darwin-arm64", file)).toEqual(["has no code signature"]);
    });
  },
);
