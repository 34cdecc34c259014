// Known weights and their download, against a server on this machine only.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { homedir, hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { progressText } from "../lib/cli/pull.ts";
import {
  architectures,
  type KnownWeights,
  knownWeights,
  listWeights,
  pullWeights,
} from "../lib/index.ts";
import { Summary } from "../lib/vgg/summary.ts";
import { topology } from "../lib/vgg/topology.ts";
import { type Progress, retryDelayMs } from "../lib/weights/download.ts";
import { type PullOptions, pull } from "../lib/weights/hub.ts";
import { type Answer, FileServer, listen } from "./file-server.ts";

const proxyVariables = ["http_proxy", "https_proxy", "no_proxy", "all_proxy"];
const variables = [
  ...proxyVariables.flatMap((name) => [name, name.toUpperCase()]),
  ...["VGG_OFFLINE", "VGG_WEIGHTS_MIRROR", "TORCH_HOME", "XDG_CACHE_HOME"],
];
const root = mkdtempSync(join(tmpdir(), "vgg-hub-"));
let folder = "";
let server: FileServer;

/** 300,000 bytes that differ from place to place. */
const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2_654_435_761) >>> 24);
const half = 100_000;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** The entry of a file, as if it had been published. */
function entryOf(bytes: Uint8Array, more: Partial<KnownWeights> = {}): KnownWeights {
  const hashPrefix = sha256(bytes).slice(0, 8);
  const file = `vgg11-${hashPrefix}.pth`;
  const url = `https://download.pytorch.org/models/${file}`;
  return {
    ...knownWeights("vgg11"),
    hashPrefix,
    file,
    url,
    sizeMiB: bytes.length / 2 ** 20,
    ...more,
  };
}
const weights = entryOf(content);
const finalPath = () => join(folder, weights.file);
const partPath = () => `${finalPath()}.part`;
const expected = () => ({ path: finalPath(), bytes: content.length, sha256: sha256(content) });
const pulled = (options: PullOptions = {}, entry = weights) =>
  pull(entry, { folder, mirror: server.url, retryDelayMs: 0, ...options });
/** What is in the folder when all went well. */
const expectOnlyFile = () => {
  expect(readdirSync(folder)).toEqual([weights.file]);
  expect(sha256(readFileSync(finalPath()))).toBe(sha256(content));
};
const answerWith =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, headers).end("not the file");

