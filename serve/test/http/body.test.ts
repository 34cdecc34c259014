// Bodies: limits before and during the upload, encodings, memory, connections, and clients that leave.
import { once } from "node:events";
import { Agent } from "node:http";
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { receive, startServer } from "./server.ts";

const path = "/v2/models/vgg11/infer";
const raw = { "Content-Type": "image/jpeg" };
const head = (...lines: string[]) =>
  [`POST ${path} HTTP/1.1`, "Host: x", ...lines, "", ""].join("\r\n");
const until = async (isDone: () => boolean) => {
  while (!isDone()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("a limit", () => {
  it("refuses before the upload a client that asks (Expect: 100-continue)", async () => {
    const { open } = await startServer({ bodyBytes: 1000 });
    const socket = await open();
    socket.write(head("Content-Type: image/png", "Content-Length: 1001", "Expect: 100-continue"));
    const text = await receive(socket);
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    expect(text).toContain("Connection: close");
    expect(text).toContain("at most 1000 bytes; send fewer images in one request");
  });

  it("lets a client that asks go on, only when the body is read", async () => {
    const { open, state } = await startServer({ bodyBytes: 1000 });
    const socket = await open();
    socket.write(head("Content-Type: image/png", "Content-Length: 4", "Expect: 100-continue"));
    expect(await receive(socket, "\r\n\r\n")).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    socket.write("abcd");
    expect(await receive(socket, "}]}")).toMatch(/^HTTP\/1\.1 200 /);
    expect(state.requests.length).toBe(1);
    for (const target of ["/nope", "/v2/models/nope/infer"]) {
      const other = await open();
      const lines = head("Content-Length: 4", "Expect: 100-continue").replace(path, target);
      other.write(lines);
      expect(await receive(other)).toMatch(/^HTTP\/1\.1 404 /);
    }
  });

  it("refuses a length at once, and the answer arrives though the client goes on", async () => {
    const { open } = await startServer({ bodyBytes: 1000 });
    const socket = await open();
    socket.write(head("Content-Type: image/png", `Content-Length: ${2 ** 24}`));
    const answer = receive(socket);
    const chunk = Buffer.alloc(2 ** 16);
    for (let sent = 0; sent < 2 ** 24; sent += chunk.length)
      if (!socket.write(chunk)) await once(socket, "drain");
    expect(await answer).toMatch(/^HTTP\/1\.1 413 .*connection: close.*"error"/is);
  });

  it("gives the whole answer to a client that sends nothing more, and then ends", async () => {
    const { open } = await startServer({ bodyBytes: 1000 });
    const socket = await open();
    const start = performance.now();
    socket.write(`${head("Content-Type: image/png", `Content-Length: ${2 ** 24}`)}abc`);
    const answer = await receive(socket, '"}');
    expect(performance.now() - start).toBeLessThan(500);
    expect(Number(/content-length: (\d+)/i.exec(answer)![1])).toBe(
      answer.split("\r\n\r\n")[1]!.length,
    );
    await once(socket, "close");
    expect(performance.now() - start).toBeLessThan(3000);
  });

  it("stops a body without a length", async () => {
    const { open } = await startServer({ bodyBytes: 100_000 });
    const socket = await open();
    socket.write(head("Content-Type: image/png", "Transfer-Encoding: chunked"));
    const answer = receive(socket, '"}');
    const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
    for (let sent = 0; sent < 20; sent++) socket.write(chunk);
    expect(await answer).toMatch(/^HTTP\/1\.1 413 /);
    socket.end("0\r\n\r\n");
    await once(socket, "close");
  });

  it("does not end an upload that fits, in any pieces", async () => {
    const { open, state } = await startServer({ bodyBytes: 300_000 });
    for (const lines of [["Content-Length: 300000"], ["Transfer-Encoding: chunked"]]) {
      const socket = await open();
      socket.write(head("Content-Type: image/png", ...lines));
      const isChunked = lines[0] !== "Content-Length: 300000";
      for (let sent = 0; sent < 300_000; sent += 1000) {
        const piece = String.fromCharCode(97 + ((sent / 1000) % 26)).repeat(1000);
        socket.write(isChunked ? `3e8\r\n${piece}\r\n` : piece);
        if (sent % 50_000 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      if (isChunked) socket.write("0\r\n\r\n");
      expect(await receive(socket, "}]}")).toMatch(/^HTTP\/1\.1 200 /);
      const request = state.requests.at(-1)!;
      const [data] = ("inputs" in request ? request.inputs[0]!.data : []) as Uint8Array[];
      expect(data!.length).toBe(300_000);
      expect(data![299_999]).toBe(97 + (299 % 26));
    }
  });

  it("is smaller for JSON, and the refusal says what to do", async () => {
    const { call } = await startServer({ jsonTensorBytes: 1000 });
    const body = `{"inputs": [], "x": "${"x".repeat(1000)}"}`;
    const refused = await call(path, { body });
    expect([refused.status, refused.json().error]).toEqual([
      413,
      "Expected a body of at most 1000 bytes of JSON; send tensors as binary data (Inference-Header-Content-Length), or images as BYTES",
    ]);
    const headers = { "Inference-Header-Content-Length": String(body.length) };
    expect(await call(path, { body, headers })).toMatchObject({ status: 413 });
    expect(await call(path, { body, headers: raw })).toMatchObject({ status: 200 });
  });

  it("bounds an answer of JSON", async () => {
    const { call, engine } = await startServer({ jsonTensorBytes: 1000 });
    const data = new Float32Array(126);
    engine.infer = async () => ({
      model: "vgg11",
      version: "1",
      outputs: [{ name: "logits", datatype: "FP32", shape: [126], data }],
    });
    const image = { name: "image", datatype: "BYTES", shape: [1], data: ["a"] };
    const answer = await call(path, { body: JSON.stringify({ inputs: [image] }) });
    expect([answer.status, answer.json().error]).toEqual([
      413,
      "Expected at most 125 numbers in an answer of JSON but it has 126; set binary_data_output",
    ]);
    const wanted = { inputs: [image], parameters: { binary_data_output: true } };
    expect(await call(path, { body: JSON.stringify(wanted) })).toMatchObject({ status: 200 });
  });
});

describe("an encoding", () => {
  it("that is unknown gets 415 and the known ones", async () => {
    const { call } = await startServer();
    for (const encoding of ["br", "zstd", "gzip, gzip", "__proto__", "constructor"]) {
      const headers = { ...raw, "Content-Encoding": encoding };
      const answer = await call(path, { body: "abc", headers });
      expect([answer.status, answer.headers["accept-encoding"]]).toEqual([415, "gzip, deflate"]);
    }
  });

  it("is what it says, whole", async () => {
    const { call } = await startServer();
    const packed = gzipSync("an image");
    const bodies = [Buffer.from("abc"), packed.subarray(0, -4), deflateRawSync("an image")];
    for (const body of bodies) {
      const headers = { ...raw, "Content-Encoding": "GZIP" };
      const answer = await call(path, { body, headers });
      expect([answer.status, answer.json().error]).toEqual([
        400,
        'Expected a body in "GZIP" but it cannot be unpacked',
      ]);
    }
    const headers = { ...raw, "Content-Encoding": "x-gzip" };
    expect(await call(path, { body: packed, headers })).toMatchObject({ status: 200 });
  });

  it("unpacks no more than the limit", async () => {
    const { call } = await startServer({ bodyBytes: 2 ** 20 });
    const bomb = gzipSync(Buffer.alloc(2 ** 28), { level: 9 });
    expect(bomb.length).toBeLessThan(2 ** 20);
    const headers = { ...raw, "Content-Encoding": "gzip" };
    const before = process.memoryUsage.rss();
    expect(await call(path, { body: bomb, headers })).toMatchObject({ status: 413 });
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
    const fitting = gzipSync(Buffer.alloc(2 ** 20));
    expect(await call(path, { body: fitting, headers })).toMatchObject({ status: 200 });
  });
});

describe("the connection", () => {
  it("is kept after a small body that was refused unread", async () => {
    const { call } = await startServer();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (const target of [path.replace("vgg11", "nope"), "/nope", "/v2"])
      await call(target, { body: "x".repeat(1000), agent });
    expect(await call("/v2", { agent })).toMatchObject({ status: 200, reused: true });
    agent.destroy();
  });

  it("is kept after each wrong request that was read", async () => {
    const { call } = await startServer();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (const body of ["{", "[]", '{"inputs": 1}', '{"inputs": []}'])
      expect(await call(path, { body, agent })).toMatchObject({ status: 400 });
    expect(await call("/v2", { agent })).toMatchObject({ reused: true });
    agent.destroy();
  });
});

describe("a client that leaves", () => {
  it("ends its work, from the queue or before its body is complete", async () => {
    const { open, state, defects } = await startServer();
    let reason: unknown;
    state.wait = (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => {
          reason = signal.reason;
          reject(reason);
        }),
      );
    const waiting = await open();
    waiting.write(`${head("Content-Type: image/png", "Content-Length: 4")}abcd`);
    await until(() => state.requests.length === 1);
    waiting.destroy();
    await until(() => reason !== undefined);
    expect(reason).toMatchObject({ name: "ServeError", status: 499 });
    const halfSent = await open();
    halfSent.write(`${head("Content-Type: image/png", "Content-Length: 9")}abcd`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    halfSent.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(state.requests.length).toBe(1);
    expect(defects).toEqual([]);
  });
});

/** Bytes in use, once connections have ended and garbage is gone: at most `enough`, or the least of one second. */
async function leastMemory(enough: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let times = 0; times < 20 && least > enough; times++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    globalThis.gc!();
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    least = Math.min(least, arrayBuffers + heapUsed);
  }
  return least;
}

describe("memory", () => {
  it("of all bodies together is bounded, and given back", async () => {
    const { call, open, state } = await startServer({ bodyBytes: 1000, heldBytes: 2500 });
    let release = () => {};
    state.wait = () =>
      new Promise((resolve) => {
        const before = release;
        release = () => {
          before();
          resolve();
        };
      });
    const body = "x".repeat(1000);
    const running = [1, 2].map(() => call(path, { body, headers: raw }));
    await until(() => state.requests.length === 2);
    const refused = await call(path, { body, headers: raw });
    expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
    release();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
    const left = await open();
    left.write(`${head("Content-Type: image/png", "Content-Length: 1000")}${body.slice(1)}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
    left.destroy();
    state.wait = undefined;
    for (let i = 0; i < 10; i++)
      expect(await call(path, { body, headers: raw })).toMatchObject({ status: 200 });
  });

  it("of answers that are not read is bounded, and given back", async () => {
    const { call, open, engine } = await startServer({ heldBytes: 50 * 2 ** 20 });
    // More than the sockets' own buffers take.
    const data = new Float32Array(8 * 2 ** 20);
    engine.infer = async () => ({
      model: "vgg11",
      version: "1",
      outputs: [{ name: "logits", datatype: "FP32", shape: [data.length], data }],
    });
    const slow = await open();
    slow.pause();
    slow.write(`${head("Content-Type: image/png", "Content-Length: 4")}abcd`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await call(path, { body: "abcd", headers: raw })).toMatchObject({ status: 503 });
    slow.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const _ of [1, 2, 3])
      expect(await call(path, { body: "abcd", headers: raw })).toMatchObject({ status: 200 });
  });

  it("of bodies that are unpacked at the same time is bounded", async () => {
    const { call } = await startServer({ bodyBytes: 2 ** 24, heldBytes: 2 ** 25 });
    const body = gzipSync(Buffer.alloc(2 ** 24));
    const headers = { ...raw, "Content-Encoding": "gzip" };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => call(path, { body, headers })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
    expect(await call(path, { body, headers })).toMatchObject({ status: 200 });
  });

  it("does not grow with requests over the limit", async () => {
    const { call } = await startServer({ bodyBytes: 2 ** 20 });
    const body = Buffer.alloc(2 ** 20 + 1);
    const packed = gzipSync(Buffer.alloc(2 ** 24));
    const send = async () => {
      const answers = [
        await call(path, { body, headers: raw }),
        await call(path, { body: packed, headers: { ...raw, "Content-Encoding": "gzip" } }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([413, 413]);
    };
    for (let i = 0; i < 20; i++) await send();
    const before = await leastMemory(0);
    for (let i = 0; i < 100; i++) await send();
    // Bodies that stayed would be 100 MiB. The client of this test holds some bytes, too.
    const most = before + 2 ** 22;
    expect(await leastMemory(most)).toBeLessThan(most);
  });

  it("of a body in a million pieces is that of its bytes", async () => {
    const { open, state } = await startServer();
    const socket = await open();
    socket.write(head("Content-Type: image/png", "Transfer-Encoding: chunked"));
    globalThis.gc!();
    const before = process.memoryUsage().rss;
    const pieces = "1\r\nx\r\n".repeat(1000);
    for (let sent = 0; sent < 200; sent++) if (!socket.write(pieces)) await once(socket, "drain");
    const most = process.memoryUsage().rss - before;
    socket.write("0\r\n\r\n");
    expect(await receive(socket, "}]}")).toMatch(/^HTTP\/1\.1 200 /);
    expect(state.requests.length).toBe(1);
    expect(most).toBeLessThan(100 * 2 ** 20);
  });
});

it("does not hang on a body that another handler has read", async () => {
  const { call, defects } = await startServer({}, {}, (incoming) => once(incoming.resume(), "end"));
  const answer = await call(path, { body: "abc", headers: raw });
  expect(answer.status).toBe(500);
  expect(answer.json().error).not.toContain("mount");
  expect(String((defects[0] as Error).cause)).toContain("mount vgg-cudnn-serve before");
});
