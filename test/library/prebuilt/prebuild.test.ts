// What npm/prebuild.mjs says and how it ends before it builds anything: a wrong name, and each tool that is missing or another version.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../../../npm", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "vgg-prebuild-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Absent in the bundle for GPU servers. */
describe.skipIf(!existsSync(source) || process.platform === "win32")(
  "npm run build:prebuilt",
  () => {
    const bin = join(folder, "bin");
    /** Writes a command that the tool finds in PATH. */
    function command(name: string, script: string) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
      return join(bin, name);
    }
    function prebuild(names: string[], env: NodeJS.ProcessEnv = {}) {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [join(folder, "npm/prebuild.mjs"), ...names],
        { encoding: "utf8", env: { PATH: bin, ...env } },
      );
      return { status, stdout, stderr: stderr.trimEnd() };
    }
    beforeAll(() => {
      cpSync(source, join(folder, "npm"), { recursive: true });
      mkdirSync(bin);
    });

    it("refuses an unknown platform and an unknown option with status 2", () => {
      const { status, stderr } = prebuild(["linux-x64-gnu", "linux-x86"]);
      expect(stderr).toMatch(
        /^prebuild: unknown platform: linux-x86; the platforms are linux-x64-gnu .*win32-arm64$/,
      );
      expect(status).toBe(2);
      expect(prebuild(["--fast"])).toMatchObject({
        status: 2,
        stderr: expect.stringMatching(/^prebuild: .*--fast/),
      });
      expect(prebuild(["constructor"]).status).toBe(2);
    });

    it("says that CMake is missing before it installs a compiler", () => {
      expect(prebuild([])).toEqual({
        status: 1,
        stdout: "",
        stderr: "prebuild: Expected cmake in PATH. On Debian: apt install cmake",
      });
    });

    it("says that LLVM's tools are missing before it builds anything", () => {
      command("cmake", "exit 0");
      for (const name of ["llvm-readobj", "llvm-objdump"]) {
        expect(prebuild([])).toEqual({
          status: 1,
          stdout: "",
          stderr: `prebuild: Expected ${name} in PATH. On Debian: apt install llvm`,
        });
        command(name, "exit 0");
      }
    });

    it("says that Python is missing", () => {
      const { status, stderr } = prebuild(["linux-x64-gnu"]);
      expect(stderr).toMatch(
        /^prebuild: Expected Python 3 with venv, .*apt install python3-venv \(.*ENOENT\)$/,
      );
      expect(status).toBe(1);
    });

    it("says that pip failed, and installs anew in the next run", () => {
      const python = `#!/bin/sh\nif [ "$2" = venv ]; then /bin/mkdir -p "$3/bin" && /bin/cp "$0" "$3/bin/python3"; exit; fi\necho THESE PACKAGES DO NOT MATCH THE HASHES >&2; exit 1`;
      command("python3", python);
      for (let run = 0; run < 2; run++) {
        const { status, stdout, stderr } = prebuild(["linux-x64-gnu"]);
        expect(stdout).toMatch(/^Installing Zig 0\.\d+\.\d+ into \.cache\/zig$/m);
        expect(stderr).toMatch(
          /^prebuild: Expected pip to install Zig .* with the hash .*\(THESE PACKAGES/,
        );
        expect(status).toBe(1);
      }
    });

    it("refuses a VGG_ZIG of another version, and one that does not run", () => {
      const zig = command("zig", "echo 0.13.0");
      const { status, stderr } = prebuild([], { VGG_ZIG: zig });
      expect(stderr).toMatch(
        /^prebuild: Expected Zig \S+ at VGG_ZIG=\S+ but received version 0\.13\.0$/,
      );
      expect(status).toBe(1);
      expect(prebuild([], { VGG_ZIG: join(bin, "none") }).stderr).toMatch(/but received .*ENOENT$/);
    });

    it("gives CMake an absolute path for a relative VGG_ZIG, and keeps an earlier result if the build fails", () => {
      command("cmake", `case "$1" in --version) ;; *) exit 1;; esac`);
      const version = /==(\S+)/.exec(
        readFileSync(join(source, "zig-requirements.txt"), "utf8"),
      )![1];
      command("zig", `echo ${version}`);
      const modules = join(folder, "node_modules");
      if (!existsSync(modules)) symlinkSync(join(source, "../node_modules"), modules);
      const built = join(folder, "build/prebuilt/linux-x64-gnu");
      mkdirSync(built, { recursive: true });
      writeFileSync(join(built, "vgg_cudnn.node"), "earlier");
      const path = relative(process.cwd(), join(bin, "zig"));
      const { status, stderr } = prebuild(["linux-x64-gnu"], { VGG_ZIG: path });
      expect(stderr).toBe("prebuild: cmake -S ended with status 1");
      expect(status).toBe(1);
      expect(readFileSync(join(built, "work/tools/c++"), "utf8")).toContain(`exec '${bin}/zig' `);
      expect(readFileSync(join(built, "vgg_cudnn.node"), "utf8")).toBe("earlier");
    });
  },
);
