// The install script: what it does in a package of a registry and in a clone, with and without tools.
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { Staged } from "./staged.ts";

const staged = new Staged();
const onlyNode = staged.tools();
beforeEach(() => staged.reset());
afterAll(() => staged.remove());

const broken = "#error a planted error\n";
/** The inode changes if the addon is replaced. */
const inode = () => statSync(staged.addon).ino;

/** What the first call of the package says. */
async function firstCall(environment: NodeJS.ProcessEnv = {}): Promise<string> {
  const script = `import("./dist/native/load.js").then(({ native }) => {
    try { native(); } catch ({ code, message }) { console.log(code + "\\n" + message); }
  })`;
  const { output } = await staged.run(environment, `exec node -e '${script}'`);
  return output;
}

describe("the install script of a package from a registry", () => {
  it("does nothing if an addon loads, with only Node and sh in PATH", async () => {
    expect((await staged.run()).status).toBe(0);
    const before = inode();
    const cmake = staged.tools({ cmake: "echo called", "c++": "echo called" });
    for (const PATH of [onlyNode, cmake]) {
      const { status, output, milliseconds } = await staged.run({ PATH });
      expect([status, output, inode()]).toEqual([0, "", before]);
      console.log(`the install script took ${milliseconds} ms with Node's start`);
    }
    const { milliseconds } = await staged.run({ PATH: onlyNode }, "exec node -e 0");
    console.log(`Node's start alone took ${milliseconds} ms`);
  });

  it("takes the prebuilt addon of its own version, and builds if it has another", async () => {
    await staged.run();
    const prebuilt = staged.prebuild();
    const { status, output } = await staged.run({ PATH: onlyNode });
    expect([status, output, existsSync(staged.path("build"))]).toEqual([0, "", false]);
    writeFileSync(
      join(prebuilt, "package.json"),
      '{ "version": "0.0.1", "main": "vgg_cudnn.node" }',
    );
    expect((await staged.run({ PATH: onlyNode })).output).toContain("but found 0.0.1");
    expect((await staged.run()).status).toBe(0);
    expect(existsSync(staged.addon)).toBe(true);
  });

  it("builds the addon if none loads and the tools are there", async () => {
    const { status, output } = await staged.run();
    expect([status, staged.leftovers()]).toEqual([0, []]);
    expect(output).toContain("vgg-cudnn: no prebuilt addon fits this machine, so one is built");
    expect(await firstCall()).toBe("");
  });

  it("says what the first call says if there is neither an addon nor a tool, and succeeds", async () => {
    const { status, output } = await staged.run({ PATH: onlyNode });
    expect(status).toBe(0);
    const [code, ...lines] = (await firstCall()).trimEnd().split("\n");
    expect(code).toBe("ADDON_MISSING");
    expect(output).toContain(lines.join("\n"));
    expect(output).toContain("Expected CMake ≥ 3.18 in PATH but found none");
    expect(existsSync(staged.path("build"))).toBe(false);
  });

  it("succeeds if the build that it has tried fails, and says both", async () => {
    staged.write("addon.cc", broken);
    const { status, output } = await staged.run();
    expect([status, staged.leftovers()]).toEqual([0, []]);
    expect(output).toContain("a planted error");
    expect(output).toMatch(/it was not built: Expected the build in .* to succeed/);
    expect(output).toContain("Expected the native addon for");
  });

  it("builds with VGG_BUILD=1 although an addon loads", async () => {
    await staged.run();
    const before = inode();
    const { status, output } = await staged.run({ VGG_BUILD: "1" });
    expect([status, staged.leftovers()]).toEqual([0, []]);
    expect(output).toContain(`vgg-cudnn: built ${staged.addon}`);
    expect(inode()).not.toBe(before);
    for (const VGG_BUILD of ["0", ""]) expect((await staged.run({ VGG_BUILD })).output).toBe("");
  });

  it("fails with VGG_BUILD=1 if the build fails or tools are missing, and keeps the addon", async () => {
    await staged.run();
    const before = inode();
    staged.write("addon.cc", broken);
    const failed = await staged.run({ VGG_BUILD: "1" });
    expect([failed.status, staged.leftovers(), inode()]).toEqual([1, [], before]);
    expect(failed.output).toContain("Expected the build in");
    const bare = await staged.run({ VGG_BUILD: "1", PATH: onlyNode });
    expect([bare.status, inode()]).toEqual([1, before]);
    expect(bare.output).toMatch(
      /^vgg-cudnn: Expected CMake ≥ 3\.18 in PATH but found none; install .*\n$/,
    );
    expect(await firstCall()).toBe("");
  });

  it.runIf(process.platform === "linux")(
    "succeeds if the addon is truncated, and says so",
    async () => {
      const path = staged.path("truncated.node");
      // Any program has the tables that are compared with the file's size.
      writeFileSync(path, readFileSync(process.execPath).subarray(0, 1_000_000));
      const { status, output } = await staged.run({ VGG_ADDON: path });
      expect(status).toBe(0);
      expect(output).toContain("truncated.node: Expected a whole addon but the file is truncated");
    },
  );

  it("does not build if VGG_ADDON names a file that does not load", async () => {
    const { status, output } = await staged.run({ VGG_ADDON: "/nonexistent.node" });
    expect([status, existsSync(staged.path("build"))]).toEqual([0, false]);
    expect(output).toContain("/nonexistent.node");
  });

  it("runs without HOME, with NODE_OPTIONS and with any settings of npm", async () => {
    const environment = {
      HOME: undefined,
      NODE_OPTIONS: "--no-warnings --max-old-space-size=512",
      npm_config_cmake_CXX: "/nonexistent",
      npm_config_build_from_source: "true",
      npm_config_prefer_clang: "true",
      npm_config_arch: "mips",
      npm_config_target: "1.0.0",
    };
    expect((await staged.run(environment)).status).toBe(0);
    expect((await staged.run({ ...environment, PATH: onlyNode })).output).toBe("");
  });

  it("succeeds in a package without dist, and says what to do", async () => {
    renameSync(staged.path("dist"), staged.path("hidden"));
    const { status, output } = await staged.run({ PATH: onlyNode });
    renameSync(staged.path("hidden"), staged.path("dist"));
    expect(output).toMatch(
      /^vgg-cudnn: Expected \S.*load\.js\. Remove the folder .* and install the package again\n$/,
    );
    expect(status).toBe(0);
  });

  it("succeeds where nothing can be written, and says so", async () => {
    writeFileSync(staged.path("build"), "a file");
    const { status, output } = await staged.run();
    expect(status).toBe(0);
    expect(output).toMatch(
      /Expected .*build to be a folder in which files can be made but received E/,
    );
    expect((await staged.run({ VGG_BUILD: "1" })).status).toBe(1);
  });
});

