// Sets of `vgg cuda install` as the loader and `vgg doctor` see them, and folders of plans, on the fake libraries (test/fake-cuda).
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { cli, fake, isBuilt, root, run } from "./fake-gpu.ts";

/** A cache folder on the file system of the fake libraries, because files of a set are links to them. */
function cacheHome(): string {
  const folder = mkdtempSync(join(root, "build/sets-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const platform = `${process.platform}-${process.arch}`;

/** Makes a set. Each set is a separate library; with `isShared` it is one with the driver. */
function makeSet(
  sets: string,
  name: string,
  options: { isShared?: boolean; platform?: string } = {},
): string {
  const folder = join(sets, name);
  mkdirSync(folder, { recursive: true });
  const major = name.slice(2, 4);
  const library = join(folder, "source");
  if (options.isShared) linkSync(realpathSync(join(fake, "libcudnn.so.9")), library);
  else copyFileSync(realpathSync(join(fake, "libcudnn.so.9")), library);
  const files = readdirSync(fake)
    .filter((file) => /^lib(cudnn|cublasLt|nvrtc)/.test(file))
    .map((file) => file.replace(/\.so\.13/, `.so.${major}`))
    .map((file) => {
      linkSync(library, join(folder, file));
      return { name: file, sha256: "0".repeat(64), size: statSync(library).size };
    });
  unlinkSync(library);
  const receipt = {
    name,
    platform: options.platform ?? platform,
    isTested: true,
    packages: ["nvidia-cudnn 9"],
    files,
  };
  writeFileSync(join(folder, "set.json"), JSON.stringify(receipt));
  return folder;
}

/** A folder that has the driver alone. */
function driverFolder(): string {
  const folder = cacheHome();
  linkSync(realpathSync(join(fake, "libcuda.so.1")), join(folder, "libcuda.so.1"));
  return folder;
}

function doctor(env: NodeJS.ProcessEnv) {
  const { status, stdout } = cli(["doctor", "--json"], { LD_LIBRARY_PATH: "", ...env });
  expect(status).toBe(0);
  return { ...JSON.parse(stdout).cuda, verdict: JSON.parse(stdout).verdict as string };
}

describe.skipIf(!isBuilt)("sets of NVIDIA's libraries in the cache folder", () => {
  const setsOf = (home: string) => join(home, "vgg-cudnn", "cuda");
  const env = (home: string, more: NodeJS.ProcessEnv = {}) => ({
    XDG_CACHE_HOME: home,
    VGG_CUDA_PATH: driverFolder(),
    ...more,
  });

  it("are found, and doctor names the one that is used", () => {
    const home = cacheHome();
    const folder = makeSet(setsOf(home), "cu13-9.28.1.4");
    const cuda = doctor(env(home));
    expect(cuda).toMatchObject({ available: true, set: folder });
    expect(cuda.libraries.map(({ problem }: { problem: null }) => problem)).toEqual([
      null,
      null,
      null,
      null,
    ]);
    expect(cli(["doctor"], env(home)).stdout).toMatch(/^ok {4}set {7}cu13-9\.28\.1\.4 at/m);
  });

  it("are listed with the one that is used; the newest whole one is", () => {
    const home = cacheHome();
    const old = makeSet(setsOf(home), "cu13-9.9.0.52");
    const other = makeSet(setsOf(home), "cu12-9.28.1.4");
    const newest = makeSet(setsOf(home), "cu13-9.28.1.4");
    const list = () => {
      const { status, stdout } = cli(["cuda", "list", "--json"], env(home));
      return {
        status,
        sets: JSON.parse(stdout).sets as {
          folder: string;
          isUsed: boolean;
          problem: string | null;
        }[],
      };
    };
    const used = (isUsed: boolean) => ({ isUsed, problem: null });
    expect(list()).toMatchObject({
      status: 0,
      sets: [
        { folder: newest, ...used(true) },
        { folder: old, ...used(false) },
        { folder: other, ...used(false) },
      ],
    });
    truncateSync(join(newest, "libcudnn_ops.so.9"), 100); // all of them: they are one file
    const after = list();
    expect(after.status).toBe(1);
    expect(after.sets[0]).toMatchObject({
      isUsed: false,
      problem: expect.stringMatching(/has 100 bytes instead of \d+$/),
    });
    expect(after.sets[1]).toMatchObject({ folder: old, ...used(true) });
  });

  it.each([
    ["12040", "cu12-9.10.2.21"],
    ["13000", "cu13-9.28.1.4"],
  ])("fit the driver %s", (version, name) => {
    const home = cacheHome();
    makeSet(setsOf(home), "cu13-9.28.1.4");
    makeSet(setsOf(home), "cu12-9.10.2.21");
    const cudart = version === "12040" ? "12090" : "13000";
    const cuda = doctor(env(home, { FAKE_CUDA_DRIVER: version, FAKE_CUDNN_CUDART: cudart }));
    expect(cuda.set).toBe(join(setsOf(home), name));
    expect(cuda.available).toBe(true);
  });

  it("come after VGG_CUDA_PATH, which may also name a folder of sets", () => {
    const home = cacheHome();
    makeSet(setsOf(home), "cu13-9.28.1.4");
    expect(doctor(env(home, { VGG_CUDA_PATH: fake })).set).toBeNull();
    const elsewhere = cacheHome();
    const named = makeSet(elsewhere, "cu13-9.9.0.52");
    expect(doctor(env(home, { VGG_CUDA_PATH: `${driverFolder()}:${elsewhere}` })).set).toBe(named);
  });

  it.each<[string, (folder: string) => void, RegExp]>([
    [
      "without its list of files",
      (folder) => unlinkSync(join(folder, "set.json")),
      /^set\.json is missing$/,
    ],
    [
      "whose list is none",
      (folder) => writeFileSync(join(folder, "set.json"), '{"files":[{"name":"../x"}]}'),
      /^set\.json does not list/,
    ],
    [
      "without a library",
      (folder) => unlinkSync(join(folder, "libnvrtc.so.13")),
      /^libnvrtc\.so\.13 is missing$/,
    ],
    [
      "with a folder for a library",
      (folder) => {
        unlinkSync(join(folder, "libnvrtc.so.13"));
        mkdirSync(join(folder, "libnvrtc.so.13"));
      },
      /^libnvrtc\.so\.13 is no regular file$/,
    ],
  ])("are not used %s", (_, damage, problem) => {
    const home = cacheHome();
    damage(makeSet(setsOf(home), "cu13-9.28.1.4"));
    const cuda = doctor(env(home));
    expect(cuda).toMatchObject({
      set: null,
      damagedSets: [{ name: "cu13-9.28.1.4", problem: expect.stringMatching(problem) }],
    });
    expect(cuda.verdict).toContain("libraries are missing, and cu13-9.28.1.4 is damaged");
    const { status, stdout } = cli(["cuda", "list", "--json"], env(home));
    expect(status).toBe(1);
    expect(JSON.parse(stdout).sets).toMatchObject([
      { isUsed: false, problem: expect.stringMatching(problem) },
    ]);
    expect(cli(["cuda", "list"], env(home)).stdout).toContain(
      "install it anew with: npx vgg-cudnn cuda install",
    );
  });

  it("are not used if they are for another platform", () => {
    const home = cacheHome();
    makeSet(setsOf(home), "cu13-9.28.1.4", { platform: "win32-arm64" });
    expect(doctor(env(home)).set).toBeNull();
  });

  it("are recommended by doctor if there is a driver but a library is missing", () => {
    const cuda = doctor(env(cacheHome()));
    expect(cuda).toMatchObject({ available: false, set: null });
    expect(cuda.verdict).toContain("npx vgg-cudnn cuda install");
    expect(cuda.reason).toMatch(
      /^cuDNN: libcudnn\.so\.9 was not found\. Install it with: npx vgg-cudnn cuda install, or/,
    );
    const none = doctor({ XDG_CACHE_HOME: cacheHome(), VGG_CUDA_PATH: "/nowhere" });
    expect(none.verdict).not.toContain("cuda install");
  });

  it("may be removed while a process uses them", async () => {
    const home = cacheHome();
    const folder = makeSet(setsOf(home), "cu13-9.28.1.4", { isShared: true });
    // The fake is one library, so the driver must be found beside the others.
    linkSync(join(folder, "libcudnn.so.9"), join(folder, "libcuda.so.1"));
    const script = `
      const library = await import(${JSON.stringify(join(root, "dist/index.js"))});
      const { makeNetwork, shape } = await import(${JSON.stringify(join(root, "test/fake-gpu/network.mjs"))});
      const model = await makeNetwork(library, await library.openDevice("cuda"), { seed: 3 });
      const image = library.Tensor.randn(shape, 1);
      const logits = async () => [...(await model.forward(image)).data];
      const before = await logits();
      process.stdout.write("ready\\n");
      await new Promise((resolve) => process.stdin.once("data", resolve));
      const after = await logits();
      process.stdout.write(JSON.stringify({ isSame: before.every((x, i) => x === after[i]) }) + "\\n");
      process.exit();`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, XDG_CACHE_HOME: home, VGG_CUDA_PATH: folder },
    });
    let text = "";
    child.stdout.on("data", (data) => (text += data));
    let errors = "";
    child.stderr.on("data", (data) => (errors += data));
    const ended = once(child, "close");
    await Promise.race([once(child.stdout, "data"), ended]);
    expect(errors).toBe("");
    expect(cli(["cuda", "remove"], env(home)).stdout).toBe("cu13-9.28.1.4 is removed\n");
    expect(existsSync(folder)).toBe(false);
    child.stdin.write("go\n");
    await ended;
    expect(text).toBe('ready\n{"isSame":true}\n');
  });
});

