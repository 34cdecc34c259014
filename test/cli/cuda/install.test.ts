// `vgg cuda install` against a loopback package index with small wheels: what is installed, resumed, refused and left behind.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IndexServer } from "../../support/index-server.ts";
import {
  environment,
  makeProgram,
  makeWheels,
  namesOf,
  newCache,
  root,
  scratch,
  setsOf,
  start,
  tableOf,
  vgg,
} from "./program.ts";

const [wheels13, wheels12] = [makeWheels(13), makeWheels(12, ["9.10.2.21"])];
const table = [tableOf("cu13-9.28.1.4", wheels13), tableOf("cu12-9.10.2.21", wheels12)].join("\n");
const program = makeProgram(table);
const index = new IndexServer([...wheels13, ...wheels12]);
beforeAll(() => index.start());
afterAll(() => index[Symbol.asyncDispose]());

/** The arguments of an installation without a question. */
const install = (...args: string[]) => [
  ...["install", "--cuda", "13", "--accept-license", "--index", index.index],
  ...args,
];
const json = (text: string) => JSON.parse(text);

describe("vgg cuda install", () => {
  it("places the libraries and licences of a tested set in the cache folder, and prints where", async () => {
    const cache = newCache();
    const folder = join(setsOf(cache), "cu13-9.28.1.4");
    const { status, stdout, stderr } = await vgg(program, install(), environment(cache));
    expect(stderr).toContain(
      "NVIDIA's software under NVIDIA's licences: nvidia-cudnn-cu13 9.28.1.4",
    );
    expect(stderr).toContain("vgg: cu13-9.28.1.4 is installed");
    expect([status, stdout]).toEqual([0, `${folder}\n`]);
    expect(readdirSync(folder).sort()).toEqual([...namesOf(wheels13), "set.json"].sort());
    for (const { files } of wheels13)
      for (const [path, bytes] of Object.entries(files)) {
        const file = join(folder, path.split("/").at(-1)!);
        if (existsSync(file)) expect(readFileSync(file).equals(bytes), path).toBe(true);
      }
    expect(readdirSync(setsOf(cache))).toEqual(["cu13-9.28.1.4"]);
    const asked = index.requests.length;
    const again = await vgg(program, install("--json"), environment(cache));
    expect(again.stderr).toBe("");
    expect(json(again.stdout)).toMatchObject({
      name: "cu13-9.28.1.4",
      cuda: 13,
      folder,
      isTested: true,
      wasInstalled: true,
      receivedBytes: 0,
      packages: wheels13.map(({ wheel: { name, version } }) => `${name} ${version}`),
    });
    const text = await vgg(program, install(), environment(cache));
    expect(text.stderr).toContain("vgg: cu13-9.28.1.4 is already installed");
    expect(index.requests.length).toBe(asked);
  });

  it("installs CUDA 12's set beside it, and takes no file twice that a wheel has twice", async () => {
    const cache = newCache();
    const args = ["install", "--cuda", "12", "--accept-license", "--index", index.index];
    expect((await vgg(program, args, environment(cache))).status).toBe(0);
    const names = readdirSync(join(setsOf(cache), "cu12-9.10.2.21"));
    expect(names).toContain("libnvrtc.so.12");
    expect(names.filter((name) => name.includes(".alt."))).toEqual([]);
  });

  it("names another folder with --folder", async () => {
    const [cache, folder] = [newCache(), join(newCache(), "sets")];
    const { status, stdout } = await vgg(program, install("--folder", folder), environment(cache));
    expect([status, stdout]).toEqual([0, `${join(folder, "cu13-9.28.1.4")}\n`]);
    expect(existsSync(setsOf(cache))).toBe(false);
    const list = await vgg(program, ["list", "--folder", folder, "--json"], environment(cache));
    expect(json(list.stdout).sets).toMatchObject([{ name: "cu13-9.28.1.4", problem: null }]);
  });

  it("reads an index in HTML, and takes whole wheels from a server without ranges", async () => {
    const plain = await new IndexServer(wheels13).start();
    plain.pages = "relative";
    plain.hasRanges = false;
    await using _ = plain;
    const cache = newCache();
    const args = ["install", "--cuda", "13", "--accept-license", "--index", plain.index];
    const { status, stderr } = await vgg(program, args, environment(cache));
    expect(stderr).toContain("is installed");
    expect(status).toBe(0);
  });

  it("takes wheels from a folder without a network", async () => {
    const [cache, from] = [newCache(), join(newCache(), "wheels")];
    mkdirSync(from, { recursive: true });
    for (const { wheel, bytes } of wheels13) writeFileSync(join(from, wheel.file), bytes);
    const args = ["install", "--cuda", "13", "--accept-license", "--from", from];
    const asked = index.requests.length;
    const env = environment(cache, { VGG_OFFLINE: "1", PIP_INDEX_URL: index.index });
    const { status, stderr } = await vgg(program, args, env);
    expect(stderr).toContain("is installed");
    expect(status).toBe(0);
    expect(index.requests.length).toBe(asked);
  });
});