beforeEach(async () => {
  // Whatever proxy this machine uses is not part of the test.
  for (const name of variables) vi.stubEnv(name, undefined);
  folder = mkdtempSync(join(root, "folder-"));
  server = await new FileServer(content).start();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}
/** A process to its end; the server of this process answers meanwhile. */
async function finished(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  onStderr = () => {},
): Promise<Finished> {
  const child = spawn(command, args, { env: { ...process.env, ...env } });
  const result = { stdout: "", stderr: "" };
  child.stdout.on("data", (text) => (result.stdout += text));
  child.stderr.on("data", (text) => {
    result.stderr += text;
    onStderr();
  });
  const [code] = await once(child, "close");
  return { status: code, ...result };
}
const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const puller = fileOf("children/pull.mjs");
const task = () =>
  JSON.stringify({ weights, options: { folder, mirror: server.url, retryDelayMs: 0 } });

describe("known weights", () => {
  it("are torchvision's eight, with the networks' own parameter counts", () => {
    expect(listWeights().map(({ arch }) => arch)).toEqual(architectures);
    for (const { arch, file, url, hashPrefix, parameterCount, sizeMiB } of listWeights()) {
      expect(file).toBe(`${arch}-${hashPrefix}.pth`);
      expect(hashPrefix).toMatch(/^[0-9a-f]{8}$/);
      expect(url).toBe(`https://download.pytorch.org/models/${file}`);
      const { totalParameters } = new Summary(topology(arch));
      expect(parameterCount).toBe(totalParameters);
      // Four bytes each, running statistics and the file's own overhead.
      expect(sizeMiB * 2 ** 20 - 4 * totalParameters).toBeGreaterThan(0);
      expect(sizeMiB * 2 ** 20 - 4 * totalParameters).toBeLessThan(120_000);
    }
    const { sha256, hashPrefix, bytes, sizeMiB } = knownWeights("vgg16");
    expect(sha256?.startsWith(hashPrefix)).toBe(true);
    expect((bytes! / 2 ** 20).toFixed(3)).toBe(sizeMiB.toFixed(3));
  });

  it("are found by their name and by DEFAULT", () => {
    expect(knownWeights("vgg13_bn", "IMAGENET1K_V1")).toBe(knownWeights("vgg13_bn"));
    expect(knownWeights("vgg13_bn", "DEFAULT").accuracy).toEqual({ top1: 71.586, top5: 90.374 });
  });

  it.each([
    ["another architecture", () => knownWeights("vgg12" as never), RangeError, "vgg11_bn"],
    [
      "another name",
      () => knownWeights("vgg11", "V2"),
      RangeError,
      "DEFAULT, IMAGENET1K_V1 for name",
    ],
    ["a number", () => knownWeights("vgg11", 1 as never), TypeError, "for name but received 1"],
  ])("are refused for %s", (_, call, type, message) => {
    expect(call).toThrow(type);
    expect(call).toThrow(message);
  });
});

describe("arguments", () => {
  it.each([
    ["an unknown architecture", () => pullWeights("vgg12" as never), RangeError, "for arch"],
    ["an unknown option", () => pulled({ folders: "." } as never), TypeError, '"folders"'],
    ["options that are no object", () => pull(weights, 7 as never), TypeError, "for options"],
    ["a folder that is a number", () => pulled({ folder: 7 as never }), TypeError, "for folder"],
    ["an empty folder", () => pulled({ folder: "" }), RangeError, "for folder"],
    ["a mirror that is no address", () => pulled({ mirror: "mirror" }), RangeError, "https://"],
    ["a mirror of files", () => pulled({ mirror: "file:///tmp" }), RangeError, "https://"],
    ["a mirror that is null", () => pulled({ mirror: null as never }), TypeError, "for mirror"],
    ["no time at all", () => pulled({ timeoutMs: 0 }), RangeError, "for timeoutMs"],
    ["NaN retries", () => pulled({ retries: Number.NaN }), RangeError, "for retries"],
    [
      "a delay that is a string",
      () => pulled({ retryDelayMs: "1" as never }),
      TypeError,
      "for retry",
    ],
    ["a signal that is none", () => pulled({ signal: {} as never }), TypeError, "for signal"],
    [
      "a progress that is no function",
      () => pulled({ onProgress: 1 as never }),
      TypeError,
      "for on",
    ],
    ["offline as a string", () => pulled({ offline: "yes" as never }), TypeError, "for offline"],
  ])("refuses %s", async (_, call, type, message) => {
    await expect((async () => call())()).rejects.toThrow(type);
    await expect((async () => call())()).rejects.toThrow(message);
    expect(server.requests).toHaveLength(0);
  });

  it("says which variable is wrong", async () => {
    vi.stubEnv("VGG_WEIGHTS_MIRROR", "ftp://mirror");
    await expect(pull(weights, { folder })).rejects.toThrow("for VGG_WEIGHTS_MIRROR but received");
  });
});

describe("pull", () => {
  it("downloads once, then finds the file without the network", async () => {
    const seen: Progress[] = [];
    const deep = join(folder, "not", "yet");
    const result = await pulled({ folder: deep, onProgress: (progress) => seen.push(progress) });
    expect(result).toEqual({ ...expected(), path: join(deep, weights.file) });
    expect(seen[0]).toEqual({ receivedBytes: 0, totalBytes: content.length });
    expect(seen.at(-1)).toEqual({ receivedBytes: content.length, totalBytes: content.length });
    expect(await pulled({ folder: deep })).toEqual(result);
    expect(await pulled({ folder: deep, offline: true })).toEqual(result);
    expect(server.requests.map(({ url }) => url)).toEqual([`/${weights.file}`]);
    expect(readdirSync(deep)).toEqual([weights.file]);
  });

  it("replaces a file whose content is not what its name promises", async () => {
    writeFileSync(finalPath(), "torn");
    expect(await pulled()).toEqual(expected());
    expectOnlyFile();
  });

  it("takes a body of unknown length", async () => {
    server.plan.push((_, response) => void response.end(content));
    const seen: Progress[] = [];
    await pulled({ onProgress: (progress) => seen.push(progress) });
    expect(seen).toContainEqual({ receivedBytes: content.length, totalBytes: expect.anything() });
    expectOnlyFile();
  });

  it("goes on where a connection was cut, as often as it brings more", async () => {
    server.plan.push(server.holdAt(half), server.holdAt(half + 1), server.holdAt(half + 2));
    const onProgress = ({ receivedBytes }: Progress) => {
      if (receivedBytes >= half && receivedBytes <= half + 2) server.cut();
    };
    expect(await pulled({ onProgress, retries: 0 })).toEqual(expected());
    expect(server.ranges).toEqual([undefined, ...[0, 1, 2].map((i) => `bytes=${half + i}-`)]);
    expect(server.requests[1]!.headers["if-range"]).toBe(server.etag);
    expect(server.sentBytes).toBe(content.length);
    expectOnlyFile();
  });

  it("goes on from an earlier call, also with another server", async () => {
    writeFileSync(partPath(), content.subarray(0, half));
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${half}-`]);
    expect(server.requests[0]!.headers["if-range"]).toBeUndefined();
  });

  it("asks for nothing when all bytes came before", async () => {
    writeFileSync(partPath(), content);
    const entry = entryOf(content, { bytes: content.length, sha256: sha256(content) });
    expect(await pulled({}, entry)).toEqual(expected());
    expect(server.requests).toHaveLength(0);
    expectOnlyFile();
  });

  it("knows a whole part by status 416", async () => {
    writeFileSync(partPath(), content);
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${content.length}-`]);
  });

  it("starts over after status 416 for a part that is too long", async () => {
    writeFileSync(partPath(), new Uint8Array(content.length + 1));
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${content.length + 1}-`, undefined]);
  });

  it("starts over when the file changed on the server", async () => {
    writeFileSync(partPath(), new Uint8Array(half));
    const note = { url: `${server.url}${weights.file}`, validator: '"v0"' };
    writeFileSync(`${partPath()}.json`, JSON.stringify(note));
    expect(await pulled()).toEqual(expected());
    expect(server.requests.map(({ headers }) => headers["if-range"])).toEqual(['"v0"']);
    expectOnlyFile();
  });

  it("starts over when the server ignores ranges", async () => {
    writeFileSync(partPath(), content.subarray(0, half));
    server.plan.push((_, response) => void response.end(content));
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${half}-`]);
    expectOnlyFile();
  });

  it.each([
    "bytes 0-299999/300000",
    "bytes 99999-299999/300000",
    "bytes */300000",
    "lines 1-2/3",
    "",
  ])("starts over for the Content-Range %j", async (range) => {
    writeFileSync(partPath(), content.subarray(0, half));
    server.plan.push(
      (_, response) => void response.writeHead(206, { "content-range": range }).end("?"),
    );
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${half}-`, undefined]);
    expectOnlyFile();
  });

  it("starts over once when the pieces do not fit together", async () => {
    writeFileSync(partPath(), new Uint8Array(half));
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${half}-`, undefined]);
    expectOnlyFile();
  });

  it.each([400, 401, 403, 404, 410])("does not try again after status %i", async (code) => {
    server.plan.push(answerWith(code));
    const error = await pulled().catch((error) => error);
    expect(error).toMatchObject({ name: "VggError", code: "DOWNLOAD_FAILED" });
    expect(error.message).toContain(`${server.url}${weights.file}: the server answered ${code}`);
    expect(server.requests).toHaveLength(1);
    expect(existsSync(`${finalPath()}.lock`)).toBe(false);
  });

  it.each([408, 429, 500, 502, 503])("tries again after status %i", async (code) => {
    server.plan.push(answerWith(code), answerWith(code, { "retry-after": "0" }));
    expect(await pulled()).toEqual(expected());
    expect(server.requests).toHaveLength(3);
  });

  it("gives up after its retries, and says how many", async () => {
    server.plan.push(...Array.from({ length: 9 }, () => answerWith(500)));
    const failed = expect(pulled({ retries: 2 })).rejects;
    await failed.toThrow(/the server answered 500 \(3 tries\)/);
    expect(server.requests).toHaveLength(3);
  });

  it("does not wait for hours", async () => {
    server.plan.push(answerWith(503, { "retry-after": "86400" }));
    await expect(pulled()).rejects.toThrow("answered 503 and asks for 86400 s of patience");
  });

  it("says why it cannot connect", async () => {
    const { port, close } = await listen(createServer());
    await close();
    const failed = pulled({ mirror: `http://127.0.0.1:${port}`, retries: 1 });
    await expect(failed).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  it("removes a file with another hash, and says both", async () => {
    const entry = entryOf(new Uint8Array(7), { sizeMiB: 1 });
    const error = await pulled({}, entry).catch((error) => error);
    expect(error).toMatchObject({ name: "VggError", code: "HASH_MISMATCH" });
    expect(error.message).toContain(entry.hashPrefix);
    expect(error.message).toContain(sha256(content));
    expect(server.requests).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("checks all digits of the hash where they are known", async () => {
    const entry = { ...weights, sha256: `${weights.hashPrefix}${"0".repeat(56)}` };
    await expect(pulled({}, entry)).rejects.toMatchObject({ code: "HASH_MISMATCH" });
  });

  it("stops a server that sends without end", async () => {
    server.plan.push((_, response) => {
      const more = () => void (response.destroyed || response.write(content, more));
      more();
    });
    const error = await pulled().catch((error) => error);
    expect(error.code).toBe("HASH_MISMATCH");
    expect(error.message).toContain("received more");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("keeps what came when a body ends too early", async () => {
    server.plan.push(server.holdAt(half), ...Array.from({ length: 9 }, () => server.holdAt(half)));
    const onProgress = ({ receivedBytes }: Progress) => {
      if (receivedBytes === half) server.cut();
    };
    const failed = pulled({ onProgress, retries: 1 });
    await expect(failed).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringContaining(`; ${half} bytes are kept for the next call`),
    });
    expect(readFileSync(partPath())).toHaveLength(half);
    server.plan.length = 0;
    expect(await pulled()).toEqual(expected());
  });

  it("breaks a silence", async () => {
    server.plan.push(server.holdAt(half));
    expect(await pulled({ timeoutMs: 200, retries: 100 })).toEqual(expected());
    const silent = entryOf(content, { file: "silent.pth" });
    server.plan.push(() => {});
    const failed = pulled({ timeoutMs: 50, retries: 0 }, silent);
    await expect(failed).rejects.toThrow("no byte came for 0.05 s");
  });

  it("stops when it is told to, and goes on in the next call", async () => {
    server.plan.push(server.holdAt(half));
    const controller = new AbortController();
    const reason = new Error("enough");
    const onProgress = ({ receivedBytes }: Progress) => {
      if (receivedBytes === half) controller.abort(reason);
    };
    await expect(pulled({ signal: controller.signal, onProgress })).rejects.toBe(reason);
    await expect(pulled({ signal: controller.signal })).rejects.toBe(reason);
    expect(readdirSync(folder).sort()).toEqual([
      `${weights.file}.part`,
      `${weights.file}.part.json`,
    ]);
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([undefined, `bytes=${half}-`]);
    expectOnlyFile();
  });

  it("stops while it waits for its next try, and for another process", async () => {
    const controller = new AbortController();
    server.plan.push((_, response) => {
      response.writeHead(500).end();
      setImmediate(() => controller.abort());
    });
    const waiting = pulled({ signal: controller.signal, retryDelayMs: 60_000 });
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });

    const lock = { pid: process.pid, host: hostname(), token: "another" };
    writeFileSync(`${finalPath()}.lock`, JSON.stringify(lock));
    const blocked = pulled({ signal: AbortSignal.timeout(50) });
    await expect(blocked).rejects.toMatchObject({ name: "TimeoutError" });
    expect(readFileSync(`${finalPath()}.lock`, "utf8")).toBe(JSON.stringify(lock));
    expect(server.requests).toHaveLength(1);
  });

  it("passes on what onProgress throws", async () => {
    const onProgress = () => {
      throw new Error("from the caller");
    };
    await expect(pulled({ onProgress })).rejects.toThrow("from the caller");
    expect(await pulled()).toEqual(expected());
  });
});

