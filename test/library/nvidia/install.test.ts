// Files of wheels from a package index and from a folder: what is placed, what is received, and from where.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import type { Progress } from "../../../lib/download/download.ts";
import { installFiles } from "../../../lib/nvidia/install.ts";
import type { InstallOptions } from "../../../lib/nvidia/types.ts";
import { IndexServer } from "../../support/index-server.ts";
import { contentOf, type MadeWheel, makeWheel } from "../../support/wheels.ts";

const root = mkdtempSync(join(tmpdir(), "vgg-nvidia-"));
const quiet = { PIP_CONFIG_FILE: "/dev/null", HOME: root };
let folder = "";
beforeEach(() => {
  folder = join(mkdtempSync(join(root, "to-")), "cu13");
});
afterAll(() => rmSync(root, { recursive: true }));

const one = makeWheel("nvidia-one-cu13", {
  "libone.so.1": contentOf(300_000),
  "stored.so": contentOf(50_000, 5),
});
const two = makeWheel("nvidia-two", {
  "sub/libtwo.so": contentOf(200_000, 9),
  empty: contentOf(0),
});
const wheels = [one.wheel, two.wheel];

const install = (server: IndexServer | undefined, more: Partial<InstallOptions> = {}) =>
  installFiles({
    ...{ folder, wheels, environment: quiet, retryDelayMs: 1 },
    ...(server && { index: server.index }),
    ...more,
  });

/** All files below the folder. */
const filesIn = (path = folder): string[] =>
  readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(path, name)).isFile())
    .sort();

function expectInstalled(made: readonly MadeWheel[] = [one, two]): void {
  const files = made.flatMap((wheel) => [...wheel.files]);
  expect(filesIn()).toEqual(files.map(([to]) => to).sort());
  for (const [to, bytes] of files)
    expect(Buffer.compare(readFileSync(join(folder, to)), bytes), to).toBe(0);
}

describe("from an index", () => {
  it.each(["json", "html", "relative"] as const)("as %s, members come by range", async (pages) => {
    await using server = await new IndexServer([one, two]).start();
    server.pages = pages;
    server.withdrawn = () => true; // a set names its files, and so takes them all the same
    const seen: Progress[] = [];
    const { placed, present, receivedBytes } = await install(server, {
      onProgress: (progress) => void seen.push({ ...progress }),
    });
    expect(placed.toSorted()).toEqual(["empty", "libone.so.1", "stored.so", "sub/libtwo.so"]);
    expect(present).toEqual([]);
    expectInstalled();
    expect(server.ranges).not.toContain("whole");
    const last = seen.at(-1)!;
    expect(last.receivedBytes).toBe(last.totalBytes);
    expect(receivedBytes).toBe(last.receivedBytes);
    const sizes = seen.map((progress) => progress.receivedBytes);
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b));
  });

  it("receives only the members that are missing or have other content", async () => {
    await using server = await new IndexServer([one, two]).start();
    await install(server);
    const { sentBytes } = server;
    expect(await install(server)).toEqual({
      ...{ placed: [], receivedBytes: 0 },
      present: ["libone.so.1", "stored.so", "sub/libtwo.so", "empty"],
    });
    expect(server.sentBytes).toBe(sentBytes);
    writeFileSync(join(folder, "libone.so.1"), contentOf(300_000, 2));
    rmSync(join(folder, "empty"));
    const { placed } = await install(server);
    expect(placed).toEqual(["libone.so.1", "empty"]);
    expectInstalled();
  });

  it("takes the whole wheel if the server sends whole files only", async () => {
    await using server = await new IndexServer([one, two]).start();
    server.hasRanges = false;
    await install(server);
    expectInstalled();
    const { length } = one.bytes;
    expect(server.ranges.filter((range) => range === "whole")).toHaveLength(2);
    expect(server.sentBytes).toBeGreaterThanOrEqual(length + two.bytes.length);
  });

  it("takes the whole wheel if the server stops to send ranges", async () => {
    await using server = await new IndexServer([one, two]).start();
    server.hook = () => {
      server.hasRanges = server.ranges.length <= 2;
      return undefined;
    };
    await install(server);
    expectInstalled();
    expect(server.ranges.filter((range) => range === "whole").length).toBeLessThanOrEqual(2);
  });

  it("reads archives with 64-bit fields", async () => {
    const wide = makeWheel("nvidia-wide", { "libwide.so": contentOf(90_000) }, { zip64: true });
    await using server = await new IndexServer([wide]).start();
    await install(server, { wheels: [wide.wheel] });
    expectInstalled([wide]);
  });

  it("reads a directory that does not lie in the last bytes", async () => {
    const comment = "x".repeat(65_500);
    const far = makeWheel("nvidia-far", { "libfar.so": contentOf(90_000) }, { comment });
    await using server = await new IndexServer([far]).start();
    await install(server, { wheels: [far.wheel] });
    expectInstalled([far]);
  });

  it("asks the next index if one does not list the wheel or does not answer", async () => {
    await using server = await new IndexServer([one, two]).start();
    await using other = await new IndexServer([]).start();
    const environment = {
      ...quiet,
      PIP_INDEX_URL: other.index,
      PIP_EXTRA_INDEX_URL: `http://127.0.0.1:1/simple ${server.index}`,
    };
    await install(undefined, { environment });
    expectInstalled();
    expect(other.requests.map(({ url }) => url).sort()).toEqual([
      "/simple/nvidia-one-cu13/",
      "/simple/nvidia-two/",
    ]);
  });

  it("stops at once when the signal fires, and goes on in the next call", async () => {
    await using server = await new IndexServer([one, two]).start();
    const controller = new AbortController();
    const reason = new Error("enough");
    server.hook = ({ headers }) => {
      if (server.ranges.length === 4 && headers.range) controller.abort(reason);
      return undefined;
    };
    await expect(install(server, { signal: controller.signal })).rejects.toBe(reason);
    await expect(install(server, { signal: controller.signal })).rejects.toBe(reason);
    server.hook = () => undefined;
    await install(server);
    expectInstalled();
  });
});