describe("a refused installation", () => {
  it.each<[string, string[], string, string]>([
    ["an unknown CUDA", ["--cuda", "14"], "USAGE", "Allowed choices are 12, 13"],
    ["an address that is none", ["--cuda", "13", "--index", "pypi"], "USAGE", "https://"],
    [
      "--index beside --from",
      ["--cuda", "13", "--index", "http://x/", "--from", "."],
      "USAGE",
      "--from",
    ],
    ["--latest beside --from", ["--cuda", "13", "--latest", "--from", "."], "USAGE", "--latest"],
    ["an empty --folder", ["--cuda", "13", "--folder", ""], "USAGE", "a path for --folder"],
    ["an empty --from", ["--cuda", "13", "--from", ""], "USAGE", "a path for --from"],
    ["no driver and no --cuda", [], "USAGE", "Expected --cuda 12 or --cuda 13, because no driver"],
  ])("says why: %s", async (_, args, code, message) => {
    const cache = newCache();
    const all = ["install", "--json", "--accept-license", ...args];
    const { status, stdout, stderr } = await vgg(program, all, environment(cache));
    expect([status, stdout]).toEqual([2, ""]);
    expect(json(stderr).error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(existsSync(setsOf(cache))).toBe(false);
  });

  const fake = process.env.VGG_FAKE_CUDA ?? join(root, "build/fake-cuda");
  const isBuilt = existsSync(join(fake, "libcuda.so.1"));
  it.skipIf(!isBuilt).each([
    ["11080", undefined],
    ["12040", "cu12-9.10.2.21"],
    ["13000", "cu13-9.28.1.4"],
  ])("or the set that the driver runs: %s", async (version, name) => {
    const cache = newCache();
    const env = environment(cache, { VGG_CUDA_PATH: fake, FAKE_CUDA_DRIVER: version });
    const args = ["install", "--json", "--accept-license", "--index", index.index];
    const { status, stdout, stderr } = await vgg(program, args, env);
    if (name !== undefined) expect([status, json(stdout).name, stderr]).toEqual([0, name, ""]);
    else {
      const message = expect.stringMatching(/for CUDA 12 or newer but received CUDA 11\.8: update/);
      expect(json(stderr).error).toMatchObject({ code: "UNSUPPORTED", message });
      expect(status).toBe(1);
    }
  });

  it.skipIf(!isBuilt)("warns of a set that this driver cannot run", async () => {
    const env = environment(newCache(), { VGG_CUDA_PATH: fake, FAKE_CUDA_DRIVER: "12040" });
    const { status, stderr } = await vgg(program, install(), env);
    expect(stderr).toContain("this machine's driver runs CUDA 12.4 at most");
    expect(status).toBe(0);
  });

  it("without an accepted licence asks for the flag, fetches nothing, and remembers the answer", async () => {
    const cache = newCache();
    const asked = index.requests.length;
    const without = ["install", "--cuda", "13", "--index", index.index];
    const refused = await vgg(program, without, environment(cache));
    expect(refused).toMatchObject({ status: 2, stdout: "" });
    expect(refused.stderr).toContain("Expected --accept-license");
    expect(index.requests.length).toBe(asked);
    expect((await vgg(program, install(), environment(cache))).status).toBe(0);
    expect((await vgg(program, ["remove"], environment(cache))).status).toBe(0);
    const later = await vgg(program, without, environment(cache));
    expect(later.status).toBe(0);
    expect(later.stderr).not.toContain("licences");
  });

  it("on a full disk fetches nothing", async () => {
    const size = 2 ** 34; // of each of 2,000 files
    const files = Array.from({ length: 2000 }, (_, i) => `lib/${i}.so ${"0".repeat(64)} ${size}`);
    const large = makeProgram([tableOf("cu13-9.28.1.4", wheels13), ...files].join("\n"));
    const cache = newCache();
    const asked = index.requests.length;
    const { status, stderr } = await vgg(large, install("--json"), environment(cache));
    expect(status).toBe(1);
    expect(json(stderr).error).toMatchObject({
      code: "DISK_FULL",
      message: expect.stringMatching(/^No room in .*: Expected [\d,]+ MB but [\d,]+ MB are free/),
    });
    expect(index.requests.length).toBe(asked);
  });

  it("in a cache folder that cannot be written to names it", async () => {
    const { status, stderr } = await vgg(
      program,
      install("--json"),
      environment("/dev/null/cache"),
    );
    expect(status).toBe(1);
    expect(json(stderr).error).toMatchObject({
      code: "FOLDER_UNUSABLE",
      message: expect.stringContaining("/dev/null/cache"),
    });
  });

  it("of files with another content leaves no set, and an earlier set as it was", async () => {
    const other = makeWheels(13);
    const changed = other.map((wheel, i) => ({
      ...wheel,
      wheel: { ...wheel.wheel, file: wheels13[i]!.wheel.file },
    }));
    await using wrong = await new IndexServer(changed).start();
    const cache = newCache();
    const args = ["install", "--cuda", "13", "--accept-license", "--index", wrong.index, "--json"];
    const first = await vgg(program, args, environment(cache));
    expect(first.status).toBe(1);
    expect(json(first.stderr).error.code).toBe("HASH_MISMATCH");
    expect(readdirSync(setsOf(cache)).filter((name) => !name.startsWith("."))).toEqual([]);
    // An earlier version of the package knew other files under this name.
    const earlier = makeProgram(tableOf("cu13-9.28.1.4", other));
    await using index2 = await new IndexServer(other).start();
    const old = ["install", "--cuda", "13", "--accept-license", "--index", index2.index];
    expect((await vgg(earlier, old, environment(cache))).status).toBe(0);
    expect((await vgg(program, args, environment(cache))).status).toBe(1);
    const list = await vgg(earlier, ["list", "--verify", "--json"], environment(cache));
    expect(json(list.stdout).sets).toMatchObject([{ name: "cu13-9.28.1.4", problem: null }]);
    expect((await vgg(program, install(), environment(cache))).status).toBe(0);
    const folder = join(setsOf(cache), "cu13-9.28.1.4");
    const library = wheels13[0]!.files.get("libcudnn.so.9")!;
    expect(readFileSync(join(folder, "libcudnn.so.9")).equals(library)).toBe(true);
  });
});

describe("an installation that is disturbed", () => {
  it("runs once if two start at the same time", async () => {
    await using own = await new IndexServer(wheels13).start();
    const cache = newCache();
    const args = ["install", "--cuda", "13", "--accept-license", "--index", own.index, "--json"];
    const runs = await Promise.all([1, 2, 3].map(() => vgg(program, args, environment(cache))));
    expect(runs.map(({ status }) => status)).toEqual([0, 0, 0]);
    const waits = "vgg: cu13-9.28.1.4 waits for another process that downloads it\n";
    for (const { stderr } of runs) expect(["", waits]).toContain(stderr);
    expect(runs.map(({ stdout }) => json(stdout).wasInstalled).sort()).toEqual([false, true, true]);
    expect(readdirSync(setsOf(cache))).toEqual(["cu13-9.28.1.4"]);
  });

  it("keeps what came if a signal ends it, and goes on from there", async () => {
    await using own = await new IndexServer(wheels13).start();
    const cache = newCache();
    const args = ["install", "--cuda", "13", "--accept-license", "--index", own.index, "--json"];
    const last = wheels13[2]!.wheel.file;
    // Of the third wheel, the directory is sent and the first file is not.
    let requests = 0;
    const held = new Promise<void>((resolve) => {
      own.hook = (request) => {
        if (!request.url!.endsWith(last) || ++requests !== 2) return false;
        resolve();
        return true;
      };
    });
    const first = start(program, args, environment(cache));
    await held;
    // The files of the second wheel are placed while the server is silent about this one.
    const part = join(setsOf(cache), ".cu13-9.28.1.4.part");
    while (
      !existsSync(join(part, "libcublasLt.so.13")) ||
      !existsSync(join(part, "nvidia-cublas.LICENSE.txt"))
    )
      await new Promise((r) => setTimeout(r, 20));
    first.child.kill("SIGINT");
    expect(await first.ended).toMatchObject({ signal: "SIGINT", stdout: "" });
    const list = await vgg(program, ["list", "--json"], environment(cache));
    expect(json(list.stdout)).toMatchObject({ sets: [], unfinished: [{ name: "cu13-9.28.1.4" }] });
    own.hook = () => false;
    own.requests.length = 0;
    const second = await vgg(program, args, environment(cache));
    expect([second.status, second.stderr]).toEqual([0, ""]);
    expect(own.requests.filter(({ url }) => url!.includes("/files/nvidia_cublas-"))).toEqual([]);
    expect(readdirSync(setsOf(cache))).toEqual(["cu13-9.28.1.4"]);
  });

  it("mends a damaged set, and fetches only what is damaged", async () => {
    const cache = newCache();
    expect((await vgg(program, install(), environment(cache))).status).toBe(0);
    const folder = join(setsOf(cache), "cu13-9.28.1.4");
    unlinkSync(join(folder, "libnvrtc.so.13"));
    appendFileSync(join(folder, "libcudnn.so.9"), "x");
    const list = await vgg(program, ["list"], environment(cache));
    expect(list.status).toBe(1);
    expect(list.stdout).toMatch(/^cu13-9\.28\.1\.4 +damaged/m);
    const kept = statSync(join(folder, "libcublasLt.so.13")).ino;
    expect((await vgg(program, install(), environment(cache))).status).toBe(0);
    expect(statSync(join(folder, "libcublasLt.so.13")).ino).toBe(kept);
    const verified = await vgg(program, ["list", "--verify"], environment(cache));
    expect(verified.status).toBe(0);
    expect(verified.stdout).toMatch(/^cu13-9\.28\.1\.4 +whole/m);
  });

  it("says no set is there to a machine that has none", async () => {
    const { status, stdout } = await vgg(program, ["list"], environment(join(scratch, "none")));
    expect(status).toBe(0);
    expect(stdout).toContain("install one with: npx vgg-cudnn cuda install");
  });
});
