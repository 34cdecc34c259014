// `vgg cuda install --latest`: the newest final versions of an index, by PEP 440's order.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareReleases, readWheelName, releaseOf } from "../../../lib/nvidia/sets/versions.ts";
import { IndexServer } from "../../support/index-server.ts";
import type { MadeWheel } from "../../support/wheels.ts";
import { environment, makeProgram, makeWheels, newCache, setsOf, tableOf, vgg } from "./program.ts";

describe("versions", () => {
  it("are ordered by their numbers, a post-release after its release", () => {
    const sorted = ["9.9.0.52", "9.10", "9.10.post1", "9.10.0.1", "9.10.2.21", "9.28.1.4", "1!1.0"];
    const compare = (a: string, b: string) => compareReleases(releaseOf(a)!, releaseOf(b)!);
    expect([...sorted].reverse().sort(compare)).toEqual(sorted);
    expect(compare("13.0.0", "13")).toBe(0);
  });

  it.each(["9.28.1.4.dev65563384", "9.0rc1", "9.0a2", "9.0.b1", "latest", "", "9..1", "../9"])(
    "%j is no final release",
    (version) => {
      expect(releaseOf(version)).toBeUndefined();
    },
  );

  it.each([
    ["a_b-9.1-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl", "9.1", "linux-x64"],
    ["a_b-9.1-py3-none-manylinux_2_27_aarch64.whl", "9.1", "linux-arm64"],
    ["a_b-9.1-py3-none-win_amd64.whl", "9.1", "win32-x64"],
    ["a_b-9.1-1-py3-none-win_arm64.whl", "9.1", "win32-arm64"],
    ["a_b-9.1-py3-none-any.whl", "9.1", undefined],
  ])("and platforms are read from %s", (file, version, platform) => {
    expect(readWheelName(file)).toEqual({ version, platform });
  });
});

describe("vgg cuda install --latest", () => {
  const tested = makeWheels(13);
  const program = makeProgram(tableOf("cu13-9.28.1.4", tested));
  const args = (url: string) => [
    "install",
    "--latest",
    "--cuda",
    "13",
    "--accept-license",
    "--json",
    "--index",
    url,
  ];

  it("takes the newest final versions, and says that no test has seen them", async () => {
    const newer = makeWheels(13, ["9.100.0.1", "13.10.0.20", "13.5.37"]);
    const early = makeWheels(13, ["9.101.0.dev1", "14.0.0.1", "13.6rc1"]);
    await using index = await new IndexServer([...newer, ...tested, ...early]).start();
    const cache = newCache();
    const { status, stdout, stderr } = await vgg(program, args(index.index), environment(cache));
    expect([status, stderr]).toEqual([0, ""]);
    const name = "cu13-9.100.0.1-13.10.0.20-13.5.37";
    const warning =
      "nvidia-cudnn-cu13 9.100.0.1, nvidia-cublas 13.10.0.20, nvidia-cuda-nvrtc 13.5.37: no test of this package has seen these versions";
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ name, isTested: false, wasInstalled: false },
      warnings: [warning],
    });
    const plain = args(index.index).filter((each) => each !== "--json");
    expect((await vgg(program, plain, environment(cache))).stderr).toContain(`vgg: ${warning}\n`);
    const list = await vgg(program, ["list", "--verify", "--json"], environment(cache));
    expect(JSON.parse(list.stdout).sets).toMatchObject([{ name, isTested: false, problem: null }]);
    expect(existsSync(join(setsOf(cache), name, "libcudnn_adv.so.9"))).toBe(false);
  });

  it("with --json writes nothing but the error on stderr", async () => {
    const newer = makeWheels(13, ["9.100.0.1", "13.10.0.20", "13.5.37"]);
    await using index = await new IndexServer(newer).start();
    const env = environment(newCache());
    const given = args(index.index).filter((each) => each !== "--accept-license");
    const { status, stderr } = await vgg(program, given, env);
    expect([status, JSON.parse(stderr).error.code]).toEqual([2, "USAGE"]);
  });

  it("gives a set of post-releases a name that list and the loader find", async () => {
    const post = makeWheels(13, ["9.28.1.4.post1", "13.10.0.20", "13.5.37+cu13"]);
    await using index = await new IndexServer([...post, ...tested]).start();
    const cache = newCache();
    expect((await vgg(program, args(index.index), environment(cache))).status).toBe(0);
    const list = await vgg(program, ["list", "--json"], environment(cache));
    const name = "cu13-9.28.1.4.1-13.10.0.20-13.5.37.13";
    expect(JSON.parse(list.stdout).sets).toMatchObject([{ name, problem: null }]);
  });

  it("is the tested set if the index has nothing newer", async () => {
    await using index = await new IndexServer(tested).start();
    index.pages = "relative";
    const { status, stdout } = await vgg(program, args(index.index), environment(newCache()));
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ name: "cu13-9.28.1.4", isTested: true });
  });

  it.each<[string, (wheels: readonly MadeWheel[]) => readonly MadeWheel[], string, RegExp]>([
    ["lacks a package", (wheels) => wheels.slice(1), "DOWNLOAD_FAILED", /nvidia-cudnn-cu13/],
    [
      "has another CUDA",
      ([cudnn]) => [cudnn!, ...makeWheels(13, ["9.1", "14.1", "14.2"]).slice(1)],
      "DOWNLOAD_FAILED",
      /has no final version 13 of it for /,
    ],
  ])("refuses an index that %s", async (_, change, code, message) => {
    await using index = await new IndexServer(change(tested)).start();
    const cache = newCache();
    const { status, stderr } = await vgg(program, args(index.index), environment(cache));
    expect(status).toBe(1);
    expect(JSON.parse(stderr).error).toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(existsSync(setsOf(cache))).toBe(false);
  });

  it.each([true, false])(
    "refuses a server that sends whole files only (JSON: %s)",
    async (isJson) => {
      await using index = await new IndexServer(tested).start();
      index.pages = isJson ? "json" : "relative";
      index.hasRanges = false;
      const { status, stderr } = await vgg(program, args(index.index), environment(newCache()));
      expect(status).toBe(1);
      expect(JSON.parse(stderr).error).toMatchObject({
        code: "DOWNLOAD_FAILED",
        message: expect.stringMatching(/^Expected nvidia_cudnn_cu13-.*\.whl to be served in parts/),
      });
    },
  );

  it("asks again if a connection ends before the answer", async () => {
    await using index = await new IndexServer(tested).start();
    index.pages = "relative";
    let cuts = 0;
    index.hook = (request) => {
      if (request.headers.range === undefined || cuts++ > 0) return false;
      request.destroy();
      return true;
    };
    const { status } = await vgg(program, args(index.index), environment(newCache()));
    expect([status, cuts > 1]).toEqual([0, true]);
  });

  it("refuses without a network", async () => {
    const env = environment(newCache(), { VGG_OFFLINE: "1" });
    const { status, stderr } = await vgg(program, args("http://127.0.0.1:9/"), env);
    expect([status, JSON.parse(stderr).error.code]).toEqual([1, "OFFLINE"]);
  });
});
