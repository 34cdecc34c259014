// Where weights are kept, several processes that want them at once, and the command `vgg pull`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { progressText } from "../../lib/cli/download-progress.ts";
import { pull } from "../../lib/download/hub.ts";
import { LockWatch, tryLock } from "../../lib/files/lock.ts";
import {
  answerWith,
  content,
  entryOf,
  expected,
  expectOnlyFile,
  fileOf,
  finalPath,
  finished,
  folder,
  half,
  partPath,
  pulled,
  puller,
  server,
  task,
  weights,
} from "../support/hub-server.ts";

describe("folders", () => {
  const inCache = (...parts: string[]) => join(folder, ...parts);
  const url = () => ({ mirror: server.url, retryDelayMs: 0 });

  it("are ours in the user's cache if torch has none", async () => {
    vi.stubEnv("XDG_CACHE_HOME", folder);
    const { path } = await pull(weights, url());
    expect(path).toBe(inCache("vgg-cudnn", weights.file));
  });

  it("are torch's if it has one, in torch's order", async () => {
    vi.stubEnv("XDG_CACHE_HOME", folder);
    mkdirSync(inCache("torch", "hub", "checkpoints"), { recursive: true });
    const first = await pull(weights, url());
    expect(first.path).toBe(inCache("torch", "hub", "checkpoints", weights.file));

    vi.stubEnv("TORCH_HOME", inCache("home"));
    mkdirSync(inCache("home", "hub", "checkpoints"), { recursive: true });
    const second = await pull(weights, url());
    expect(second.path).toBe(inCache("home", "hub", "checkpoints", weights.file));
    expect(server.requests).toHaveLength(2);
  });

  it("are both searched", async () => {
    vi.stubEnv("XDG_CACHE_HOME", folder);
    const first = await pull(weights, url());
    mkdirSync(inCache("torch", "hub", "checkpoints"), { recursive: true });
    expect(await pull(weights, { offline: true })).toEqual(first);
  });

  it("are in the user's .cache if no variable is set", async () => {
    const entry = entryOf(content, { file: "of-no-one.pth" });
    await expect(pull(entry, { offline: true })).rejects.toThrow(
      `${join(homedir(), ".cache", "torch", "hub", "checkpoints")} or ${join(homedir(), ".cache", "vgg-cudnn")}`,
    );
  });

  it("that are files are named in the error", async () => {
    const path = join(folder, "file");
    writeFileSync(path, "");
    for (const place of [path, join(path, "below")]) {
      await expect(pulled({ folder: place })).rejects.toMatchObject({
        code: "FOLDER_UNUSABLE",
        message: expect.stringContaining(place),
      });
    }
    mkdirSync(finalPath());
    await expect(pulled()).rejects.toMatchObject({ code: "FOLDER_UNUSABLE" });
    expect(server.requests).toHaveLength(0);
  });

  it.skipIf(process.getuid?.() === 0)("that are read-only are named in the error", async () => {
    chmodSync(folder, 0o555);
    await expect(pulled()).rejects.toMatchObject({
      code: "FOLDER_UNUSABLE",
      message: expect.stringContaining("EACCES"),
    });
  });
});

describe("processes", () => {
  it("that pull at the same time download once", async () => {
    // The first response ends when the other process is running too.
    let waitedFor = 3;
    const arrived = () => {
      if (--waitedFor === 0) server.release();
    };
    server.plan.push((request, response) => {
      server.holdAt(half)(request, response);
      arrived();
    });
    const run = () => finished(process.execPath, [puller, task()], {}, arrived);
    for (const { status, stdout } of await Promise.all([run(), run()])) {
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toEqual(expected());
    }
    expect(server.requests).toHaveLength(1);
    expectOnlyFile();
  });

  it("that pull several times at the same time download once", async () => {
    expect(await Promise.all([pulled(), pulled(), pulled()])).toEqual(Array(3).fill(expected()));
    expect(server.requests).toHaveLength(1);
    expectOnlyFile();
  });

  it("that died leave a lock that is taken over, and bytes that are reused", async () => {
    server.plan.push(server.holdAt(half));
    const child = spawn(process.execPath, [puller, task()]);
    const ended = once(child, "close");
    while (!existsSync(partPath()) || readFileSync(partPath()).length < half)
      await new Promise((done) => setTimeout(done, 10));
    child.kill("SIGKILL");
    await ended;
    expect(JSON.parse(readFileSync(`${finalPath()}.lock`, "utf8")).pid).toBe(child.pid);
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([undefined, `bytes=${half}-`]);
    expectOnlyFile();
  });

  it("that are silent for a minute lose their lock, and can no longer write", async () => {
    const lock = `${finalPath()}.lock`;
    writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), token: "old" }));
    utimesSync(lock, new Date(0), new Date(0));
    writeFileSync(partPath(), content.subarray(0, half));
    const theirs = openSync(partPath(), "r+");
    const onProgress = () => void writeSync(theirs, new Uint8Array(half), 0, half, 0);
    expect(await pulled({ onProgress })).toEqual(expected());
    closeSync(theirs);
    expect(server.ranges).toEqual([`bytes=${half}-`]);
    expectOnlyFile();
  });

  it("whose lock does not name its owner yet are waited for, but not forever", async () => {
    const lock = `${finalPath()}.lock`;
    writeFileSync(lock, "");
    await expect(pulled({ signal: AbortSignal.timeout(50) })).rejects.toThrow("timeout");
    utimesSync(lock, new Date(0), new Date(0));
    expect(await pulled()).toEqual(expected());
  });

  it("whose clock is ahead lose their lock after it was watched for a minute", async () => {
    const path = join(folder, "lock");
    const token = "of another host";
    writeFileSync(path, JSON.stringify({ pid: 1, host: "another", token }));
    const ahead = new Date(Date.now() + 86_400_000);
    utimesSync(path, ahead, ahead);
    const now = vi.spyOn(performance, "now");
    const watch = new LockWatch();
    for (const [ms, isFree] of [
      [0, false],
      [59_999, false],
      [60_000, true],
    ] as const) {
      now.mockReturnValue(1000 + ms);
      const lock = await tryLock(path, watch);
      expect(lock !== undefined).toBe(isFree);
      expect(lock?.isContested ?? true).toBe(true);
      await lock?.release();
    }
    now.mockRestore();
    expect(existsSync(path)).toBe(false);
  });

  it("are not waited for if the lock's path holds something else", async () => {
    mkdirSync(`${finalPath()}.lock`);
    await expect(pulled()).rejects.toMatchObject({
      code: "FOLDER_UNUSABLE",
      message: `Expected a regular file, or none, at ${finalPath()}.lock`,
    });
  });

  it("are waited for, and the caller is told", async () => {
    const lock = (await tryLock(`${finalPath()}.lock`, new LockWatch()))!;
    writeFileSync(partPath(), content.subarray(0, half));
    const seen: unknown[] = [];
    const onProgress = (progress: unknown) => {
      seen.push(progress);
      if (seen.length === 1) void lock.release();
    };
    expect(await pulled({ onProgress })).toEqual(expected());
    expect(seen[0]).toEqual({ receivedBytes: half, totalBytes: undefined, isWaiting: true });
  });

  it("that received no byte leave no partial file", async () => {
    await expect(pulled({ mirror: "http://127.0.0.1:1/", retries: 0 })).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that run out of disk space keep what arrived, and say so", async () => {
    const command = `ulimit -f 200; exec "${process.execPath}" "${puller}" "$1"`;
    const { stdout } = await finished("sh", ["-c", command, "sh", task()]);
    const { code, message } = JSON.parse(stdout);
    expect(code).toBe("DISK_FULL");
    expect(message).toMatch(/No room for .*\.part \(EFBIG\); what came is kept/);
    const kept = readFileSync(partPath()).length;
    expect(kept).toBeGreaterThan(0);
    expect(existsSync(`${finalPath()}.lock`)).toBe(false);
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([undefined, `bytes=${kept}-`]);
    expectOnlyFile();
  });
});