describe.skipIf(!isBuilt)("a folder of plans", () => {
  it("is read for what the cache lacks, and never written to", () => {
    const home = cacheHome();
    const first = run("forward", { XDG_CACHE_HOME: home }).result;
    expect(first.compilations).toBeGreaterThan(0);
    const plans = join(home, "vgg-cudnn", "cuda");
    const names = readdirSync(plans).sort();
    chmodSync(plans, 0o555);
    onTestFinished(() => chmodSync(plans, 0o755));
    const second = run("forward", { VGG_PLANS: plans });
    expect(second.stderr).toBe("");
    expect(second.result.data).toEqual(first.data);
    expect(second.result.compilations).toBe(0);
    expect(second.result.executions).toBeLessThan(first.executions / 10);
    expect(readdirSync(plans).sort()).toEqual(names);
  });

  it("with a damaged file counts as without it, and new choices go to the cache", () => {
    const home = cacheHome();
    const first = run("forward", { XDG_CACHE_HOME: home }).result;
    const plans = join(home, "vgg-cudnn", "cuda");
    for (const name of readdirSync(plans)) truncateSync(join(plans, name), 10);
    const other = cacheHome();
    const second = run("forward", { VGG_PLANS: plans, XDG_CACHE_HOME: other }).result;
    expect(second.compilations).toBe(first.compilations);
    expect(readdirSync(join(other, "vgg-cudnn", "cuda")).sort()).toEqual(readdirSync(plans).sort());
  });

  it("that is missing is refused by its name", () => {
    const { stderr } = run("forward", { VGG_PLANS: "/nowhere" });
    expect(stderr).toContain('RangeError: Expected a folder for VGG_PLANS but received "/nowhere"');
  });
});
