// A server under faults, in a process of its own: memory of refused requests, slow clients, connections, file descriptors, kill -9.
import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileOf, saveSmallModel } from "../support/small-model.ts";
import { open, startProcess, talk } from "./server-process.ts";

let saved: Awaited<ReturnType<typeof saveSmallModel>>;
beforeAll(async () => {
  saved = await saveSmallModel();
});
afterAll(() => saved?.remove());

const live = "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n";
const classify = (port: number) =>
  fetch(`http://127.0.0.1:${port}/classify?top=1`, {
    method: "POST",
    body: fileOf(1),
    headers: { Connection: "close" },
  });

/** Sends a body over the limit, with its length or in chunks, on a connection of its own. @returns the status */
function sendTooMuch(port: number, body: Buffer, isChunked: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = isChunked ? {} : { "Content-Length": body.length };
    const options = { port, path: "/classify", method: "POST", headers, agent: false };
    const outgoing = request(options, (incoming) => {
      incoming.resume().on("end", () => resolve(incoming.statusCode!));
      incoming.on("error", reject);
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      // The server ends the connection while the client still sends.
      if (error.code !== "EPIPE" && error.code !== "ECONNRESET") reject(error);
    });
    outgoing.end(body);
  });
}

it("does not grow with requests over the limit", async () => {
  const bodyBytes = 2 ** 20;
  const server = await startProcess(saved.weights, { limits: { bodyBytes } });
  const body = Buffer.alloc(bodyBytes + 1);
  const sendAll = async () => {
    for (let i = 0; i < 100; i++)
      expect(await sendTooMuch(server.http, body, i % 2 === 1)).toBe(413);
    return (await server.measure()).rssMB;
  };
  await sendAll();
  // What stays of each request would show in every hundred; the collector's pages come and go.
  let before = await sendAll();
  const growth: number[] = [];
  for (let turn = 0; turn < 6 && !growth.some((mb) => mb < 1); turn++) {
    const after = await sendAll();
    growth.push(after - before);
    before = after;
  }
  expect(Math.min(...growth)).toBeLessThan(1);
});

it("ends slow clients after their time, even one that is shorter than that of headers", async () => {
  const { http } = await startProcess(saved.weights, { limits: { bodyMs: 1000 } });
  const head = "POST /classify HTTP/1.1\r\nHost: x\r\n";
  const slow = await Promise.all(
    ["P", head, `${head}Content-Length: 1000\r\n\r\nP6`].map(async (text) =>
      talk(await open(http), text),
    ),
  );
  for (const answer of slow) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  expect((await classify(http)).status).toBe(200);
});

it("ends a half-closed connection, and goes on", async () => {
  const { http, measure } = await startProcess(saved.weights);
  const sockets = await Promise.all(Array.from({ length: 50 }, () => open(http)));
  const closed = sockets.map((socket) => once(socket.resume(), "close"));
  for (const [i, socket] of sockets.entries()) {
    if (i % 3 === 0) socket.end();
    else if (i % 3 === 1) socket.end("POST /classify HTTP/1.1\r\nHost: x\r\nContent-Le");
    else socket.end("POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nP6");
  }
  await Promise.all(closed);
  expect((await classify(http)).status).toBe(200);
  expect((await measure()).handles).toBeLessThan(20);
});

describe("connections", () => {
  it.each(["http", "grpc"] as const)("over %s are 1,024, and one more is refused", async (name) => {
    const server = await startProcess(saved.weights);
    const sockets = await Promise.all(Array.from({ length: 1024 }, () => open(server[name])));
    // The server has accepted all of them once the last one is answered.
    if (name === "http")
      for (const socket of [sockets[0]!, sockets.at(-1)!])
        expect(await talk(socket, live)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await talk(await open(server[name]), live)).toBe("");
    const other = name === "http" ? server.grpc : server.http;
    const another = await open(other);
    expect(another.readyState).toBe("open");
    for (const socket of sockets.slice(0, 10)) socket.destroy();
    if (name === "http")
      await expect
        .poll(() => classify(server.http).then(({ status }) => status, String), { timeout: 30_000 })
        .toBe(200);
  });
});

it.skipIf(process.platform === "win32")(
  "lives through a lack of file descriptors and serves again",
  async () => {
    const server = await startProcess(saved.weights, {}, 200);
    const sockets = await Promise.all(Array.from({ length: 400 }, () => open(server.http)));
    const isOpen = () => sockets.filter(({ closed, destroyed }) => !closed && !destroyed).length;
    for (const socket of sockets) socket.resume();
    // Those that it cannot have are closed, not left to wait.
    await expect.poll(isOpen, { timeout: 30_000 }).toBeLessThan(200);
    expect(isOpen()).toBeGreaterThan(0);
    expect(server.child.exitCode).toBeNull();
    for (const socket of sockets) socket.destroy();
    await expect
      .poll(() => classify(server.http).then(({ status }) => status, String), { timeout: 30_000 })
      .toBe(200);
  },
);

it("that is killed under load leaves no client waiting, and a new one takes its port", async () => {
  const first = await startProcess(saved.weights);
  const statuses: number[] = [];
  const callers = Array.from({ length: 8 }, async () => {
    for (;;) {
      const answer = await classify(first.http).catch(() => undefined);
      if (answer === undefined) return;
      statuses.push(answer.status);
      await answer.arrayBuffer().catch(() => {});
    }
  });
  while (statuses.length < 20) await sleep(5);
  const ended = once(first.child, "exit");
  first.child.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);
  await Promise.all(callers);
  expect(new Set(statuses)).toEqual(new Set([200]));
  const again = await startProcess(saved.weights, { http: { port: first.http } });
  expect(again.http).toBe(first.http);
  expect((await classify(again.http)).status).toBe(200);
});