describe("redirects", () => {
  it("are followed, with the range", async () => {
    writeFileSync(partPath(), content.subarray(0, half));
    server.plan.push(
      answerWith(302, { location: "/b" }),
      answerWith(307, { location: `${server.url}c` }),
    );
    expect(await pulled()).toEqual(expected());
    expect(server.requests.map(({ url }) => url)).toEqual([`/${weights.file}`, "/b", "/c"]);
    expect(new Set(server.ranges)).toEqual(new Set([`bytes=${half}-`]));
  });

  it("do not carry credentials to another server, nor do messages", async () => {
    await using other = await new FileServer(content).start();
    server.plan.push(answerWith(301, { location: other.url }));
    other.plan.push(answerWith(404));
    const mirror = `${server.url.replace("//", "//user:s%20cret@")}dir?token=hidden`;
    const error = await pulled({ mirror }).catch((error) => error);
    expect(error.message).toContain(`${server.url}dir/${weights.file}: the server answered 404`);
    expect(error.message).not.toMatch(/cret|hidden/);
    const { url, headers } = server.requests[0]!;
    expect(url).toBe(`/dir/${weights.file}?token=hidden`);
    expect(headers.authorization).toBe(`Basic ${btoa("user:s cret")}`);
    expect(other.requests[0]!.headers.authorization).toBeUndefined();
  });

  it.each([
    ["round and round", "/again", "more than 5 times"],
    ["to another protocol", "ftp://127.0.0.1/a", "which is not https"],
    ["to nowhere", "http://[", "to nowhere"],
  ])("are not followed %s", async (_, location, message) => {
    server.plan.push(...Array.from({ length: 9 }, () => answerWith(302, { location })));
    await expect(pulled()).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringContaining(message),
    });
  });
});