describe("the install script of a clone", () => {
  it("always builds, and fails if the build fails", async () => {
    await staged.run();
    const before = inode();
    staged.write("tsconfig.build.json", "{}");
    expect((await staged.run()).status).toBe(0);
    expect(inode()).not.toBe(before);
    staged.write("addon.cc", broken);
    expect((await staged.run()).status).toBe(1);
    const { status, output } = await staged.run({ PATH: onlyNode });
    expect([status, output.startsWith("vgg-cudnn: Expected CMake ≥ 3.18")]).toEqual([1, true]);
  });
});

describe("package.json", () => {
  const { files, scripts } = JSON.parse(readFileSync(staged.path("package.json"), "utf8"));

  it("publishes the script and all that it imports, and not the file that marks a clone", () => {
    expect(scripts.install).toBe("node npm/install.mjs");
    for (const file of files.filter((path: string) => path.startsWith("npm/"))) {
      const text = readFileSync(staged.path(file), "utf8");
      const imported = [...text.matchAll(/(?:from|import\() ?"([^"]+)"/g)].map(([, name]) => name!);
      const others = imported.filter((name) => !name.startsWith("node:"));
      for (const name of others) expect(existsSync(staged.path(`npm/${name}`)), name).toBe(true);
    }
    expect(files).not.toContain("tsconfig.build.json");
    expect(files).not.toContain("binding.gyp");
  });
});
