// The end of the server while connections are open that have no request: it waits for requests only.
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ServeOptions, serve } from "../lib/index.ts";
import { fileOf, saveSmallModel } from "./support/small-model.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

let saved: Awaited<ReturnType<typeof saveSmallModel>>;
beforeAll(async () => {
  saved = await saveSmallModel();
});
afterAll(() => saved?.remove());

const silent = { info: () => {}, warn: () => {}, error: () => {} };
/** Requests that are under way may take longer than the test. */
const options = (more: Partial<ServeOptions> = {}): ServeOptions => ({
  models: { small: { weights: saved.weights, devices: ["cpu"], warmup: false } },
  http: { port: 0 },
  grpc: { port: 0 },
  metrics: { port: 0 },
  logger: silent,
  drainMs: 0,
  shutdownMs: 3_600_000,
  ...more,
});

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Opens a connection and sends a text. */
async function open(port: number, text = ""): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  sockets.push(socket);
  socket.on("error", () => {}).resume();
  await once(socket, "connect");
  if (text !== "") socket.write(text, "latin1");
  return socket;
}

/** What clients may have sent before they stopped. The last one is the begin of a TLS handshake. */
const beginnings = ["", "POST /classify HTT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01"];

describe("the end of the server", () => {
  it("does not wait for connections without a request", async () => {
    const server = await serve(options());
    const { http, grpc, metrics } = server.addresses;
    for (const { port } of [http!, grpc!, metrics!])
      for (const text of beginnings) await open(port, text);
    await server.close();
  });

  it.skipIf(!hasOpenssl)("does not wait for TLS handshakes that stopped", async () => {
    const [key, cert] = ["key", "cert"].map((name) => join(saved.folder, `${name}.pem`));
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const args = ["req", "-x509", ...kind, "-subj", "/CN=localhost", "-days", "2"];
    execFileSync("openssl", [...args, "-keyout", key!, "-out", cert!], { stdio: "ignore" });
    const tls = { key: key!, cert: cert! };
    const server = await serve(options({ http: { port: 0, tls }, grpc: { port: 0, tls } }));
    const { http, grpc } = server.addresses;
    for (const { port } of [http!, grpc!]) for (const text of beginnings) await open(port, text);
    await server.close();
  });

  it("waits for a request whose body still comes, and then for nothing", async () => {
    const server = await serve(options());
    const { port } = server.addresses.http!;
    const body = Buffer.from(fileOf(1));
    const head = `POST /classify?top=1 HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`;
    const socket = await open(port, head);
    socket.write(body.subarray(0, 100));
    let received = "";
    socket.setEncoding("latin1").on("data", (text: string) => {
      received += text;
    });
    // The server has read the begin of the body.
    await sleep(200);
    const closed = server.close();
    const idle = await open(server.addresses.metrics!.port).catch(() => undefined);
    await sleep(1500);
    expect(received).toBe("");
    socket.write(body.subarray(100));
    await once(socket, "end");
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
    expect(received).toMatch(/^connection: close\r$/im);
    expect(received).toContain('"label"');
    await closed;
    idle?.destroy();
  });
});