describe("retryDelayMs", () => {
  it("doubles, up to half a minute", () => {
    expect([0, 1, 2, 3, 4, 20].map((failures) => retryDelayMs(failures, 500))).toEqual([
      500, 500, 1000, 2000, 4000, 30_000,
    ]);
  });

  it("honours Retry-After in seconds and as a date", () => {
    expect(retryDelayMs(1, 500, "7")).toBe(7000);
    expect(retryDelayMs(3, 500, "0")).toBe(2000);
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(retryDelayMs(1, 500, "Thu, 01 Jan 2026 00:00:09 GMT", now)).toBe(9000);
    expect(retryDelayMs(1, 500, "Wed, 31 Dec 2025 00:00:00 GMT", now)).toBe(500);
    expect(retryDelayMs(1, 500, "soon", now)).toBe(500);
  });
});

describe("proxies", () => {
  /** A proxy that knows one host, and refuses tunnels. */
  async function openProxy() {
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(`GET ${request.url} ${request.headers["proxy-authorization"] ?? ""}`.trim());
      const { pathname } = new URL(request.url!);
      const { port } = new URL(server.url);
      httpRequest({ host: "127.0.0.1", port, path: pathname, headers: request.headers }, (from) => {
        response.writeHead(from.statusCode!, from.headers);
        from.pipe(response);
      }).end();
    });
    proxy.on("connect", (request, socket) => {
      seen.push(`CONNECT ${request.url}`);
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    const { url, close } = await listen(proxy);
    return { url, seen, [Symbol.asyncDispose]: close };
  }

  it.each(["http_proxy", "HTTP_PROXY"])("are taken from %s", async (name) => {
    await using proxy = await openProxy();
    vi.stubEnv(name, proxy.url.replace("//", "//me:pass@"));
    const seen = () => proxy.seen;
    expect(await pulled({ mirror: "http://weights.test/models" })).toEqual(expected());
    expect(seen()).toEqual([
      `GET http://weights.test/models/${weights.file} Basic ${btoa("me:pass")}`,
    ]);
  });

  it.each(["https_proxy", "HTTPS_PROXY"])("get a tunnel's request by %s", async (name) => {
    await using proxy = await openProxy();
    vi.stubEnv(name, proxy.url);
    const failed = pull(weights, { folder, retries: 0 });
    await expect(failed).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringMatching(/download\.pytorch\.org.*403/),
    });
    expect(proxy.seen).toEqual(["CONNECT download.pytorch.org:443"]);
  });

  it.each(["no_proxy", "NO_PROXY"])("are left out by %s", async (name) => {
    await using proxy = await openProxy();
    vi.stubEnv("http_proxy", proxy.url);
    vi.stubEnv(name, "example.org,127.0.0.1");
    expect(await pulled()).toEqual(expected());
    expect(proxy.seen).toEqual([]);
  });

  it("that ask for a password give one clear error", async () => {
    const proxy = await listen(createServer((_, response) => void response.writeHead(407).end()));
    vi.stubEnv("http_proxy", proxy.url);
    await expect(pulled({ retries: 0 })).rejects.toThrow("407");
    await proxy.close();
  });

  it("that are no address are named", async () => {
    vi.stubEnv("http_proxy", "nonsense");
    await expect(pulled()).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringContaining("HTTP_PROXY"),
    });
  });
});