describe("vgg pull", () => {
  const preload = new URL("../children/fake-weights.mjs", import.meta.url).href;
  const script = fileOf("../../dist/cli/main.js");
  const vgg = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    finished(process.execPath, ["--import", preload, script, "pull", ...args], {
      VGG_TEST_WEIGHTS: JSON.stringify(weights),
      ...env,
    });

  it("prints where each file is, and nothing else", async () => {
    const args = ["vgg11", "vgg11", "--folder", folder, "--mirror", server.url];
    expect(await vgg(args)).toEqual({
      status: 0,
      stdout: `${finalPath()}\n${finalPath()}\n`,
      stderr: "",
    });
    expectOnlyFile();
  });

  it("prints one JSON object for each file", async () => {
    const { status, stdout } = await vgg(["vgg11", "--folder", folder, "--json"], {
      VGG_WEIGHTS_MIRROR: server.url,
    });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ arch: "vgg11", ...expected() });
  });

  it("lists what can be pulled", async () => {
    const { status, stdout } = await vgg(["--list"]);
    expect(status).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(11);
    expect(stdout).toMatch(
      /^vgg16 +IMAGENET1K_V1 +71\.592 +90\.382 +15\.47 +138,357,544 +527\.8$/m,
    );
    const asJson = await vgg(["--list", "--json"]);
    expect(JSON.parse(asJson.stdout)).toHaveLength(8);
  });

  it.each([
    ["no name", [], "Expected architectures, or --list, for NAME"],
    ["an unknown name", ["vgg11", "vgg12"], 'for arch but received "vgg12"'],
    ["a name beside --list", ["--list", "vgg11"], "no name beside --list"],
    [
      "a mirror that is not a URL",
      ["vgg11", "--mirror", "nowhere"],
      'for --mirror but received "nowhere"',
    ],
  ])("refuses %s with one line and exit code 2", async (_, args, message) => {
    const { status, stdout, stderr } = await vgg(args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("fails with one line and exit code 1", async () => {
    const { status, stdout, stderr } = await vgg(["vgg11", "--folder", folder, "--offline"]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^vgg: Expected vgg11-.*the network may not be used.*\n$/);
    server.plan.push(answerWith(404));
    const asJson = await vgg(["vgg11", "--folder", folder, "--mirror", server.url, "--json"]);
    expect([asJson.status, asJson.stdout]).toEqual([1, ""]);
    expect(JSON.parse(asJson.stderr).error).toEqual({
      code: "DOWNLOAD_FAILED",
      message: `Could not download ${server.url}${weights.file}: the server answered 404; without a network, put ${weights.file} into ${folder}`,
    });
  });

  it("shows its progress", () => {
    const totalBytes = 2 ** 20;
    expect(progressText("a.pth", { receivedBytes: 2 ** 19, totalBytes })).toBe(
      `a.pth ${"█".repeat(12)}${"░".repeat(12)} 50 % 0.5 of 1.0 MiB`,
    );
    const unknown = { receivedBytes: 2 ** 20, totalBytes: undefined };
    expect(progressText("a.pth", unknown)).toBe("a.pth 1.0 MiB");
    expect(progressText("a.pth", { ...unknown, isWaiting: true })).toBe(
      "a.pth waits for another process that downloads it",
    );
  });
});