describe("two at once", () => {
  it("receive each byte once, and one waits", async () => {
    await using server = await new IndexServer([one, two]).start();
    const waits: boolean[] = [];
    const onProgress = ({ isWaiting = false }: Progress) => void waits.push(isWaiting);
    const results = await Promise.all([1, 2, 3].map(() => install(server, { onProgress })));
    expectInstalled();
    expect(results.map(({ placed }) => placed.length).sort()).toEqual([0, 0, 4]);
    expect(waits.filter(Boolean).length).toBeGreaterThanOrEqual(1);
    expect(server.ranges.length).toBe(new Set(server.ranges).size);
  });
});

describe("a killed process", () => {
  const script = fileURLToPath(new URL("../../children/install.mjs", import.meta.url));
  const start = (server: IndexServer) => {
    const options = { ...{ folder, wheels, environment: quiet }, index: server.index };
    return spawn(process.execPath, [script, JSON.stringify(options)], { stdio: "ignore" });
  };

  it.each([true, false])("leaves bytes that the next one uses (ranges: %s)", async (hasRanges) => {
    await using server = await new IndexServer([one, two]).start();
    server.hasRanges = hasRanges;
    const held: number[] = [];
    const half = 20_000;
    // Sends the first bytes of large files and holds the rest.
    server.hook = ({ url, headers }, response) => {
      const isLarge = url!.includes("nvidia_one") && url!.startsWith("/files/");
      const [, from] = /^bytes=(\d+)-/.exec(headers.range ?? "") ?? [];
      if (!isLarge || (hasRanges && Number(from) > 1000) || (!hasRanges && headers.range)) return;
      const at = hasRanges ? Number(from) : 0;
      const { length } = one.bytes;
      const end = hasRanges ? Number(/-(\d+)$/.exec(headers.range!)![1]) + 1 : length;
      if (end === length && hasRanges) return;
      response.writeHead(hasRanges ? 206 : 200, {
        "content-length": end - at,
        ...(hasRanges && { "content-range": `bytes ${at}-${end - 1}/${length}` }),
      });
      response.write(one.bytes.subarray(at, at + half));
      held.push(at);
      return true;
    };
    const child = start(server);
    const isPart = (name: string) =>
      name.endsWith(".part") && statSync(join(folder, name)).size === half;
    await expect
      .poll(() => held.length > 0 && filesIn().some(isPart), { timeout: 60_000 })
      .toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(filesIn().filter((name) => name.endsWith("install.lock"))).toHaveLength(1);
    server.hook = () => undefined;
    server.hasRanges = true;
    const before = server.requests.length;
    const { placed } = await install(server);
    expect(placed).toContain("libone.so.1");
    expectInstalled();
    const resumed = server.requests.slice(before).map(({ headers }) => headers.range);
    if (hasRanges)
      expect(resumed.some((range) => range?.startsWith(`bytes=${held[0]! + half}-`))).toBe(true);
  });
});

