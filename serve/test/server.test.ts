// The server as a whole: its ports, its start and its end, TLS, metrics, and the routes in a server of a team's own.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, createServer, get, request } from "node:http";
import { get as secureGet } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp, createHandler, type ServeOptions, type Server, serve } from "../lib/index.ts";
import { fileOf, labels, saveSmallModel } from "./support/small-model.ts";

let saved: Awaited<ReturnType<typeof saveSmallModel>>;
beforeAll(async () => {
  saved = await saveSmallModel();
});
afterAll(() => saved?.remove());

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const options = (more: Partial<ServeOptions> = {}): ServeOptions => ({
  models: {
    small: { weights: saved.weights, devices: ["cpu"], threads: 2, warmup: false },
  },
  http: { port: 0 },
  grpc: { port: 0 },
  metrics: { port: 0 },
  logger: silent,
  drainMs: 0,
  ...more,
});

const urlOf = ({ addresses }: Server, path: string) =>
  `http://127.0.0.1:${addresses.http!.port}${path}`;

const classify = (url: string) => fetch(url, { method: "POST", body: fileOf(1) });

describe("serve", () => {
  it("answers over REST and gives metrics", async () => {
    await using server = await serve(options());
    const ready = await fetch(urlOf(server, "/v2/health/ready"));
    expect(await ready.json()).toMatchObject({ ready: true });
    const answer = await classify(urlOf(server, "/classify?top=1"));
    const [best] = (await answer.json()) as { label: string }[];
    expect(labels).toContain(best!.label);
    const metrics = await fetch(`http://127.0.0.1:${server.addresses.metrics!.port}/metrics`);
    const text = await metrics.text();
    expect(text).toMatch(/^nv_inference_request_success\{.*model="small".*\} 1$/m);
    expect(text).toMatch(/^vgg_device_up\{device="cpu"\} 1$/m);
    const { port } = server.addresses.metrics!;
    expect((await fetch(`http://127.0.0.1:${port}/other`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: "POST" })).status).toBe(405);
  });

  it("opens its ports before the models are loaded, so that probes get answers", async () => {
    const states: number[] = [];
    const { port } = await freePort();
    const url = `http://127.0.0.1:${port}/v2/health/`;
    const starting = serve(options({ http: { port } }));
    let isReady = false;
    const watch = (async () => {
      while (!isReady) {
        const { status } = await fetch(`${url}ready`).catch(() => ({ status: 0 }));
        states.push(status);
        await sleep(5);
      }
    })();
    await using server = await starting;
    isReady = true;
    await watch;
    expect(states).toContain(503);
    expect((await fetch(urlOf(server, "/v2/health/ready"))).status).toBe(200);
  });

  it("does not start with a model that cannot be loaded, wrong options or a port that is taken", async () => {
    const models = { small: { weights: join(saved.folder, "absent.pth") } };
    await expect(serve(options({ models }))).rejects.toMatchObject({
      name: "ServeError",
      message: expect.stringContaining("failed to load 'small'"),
    });
    await expect(serve({ models: {} })).rejects.toThrow("Expected at least one model for models");
    const taken = createTcpServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as AddressInfo;
    await expect(serve(options({ http: { port } }))).rejects.toMatchObject({ code: "EADDRINUSE" });
    taken.close();
    const tls = { key: join(saved.folder, "none.pem"), cert: "-----BEGIN CERTIFICATE-----" };
    await expect(serve(options({ http: { port: 0, tls } }))).rejects.toThrow(
      "Expected a file for http.tls.key but reading",
    );
    writeFileSync(tls.key, "-----BEGIN PRIVATE KEY-----");
    await expect(serve(options({ http: { port: 0, tls } }))).rejects.toThrow(
      "Expected a key and its certificate in PEM for http.tls",
    );
  });

  it("omits a protocol that is off", async () => {
    await using server = await serve(options({ grpc: false, metrics: false }));
    expect(Object.keys(server.addresses)).toEqual(["http"]);
  });

  it("reloads its models, and says what failed", async () => {
    const weights = join(saved.folder, "other.safetensors");
    writeFileSync(weights, readFileSync(saved.weights));
    const model = { ...options().models.small!, weights };
    await using server = await serve(options({ models: { small: model } }));
    await server.reload();
    writeFileSync(weights, "damaged");
    await expect(server.reload()).rejects.toThrow("failed to load 'small'");
    expect((await classify(urlOf(server, "/classify"))).status).toBe(200);
  });

  it.skipIf(!hasOpenssl())("serves TLS", async () => {
    const key = join(saved.folder, "key.pem");
    const cert = join(saved.folder, "cert.pem");
    const subject = ["-subj", "/CN=localhost", "-days", "2"];
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
        ...["-keyout", key, "-out", cert, ...subject],
      ],
      { stdio: "ignore" },
    );
    await using server = await serve(options({ http: { port: 0, tls: { key, cert } } }));
    const status = await new Promise((resolve, reject) => {
      const { port } = server.addresses.http!;
      const ca = readFileSync(cert);
      secureGet(
        { host: "127.0.0.1", port, path: "/v2/health/live", ca, servername: "localhost" },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      ).on("error", reject);
    });
    expect(status).toBe(200);
  });
});

