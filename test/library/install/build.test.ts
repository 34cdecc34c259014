// The build in place: missing and old tools, builds at the same time, builds that are interrupted or make a file that does not load.
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
// @ts-expect-error: a script without types
import { howToInstall, jobs } from "../../../npm/build-tools.mjs";
import { Staged } from "./staged.ts";

const staged = new Staged();
beforeEach(() => staged.reset());
afterAll(() => staged.remove());

const inode = () => statSync(staged.addon).ino;
const build = "exec node dist/cli/main.js build";
/** Commands that answer as good tools do. */
const good = {
  cmake: "echo cmake version 3.25.1",
  "c++": "exit 0",
  make: "exit 0",
};

describe("a build", () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ["no CMake", {}, /CMake ≥ 3\.18 in PATH but found none; install/],
    ["a CMake that fails", { cmake: "exit 1" }, /CMake ≥ 3\.18 in PATH but found none/],
    [
      "an old CMake",
      { cmake: "echo cmake version 3.16.3" },
      /CMake ≥ 3\.18 but found 3\.16\.3; install a newer one/,
    ],
    ["an unknown CMake", { cmake: "echo hello" }, /CMake ≥ 3\.18 but found "hello"/],
    [
      "no compiler",
      { cmake: good.cmake },
      /C\+\+20 compiler \(GCC ≥ 11 or Clang ≥ 14\) but found none of c\+\+, g\+\+, clang\+\+; install/,
    ],
    [
      "an old compiler",
      { cmake: good.cmake, "c++": '[ "$1" = --version ] && echo "c++ (Old) 9.3" || exit 1' },
      /but c\+\+ is c\+\+ \(Old\) 9\.3, which cannot compile C\+\+20 here; install a newer one and name it with CXX/,
    ],
    [
      "neither Ninja nor Make",
      { cmake: good.cmake, "c++": good["c++"] },
      /Ninja or Make in PATH but found neither; install/,
    ],
  ])("with %s says what to install", async (_, scripts, message) => {
    const PATH = staged.tools(scripts);
    const { status, output } = await staged.run({ PATH }, `${build} --json`);
    expect(status).toBe(1);
    const { error } = JSON.parse(output);
    expect(error).toEqual({ code: "BUILD_FAILED", message: expect.stringMatching(message) });
    expect(await staged.run({ PATH, VGG_BUILD: "1" })).toMatchObject({ status: 1 });
  });

  it("takes the compiler that CXX names", async () => {
    const { output } = await staged.run({ CXX: "/no such/compiler" }, build);
    expect(output).toContain("but found none of /no");
    expect((await staged.run({ CXX: "env g++" }, build)).status).toBe(0);
  });

  it.each(["Unix Makefiles", "Ninja Multi-Config"])("uses the generator %s", async (name) => {
    const { status, output } = await staged.run({ CMAKE_GENERATOR: name }, build);
    expect([status, output]).toEqual([0, expect.stringContaining(`built ${staged.addon}\n`)]);
  });

  it("prints the path on stdout and progress on stderr", async () => {
    const { output } = await staged.run({}, `${build} 2>/dev/null`);
    expect(output).toBe(`built ${staged.addon}\n`);
  });

  it("removes other files of earlier builds with --clean, but for builds under way", async () => {
    staged.write("build/Debug/vgg_cudnn.node", "");
    staged.write("build/Release/core_test", "");
    const other = `building-${hostname().replace(/[^A-Za-z0-9]/g, "_")}-${process.pid}-abcdef`;
    mkdirSync(staged.path(`build/${other}`));
    expect((await staged.run({}, build)).status).toBe(0);
    expect(staged.leftovers().sort()).toEqual([other, "Debug", "core_test"].sort());
    expect((await staged.run({}, `${build} --clean`)).status).toBe(0);
    expect(staged.leftovers()).toEqual([other]);
  });

  it("leaves a good addon at every time, also with two at once", async () => {
    await staged.run();
    const both = [staged.run({}, build), staged.run({ VGG_BUILD: "1" })];
    const isEnded = { value: false };
    void Promise.all(both).then(() => {
      isEnded.value = true;
    });
    while (!isEnded.value) expect((await staged.run({ PATH: staged.tools() })).output).toBe("");
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([0, 0]);
    expect(staged.leftovers()).toEqual([]);
  });

  it("does not replace a good addon with one that does not load", async () => {
    await staged.run();
    const before = inode();
    staged.write("addon.cc", "int a;\n");
    const { status, output } = await staged.run({}, build);
    expect([status, inode(), staged.leftovers()]).toEqual([1, before, []]);
    expect(output).toContain(
      "Expected the new addon to load but it does not: Error: Module did not self-register",
    );
  });
});

describe("an interrupted build", () => {
  /** Starts a build whose CMake waits once it builds. @returns the process, its end, and the id of CMake's process */
  async function startSlow() {
    const waits =
      'case "$1" in --version) echo cmake version 3.25.1;; --build) echo "waits $$"; /bin/sleep 600;; esac';
    const { child, ended, output } = staged.start(
      { PATH: staged.tools({ ...good, cmake: waits }) },
      build,
    );
    let isEnded = false;
    void ended.then(() => {
      isEnded = true;
    });
    while (!/waits \d+/.test(output())) {
      if (isEnded) throw new Error(`Expected the build to wait but it printed ${output()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { child, ended, cmake: Number(/waits (\d+)/.exec(output())![1]) };
  }

  const isAlive = (pid: number) => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };

  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "ends with %s, and so does CMake",
    async (name) => {
      const { child, ended, cmake } = await startSlow();
      child.kill(name);
      expect(await ended).toMatchObject({ signal: name });
      expect([isAlive(cmake), readdirSync(staged.path("build"))]).toEqual([false, []]);
    },
  );

  it("that was killed leaves a folder, which the next build removes", async () => {
    const { child, ended, cmake } = await startSlow();
    child.kill("SIGKILL");
    process.kill(-cmake, "SIGKILL");
    await ended;
    expect(readdirSync(staged.path("build"))).toHaveLength(1);
    expect((await staged.run({}, build)).status).toBe(0);
    expect(staged.leftovers()).toEqual([]);
  });
});

describe("the number of files that are compiled at once", () => {
  it.each([
    [4, 16e9, 4],
    [64, 8e9, 8],
    [2, 2.5e9, 2],
    [8, 1.5e9, 1],
    [8, 0.3e9, 1],
  ])("with %d cores and %d bytes of memory is %d", (cores, bytes, expected) => {
    expect(jobs(cores, bytes)).toBe(expected);
  });

  it("is at least one on this machine", () => {
    expect(jobs()).toBeGreaterThanOrEqual(1);
  });
});

describe("the advice", () => {
  it.each([
    ["ID=debian\n", "apt install cmake g++ make"],
    ['NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt install cmake g++ make"],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install cmake gcc-c++ make"],
    ["ID=alpine\n", "apk add cmake g++ make"],
    ["ID=constructor\n", "with the system's package manager"],
    ["", "with the system's package manager"],
  ])("names the command of the system (%j)", (release, command) => {
    expect(howToInstall("linux", release)).toContain(command);
  });

  it("names the tools of macOS and Windows", () => {
    expect(howToInstall("darwin")).toContain("xcode-select --install");
    expect(howToInstall("win32")).toContain("llvm-mingw");
  });
});
