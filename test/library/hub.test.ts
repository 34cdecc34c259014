// Known weights and their download, against a server on this machine only.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { Progress } from "../../lib/download/download.ts";
import { pull } from "../../lib/download/hub.ts";
import { architectures, knownWeights, listWeights, pullWeights } from "../../lib/index.ts";
import { Summary } from "../../lib/vgg/summary.ts";
import { topology } from "../../lib/vgg/topology.ts";
import { listen } from "../support/file-server.ts";
import {
  answerWith,
  content,
  entryOf,
  expected,
  expectOnlyFile,
  finalPath,
  folder,
  half,
  partPath,
  pulled,
  server,
  sha256,
  weights,
} from "../support/hub-server.ts";

describe("known weights", () => {
  it("are torchvision's eight, with the networks' own parameter counts", () => {
    expect(listWeights().map(({ arch }) => arch)).toEqual(architectures);
    for (const { arch, file, url, hashPrefix, parameterCount, sizeMiB } of listWeights()) {
      expect(file).toBe(`${arch}-${hashPrefix}.pth`);
      expect(hashPrefix).toMatch(/^[0-9a-f]{8}$/);
      expect(url).toBe(`https://download.pytorch.org/models/${file}`);
      const { totalParameters } = new Summary(topology(arch));
      expect(parameterCount).toBe(totalParameters);
      // A parameter takes four bytes. The rest is running statistics and the file's overhead.
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
      "an unknown name",
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
    ["options that are not an object", () => pull(weights, 7 as never), TypeError, "for options"],
    ["a folder that is a number", () => pulled({ folder: 7 as never }), TypeError, "for folder"],
    ["an empty folder", () => pulled({ folder: "" }), RangeError, "for folder"],
    ["a mirror that is not an address", () => pulled({ mirror: "mirror" }), RangeError, "https://"],
    ["a file URL as mirror", () => pulled({ mirror: "file:///tmp" }), RangeError, "https://"],
    ["a mirror that is null", () => pulled({ mirror: null as never }), TypeError, "for mirror"],
    ["a timeout of 0", () => pulled({ timeoutMs: 0 }), RangeError, "for timeoutMs"],
    ["NaN retries", () => pulled({ retries: Number.NaN }), RangeError, "for retries"],
    [
      "a delay that is a string",
      () => pulled({ retryDelayMs: "1" as never }),
      TypeError,
      "for retry",
    ],
    [
      "a signal that is not an AbortSignal",
      () => pulled({ signal: {} as never }),
      TypeError,
      "for signal",
    ],
    [
      "an onProgress that is not a function",
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

  it("says which variable is wrong, without the name and password in it", async () => {
    vi.stubEnv("VGG_WEIGHTS_MIRROR", "ftp://user:secret@mirror");
    const message = 'for VGG_WEIGHTS_MIRROR but received "ftp://mirror"';
    await expect(pull(weights, { folder })).rejects.toThrow(message);
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

  it("accepts a body of unknown length", async () => {
    server.plan.push((_, response) => void response.end(content));
    const seen: Progress[] = [];
    await pulled({ onProgress: (progress) => seen.push(progress) });
    expect(seen).toContainEqual({ receivedBytes: content.length, totalBytes: expect.anything() });
    expectOnlyFile();
  });

  it("continues where a connection was cut, as long as each attempt brings more", async () => {
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

  it("continues an earlier call's download, even from another server", async () => {
    writeFileSync(partPath(), content.subarray(0, half));
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${half}-`]);
    expect(server.requests[0]!.headers["if-range"]).toBeUndefined();
  });

  it("makes no request if all bytes arrived earlier", async () => {
    writeFileSync(partPath(), content);
    const entry = entryOf(content, { bytes: content.length, sha256: sha256(content) });
    expect(await pulled({}, entry)).toEqual(expected());
    expect(server.requests).toHaveLength(0);
    expectOnlyFile();
  });

  it("recognises a complete partial file by status 416", async () => {
    writeFileSync(partPath(), content);
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${content.length}-`]);
  });

  it("starts over after status 416 for a partial file that is too long", async () => {
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

  it("starts over once if the ranges do not fit together", async () => {
    writeFileSync(partPath(), new Uint8Array(half));
    expect(await pulled()).toEqual(expected());
    expect(server.ranges).toEqual([`bytes=${half}-`, undefined]);
    expectOnlyFile();
  });

  it.each([400, 401, 403, 404, 410])("does not retry after status %i", async (code) => {
    server.plan.push(answerWith(code));
    const error = await pulled().catch((error) => error);
    expect(error).toMatchObject({ name: "VggError", code: "DOWNLOAD_FAILED" });
    expect(error.message).toContain(`${server.url}${weights.file}: the server answered ${code}`);
    expect(server.requests).toHaveLength(1);
    expect(existsSync(`${finalPath()}.lock`)).toBe(false);
  });

  it.each([408, 429, 500, 502, 503])("retries after status %i", async (code) => {
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

  it("refuses to wait for hours", async () => {
    server.plan.push(answerWith(503, { "retry-after": "86400" }));
    await expect(pulled()).rejects.toThrow(
      "answered 503 and asks for a wait of 86400 s before the next try",
    );
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

  it("removes a file with the wrong hash, and names both hashes", async () => {
    const entry = entryOf(new Uint8Array(7), { sizeMiB: 1 });
    const error = await pulled({}, entry).catch((error) => error);
    expect(error).toMatchObject({ name: "VggError", code: "HASH_MISMATCH" });
    expect(error.message).toContain(entry.hashPrefix);
    expect(error.message).toContain(sha256(content));
    expect(server.requests).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("checks all digits of the hash if they are known", async () => {
    const entry = { ...weights, sha256: `${weights.hashPrefix}${"0".repeat(56)}` };
    await expect(pulled({}, entry)).rejects.toMatchObject({ code: "HASH_MISMATCH" });
  });

  it("stops reading from a server that sends without end", async () => {
    server.plan.push((_, response) => {
      const more = () => void (response.destroyed || response.write(content, more));
      more();
    });
    const error = await pulled().catch((error) => error);
    expect(error.code).toBe("HASH_MISMATCH");
    expect(error.message).toContain("received more");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("keeps what arrived if a body ends too early", async () => {
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

  it("ends a download if no byte arrives in time", async () => {
    server.plan.push(server.holdAt(half));
    expect(await pulled({ timeoutMs: 200, retries: 100 })).toEqual(expected());
    const silent = entryOf(content, { file: "silent.pth" });
    server.plan.push(() => {});
    const failed = pulled({ timeoutMs: 50, retries: 0 }, silent);
    await expect(failed).rejects.toThrow("no byte came for 0.05 s");
  });

  it("stops when the signal fires, and continues in the next call", async () => {
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

  it("stops while it waits for its next attempt or for another process", async () => {
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
