// Downloads through redirects, proxies and retried failures, and no downloads if the machine is offline.
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { inspect } from "node:util";
import { describe, expect, it, vi } from "vitest";
import { pull } from "../../lib/download/hub.ts";
import { retryDelayMs } from "../../lib/download/retry.ts";
import { knownWeights, pullWeights } from "../../lib/index.ts";
import { FileServer, listen } from "../support/file-server.ts";
import {
  answerWith,
  content,
  expected,
  finalPath,
  folder,
  half,
  partPath,
  pulled,
  server,
  weights,
} from "../support/hub-server.ts";

describe("redirects", () => {
  it("are followed, and keep the requested range", async () => {
    writeFileSync(partPath(), content.subarray(0, half));
    server.plan.push(
      answerWith(302, { location: "/b" }),
      answerWith(307, { location: `${server.url}c` }),
    );
    expect(await pulled()).toEqual(expected());
    expect(server.requests.map(({ url }) => url)).toEqual([`/${weights.file}`, "/b", "/c"]);
    expect(new Set(server.ranges)).toEqual(new Set([`bytes=${half}-`]));
  });

  it("do not carry credentials to another server or into messages", async () => {
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
    ["in a circle", "/again", "more than 5 times"],
    ["to another protocol", "ftp://127.0.0.1/a", "which is not https"],
    ["to an invalid address", "http://[", "its redirect has no address"],
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

  it.each(["https_proxy", "HTTPS_PROXY"])("are asked for a tunnel if %s is set", async (name) => {
    await using proxy = await openProxy();
    vi.stubEnv(name, proxy.url);
    const failed = pull(weights, { folder, retries: 0 });
    await expect(failed).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringMatching(/download\.pytorch\.org.*403/),
    });
    expect(proxy.seen).toEqual(["CONNECT download.pytorch.org:443"]);
  });

  it.each(["no_proxy", "NO_PROXY"])("are skipped for the hosts in %s", async (name) => {
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

  it("with an invalid address are named in the error", async () => {
    vi.stubEnv("http_proxy", "nonsense");
    await expect(pulled()).rejects.toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringContaining("HTTP_PROXY"),
    });
  });

  it("with an invalid address show no password, not even in the cause", async () => {
    vi.stubEnv("http_proxy", "http://user:secret@proxy:port");
    const error = await pulled().catch((error) => error);
    expect(error.message).toContain("HTTP_PROXY");
    expect(inspect(error, { depth: 9 })).not.toContain("secret");
  });
});

describe("offline", () => {
  it.each([{ offline: true }, {}])("says which file to put where", async (options) => {
    vi.stubEnv("VGG_OFFLINE", "1");
    const error = await pull(knownWeights("vgg16"), { folder, ...options }).catch((error) => error);
    expect(error).toMatchObject({ name: "VggError", code: "OFFLINE" });
    const { file, url, sha256 } = knownWeights("vgg16");
    for (const word of [file, url, sha256!, folder]) expect(error.message).toContain(word);
    await expect(pullWeights("vgg16", "DEFAULT", { folder })).rejects.toThrow(error.message);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is off with VGG_OFFLINE=0, or if the option says so", async () => {
    vi.stubEnv("VGG_OFFLINE", "0");
    vi.stubEnv("VGG_WEIGHTS_MIRROR", server.url);
    expect(await pull(weights, { folder })).toEqual(expected());
    rmSync(finalPath());
    vi.stubEnv("VGG_OFFLINE", "1");
    expect(await pull(weights, { folder, offline: false })).toEqual(expected());
  });
});