describe("folders", () => {
  const inCache = (...parts: string[]) => join(folder, ...parts);
  const url = () => ({ mirror: server.url, retryDelayMs: 0 });

  it("are ours in the user's cache where torch has none", async () => {
    vi.stubEnv("XDG_CACHE_HOME", folder);
    const { path } = await pull(weights, url());
    expect(path).toBe(inCache("vgg-cudnn", weights.file));
  });

  it("are torch's where it has one, in its order", async () => {
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

  it("are the user's own without variables", async () => {
    const entry = entryOf(content, { file: "of-no-one.pth" });
    await expect(pull(entry, { offline: true })).rejects.toThrow(
      `${join(homedir(), ".cache", "torch", "hub", "checkpoints")} or ${join(homedir(), ".cache", "vgg-cudnn")}`,
    );
  });

  it("that are files are named", async () => {
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

  it.skipIf(process.getuid?.() === 0)("that are read-only are named", async () => {
    chmodSync(folder, 0o555);
    await expect(pulled()).rejects.toMatchObject({
      code: "FOLDER_UNUSABLE",
      message: expect.stringContaining("EACCES"),
    });
  });
});

describe("offline", () => {
  it.each([{ offline: true }, {}])("says which file belongs where", async (options) => {
    vi.stubEnv("VGG_OFFLINE", "1");
    const error = await pull(knownWeights("vgg16"), { folder, ...options }).catch((error) => error);
    expect(error).toMatchObject({ name: "VggError", code: "OFFLINE" });
    const { file, url, sha256 } = knownWeights("vgg16");
    for (const word of [file, url, sha256!, folder]) expect(error.message).toContain(word);
    await expect(pullWeights("vgg16", "DEFAULT", { folder })).rejects.toThrow(error.message);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is not meant by VGG_OFFLINE=0, nor where the option says so", async () => {
    vi.stubEnv("VGG_OFFLINE", "0");
    vi.stubEnv("VGG_WEIGHTS_MIRROR", server.url);
    expect(await pull(weights, { folder })).toEqual(expected());
    rmSync(finalPath());
    vi.stubEnv("VGG_OFFLINE", "1");
    expect(await pull(weights, { folder, offline: false })).toEqual(expected());
  });
});

describe("processes", () => {
  it("that pull at once download once", async () => {
    // The first response ends when the other process runs too.
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

  it("that pull twice at once download once", async () => {
    expect(await Promise.all([pulled(), pulled(), pulled()])).toEqual(Array(3).fill(expected()));
    expect(server.requests).toHaveLength(1);
    expectOnlyFile();
  });

  it("that died leave a lock that is taken over, and bytes that are used", async () => {
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

  it("that are silent for a minute lose their lock, and cannot write any more", async () => {
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

  it("whose lock has no owner's name yet are waited for, but not for ever", async () => {
    const lock = `${finalPath()}.lock`;
    writeFileSync(lock, "");
    await expect(pulled({ signal: AbortSignal.timeout(50) })).rejects.toThrow("timeout");
    utimesSync(lock, new Date(0), new Date(0));
    expect(await pulled()).toEqual(expected());
  });

  it("that run out of space keep what came, and say so", async () => {
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
  const preload = new URL("children/fake-weights.mjs", import.meta.url).href;
  const script = fileOf("../dist/cli/main.js");
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

  it("gives one JSON object for each file", async () => {
    const { status, stdout } = await vgg(["vgg11", "--folder", folder, "--json"], {
      VGG_WEIGHTS_MIRROR: server.url,
    });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ arch: "vgg11", ...expected() });
  });

  it("lists what can be pulled", async () => {
    const { status, stdout } = await vgg(["--list"]);
    expect(status).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(9);
    expect(stdout).toMatch(
      /^vgg16 +IMAGENET1K_V1 +71\.592 +90\.382 +15\.47 +138,357,544 +527\.8 +https:\/\/download\.pytorch\.org\/models\/vgg16-397923af\.pth$/m,
    );
    const asJson = await vgg(["--list", "--json"]);
    expect(JSON.parse(asJson.stdout)).toHaveLength(8);
  });

  it.each([
    ["no name", [], "Expected architectures, or --list, for NAME"],
    ["a name that is not known", ["vgg11", "vgg12"], 'for arch but received "vgg12"'],
    ["a name beside --list", ["--list", "vgg11"], "no name beside --list"],
    [
      "a mirror that is none",
      ["vgg11", "--mirror", "nowhere"],
      'for mirror but received "nowhere"',
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
      message: `Could not download ${server.url}${weights.file}: the server answered 404`,
    });
  });

  it("shows how far it is", () => {
    const totalBytes = 2 ** 20;
    expect(progressText("a.pth", { receivedBytes: 2 ** 19, totalBytes })).toBe(
      `a.pth ${"█".repeat(12)}${"░".repeat(12)} 50 % 0.5 of 1.0 MiB`,
    );
    const unknown = { receivedBytes: 2 ** 20, totalBytes: undefined };
    expect(progressText("a.pth", unknown)).toBe("a.pth 1.0 MiB");
  });
});