describe("the end of a server", () => {
  it("is told to probes first, closes kept connections with an answer, and loses no request", async () => {
    const server = await serve(options({ drainMs: 300 }));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { port } = server.addresses.http!;
    const ask = (path: string) =>
      new Promise<{ status: number | undefined; connection: string | undefined }>(
        (resolve, reject) => {
          get({ host: "127.0.0.1", port, path, agent }, (answer) => {
            answer.resume();
            const { statusCode: status, headers } = answer;
            answer.on("end", () => resolve({ status, connection: headers.connection }));
          }).on("error", reject);
        },
      );
    expect(await ask("/v2/health/ready")).toEqual({ status: 200, connection: "keep-alive" });
    const answers: Promise<number>[] = [];
    const end = server.close();
    expect(await ask("/v2/health/ready")).toEqual({ status: 503, connection: "close" });
    expect((await ask("/v2/health/live")).status).toBe(200);
    for (let i = 0; i < 10; i++)
      answers.push(classify(urlOf(server, "/classify")).then(({ status }) => status));
    expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
    expect(server.close()).toBe(end);
    await end;
    await expect(ask("/v2/health/live")).rejects.toThrow("ECONNREFUSED");
    agent.destroy();
  });

  it("waits for requests under way, and ends those that take longer than shutdownMs", async () => {
    const server = await serve(options({ shutdownMs: 200 }));
    const { port } = server.addresses.http!;
    const slow = request({ host: "127.0.0.1", port, path: "/classify", method: "POST" });
    slow.on("error", () => {});
    slow.setHeader("Content-Length", 1000);
    slow.write("P6");
    await sleep(50);
    const start = performance.now();
    await server.close();
    expect(performance.now() - start).toBeLessThan(2000);
    slow.destroy();
  });
});

describe("a server of a team's own", () => {
  it("mounts the hono app", async () => {
    const { http: _, grpc: __, metrics: ___, ...rest } = options();
    await using mounted = await createApp(rest);
    const main = new Hono().route("/vision", mounted.app as unknown as Hono);
    const answer = await main.request("/vision/classify?top=2", {
      method: "POST",
      body: fileOf(1),
    });
    expect(await answer.json()).toHaveLength(2);
    await mounted.close();
    expect((await main.request("/vision/v2/health/ready")).status).toBe(503);
  });

  it("uses the handler, and keeps its own Request and Response", async () => {
    const before = [globalThis.Request, globalThis.Response];
    const { http: _, grpc: __, metrics: ___, ...rest } = options();
    await using mounted = await createHandler(rest);
    const server = createServer(mounted.handler).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const answer = await classify(`http://127.0.0.1:${port}/classify?top=3`);
    expect(await answer.json()).toHaveLength(3);
    expect([globalThis.Request, globalThis.Response]).toEqual(before);
    server.closeAllConnections();
    server.close();
  });
});

async function freePort(): Promise<{ port: number }> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return { port };
}

function hasOpenssl(): boolean {
  return ["/usr/bin/openssl", "/usr/local/bin/openssl"].some((path) => existsSync(path));
}