describe("from a folder", () => {
  const put = (...made: MadeWheel[]) => {
    const from = mkdtempSync(join(root, "from-"));
    for (const { wheel, bytes } of made) writeFileSync(join(from, wheel.file), bytes);
    return from;
  };

  it("all files are placed without a network", async () => {
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => void seen.push({ ...progress });
    const environment = { ...quiet, VGG_OFFLINE: "1" };
    const { receivedBytes } = await install(undefined, {
      ...{ from: put(one, two), environment, onProgress },
    });
    expectInstalled();
    expect(receivedBytes).toBe(0);
    const totalBytes = one.bytes.length + two.bytes.length;
    expect(seen.at(-1)).toEqual({ receivedBytes: totalBytes, totalBytes });
  });

  it("a missing wheel is named before any file is placed", async () => {
    const from = put(two);
    await expect(install(undefined, { from })).rejects.toMatchObject({
      code: "OFFLINE",
      message: `Expected ${one.wheel.file} in ${from} but found none; put it there`,
    });
    expect(filesIn()).toEqual([]);
    await expect(install(undefined, { from: join(from, "no") })).rejects.toMatchObject({
      code: "OFFLINE",
      message: expect.stringContaining("is none"),
    });
  });

  it("a wheel that is not the tested one is refused, and only wheels with missing files are asked for", async () => {
    const from = put(one, two);
    await install(undefined, { from: put(one, two) });
    rmSync(join(folder, "libone.so.1"));
    rmSync(join(from, two.wheel.file));
    writeFileSync(join(from, one.wheel.file), one.bytes.subarray(1));
    await expect(install(undefined, { from })).rejects.toMatchObject({ code: "HASH_MISMATCH" });
    const changed = Buffer.from(one.bytes);
    changed[100]! ^= 1;
    writeFileSync(join(from, one.wheel.file), changed);
    await expect(install(undefined, { from })).rejects.toMatchObject({
      code: "HASH_MISMATCH",
      message: expect.stringContaining(one.wheel.sha256),
    });
    writeFileSync(join(from, one.wheel.file), one.bytes);
    expect((await install(undefined, { from })).placed).toEqual(["libone.so.1"]);
    expectInstalled();
  });
});

describe("without a network", () => {
  it("says which wheels to fetch", async () => {
    const error = await install(undefined, {
      environment: { ...quiet, VGG_OFFLINE: "1" },
    }).catch((error) => error);
    expect(error.code).toBe("OFFLINE");
    expect(error.message).toContain(`put ${one.wheel.file}, ${two.wheel.file} into a folder`);
  });
});

describe("options", () => {
  const [member] = one.wheel.members;
  const withMember = (change: object) => ({
    wheels: [{ ...one.wheel, members: [{ ...member!, ...change }] }],
  });
  const to = (value: string) => [`members[0].to`, withMember({ to: value })] as const;

  it.each<readonly [string, object]>([
    to("../libone.so"),
    to("/etc/libone.so"),
    to("C:/libone.so"),
    to("a\\b"),
    to("a//b"),
    to("a."),
    to(""),
    to("a/./b"),
    to("libone.part"),
    ["path", withMember({ path: "" })],
    ["sha256", withMember({ sha256: "A".repeat(64) })],
    ["size", withMember({ size: -1 })],
    ["wheels[0].file", { wheels: [{ ...one.wheel, file: `../${one.wheel.file}` }] }],
    ["wheels[0].file", { wheels: [{ ...one.wheel, version: "9" }] }],
    ["wheels[0].name", { wheels: [{ ...one.wheel, name: "a/b" }] }],
    ["each file once", { wheels: [one.wheel, one.wheel] }],
    ["folder", { folder: "" }],
    ["from", { from: "a\0" }],
    ["index", { index: "file:///srv" }],
    ["retries", { retries: 101 }],
  ])("that are wrong in %s are refused", async (name, more) => {
    const error = await install(undefined, { index: "http://127.0.0.1:1/", ...more }).catch(
      (e) => e,
    );
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toContain(name);
  });

  it.each<readonly [string, object]>([
    ["wheels", { wheels: {} }],
    ["wheels[0].members", { wheels: [{ ...one.wheel, members: "all" }] }],
    ["wheels[0]", { wheels: [null] }],
    ["only the options", { fodler: "" }],
    ["signal", { signal: {} }],
    ["onProgress", { onProgress: 1 }],
    ["environment", { environment: null }],
    ["index", { index: 1 }],
  ])("of another type in %s are refused", async (name, more) => {
    const error = await install(undefined, more).catch((e) => e);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(name);
  });

  it("name a folder that can be made", async () => {
    mkdirSync(join(folder, ".."), { recursive: true });
    writeFileSync(folder, "");
    await expect(install(undefined, { from: root })).rejects.toMatchObject({
      code: "FOLDER_UNUSABLE",
    });
  });
});
