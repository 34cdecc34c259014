// Frames that no client library sends: each ends in a status, none crashes the server or hangs.
import { connect as connectSocket } from "node:net";
import { deflateSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { ServeError } from "../../lib/errors.ts";
import type { GrpcSettings } from "../../lib/grpc/server.ts";
import { fakeEngine, never } from "./engine.ts";
import { envelope, FrameClient, goodMessage } from "./frames.ts";
import { type Running, start } from "./servers.ts";

const clients: FrameClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function running(
  changes: Partial<GrpcSettings> = {},
  engine = fakeEngine(),
): Promise<Running & { client: FrameClient }> {
  const server = await start(engine, changes);
  const client = new FrameClient(server.port);
  clients.push(client);
  return { ...server, client };
}

const good = () => envelope(goodMessage());

describe("a body", () => {
  const zeros = gzipSync(Buffer.alloc(65 << 20));
  it.each([
    ["is empty", Buffer.alloc(0), {}, 12],
    ["ends in its prefix", Buffer.of(0, 0, 0), {}, 3],
    ["ends in its message", envelope(Buffer.alloc(10), 0, 100), {}, 3],
    ["claims 4 GiB", envelope(Buffer.alloc(10), 0, 2 ** 32 - 1), {}, 8],
    ["is no protobuf", envelope(Buffer.alloc(100, 0xff)), {}, 3],
    ["has two messages", Buffer.concat([good(), good()]), {}, 12],
    ["is flagged as packed without an encoding", envelope(goodMessage(), 1), {}, 3],
    ["is flagged as packed and is not", envelope(goodMessage(), 1), { "grpc-encoding": "gzip" }, 3],
    ["is too large when unpacked", envelope(zeros, 1), { "grpc-encoding": "gzip" }, 8],
    [
      "is too large when inflated",
      envelope(deflateSync(Buffer.alloc(65 << 20)), 1),
      { "grpc-encoding": "deflate" },
      8,
    ],
    ["has an unknown encoding", good(), { "grpc-encoding": "zstd" }, 12],
    ["has an invalid timeout", good(), { "grpc-timeout": "soon" }, 3],
    ["has a timeout of years", good(), { "grpc-timeout": "99999999H" }, 0],
    ["has a timeout of nothing", good(), { "grpc-timeout": "0n" }, 4],
    ["is packed by gzip", envelope(gzipSync(goodMessage()), 1), { "grpc-encoding": "gzip" }, 0],
    [
      "is packed by zlib",
      envelope(deflateSync(goodMessage()), 1),
      { "grpc-encoding": "deflate" },
      0,
    ],
    ["is plain", good(), {}, 0],
  ])("that %s ends in a status", async (_, body, headers, status) => {
    const { client, defects } = await running();
    const answer = await client.send(body, { headers });
    expect(answer).toMatchObject({ http: 200, status });
    expect((await client.send(good())).status).toBe(0);
    expect(defects).toEqual([]);
  });

  it("that claims 4 GiB is refused before it comes", async () => {
    const { client } = await running();
    const claim = envelope(Buffer.alloc(10), 0, 2 ** 32 - 1);
    expect(await client.send(claim, { end: false })).toMatchObject({ status: 8 });
  });

  it("that stays away is refused after its time", async () => {
    const { client } = await running({ bodyTimeoutMs: 100 });
    expect(await client.send(Buffer.of(0, 0), { end: false })).toMatchObject({
      status: 4,
      message: "Expected the whole message within 0.1 s",
    });
    expect((await client.send(good())).status).toBe(0);
  });

  it("that is refused uses up neither the connection's window nor memory", async () => {
    const { client } = await running({ maxMessageBytes: 1 << 20 });
    const large = envelope(Buffer.alloc(2 << 20));
    const refuse = async (count: number) => {
      for (let round = 0; round < count; round += 1)
        expect((await client.send(large)).status).toBe(8);
      // The last streams end in the next turns of the event loop.
      await new Promise((resolve) => setTimeout(resolve, 50));
      globalThis.gc?.();
      return process.memoryUsage().external / 2 ** 20;
    };
    const before = await refuse(20);
    expect((await refuse(100)) - before).toBeLessThan(30);
    expect((await client.send(good())).status).toBe(0);
  });

  it("counts for the bytes under way until its answer", async () => {
    const engine = fakeEngine();
    engine.answer = never;
    const { client } = await running({ maxBytesUnderWay: 3000 }, engine);
    const large = envelope(
      Buffer.concat([goodMessage(), Buffer.of(0xfa, 7, 0xb0, 9), Buffer.alloc(1200)]),
    );
    const held = [1, 2].map(() => client.send(large, { headers: { "grpc-timeout": "300m" } }));
    await expect.poll(() => engine.requests.length).toBe(2);
    const refused = await client.send(large);
    expect(refused).toMatchObject({ status: 14, headers: { "grpc-retry-pushback-ms": "1000" } });
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([4, 4]);
    engine.answer = fakeEngine().answer;
    expect((await client.send(large)).status).toBe(0);
  });
});

describe("answers", () => {
  it("that a client does not read count for the bytes under way", async () => {
    const engine = fakeEngine();
    const data = new Float32Array(1 << 20);
    engine.answer = async () => ({
      model: "vgg11",
      version: "1",
      outputs: [{ name: "features", datatype: "FP32", shape: [1, 1 << 20], data }],
    });
    const { client, port } = await running({ maxBytesUnderWay: 20 << 20 }, engine);
    const slow = new FrameClient(port);
    clients.push(slow);
    for (let call = 0; call < 10; call += 1) void slow.send(good(), { isRead: false });
    await expect.poll(() => engine.requests.length).toBe(10);
    await expect.poll(async () => (await client.send(good())).status).toBe(14);
    slow.close();
    await expect.poll(async () => (await client.send(good())).status).toBe(0);
  });

  it("of a stream count until the client has taken them", async () => {
    const engine = fakeEngine();
    const data = new Float32Array(1 << 18);
    engine.answer = async () => ({
      model: "vgg11",
      version: "1",
      outputs: [{ name: "features", datatype: "FP32", shape: [1, 1 << 18], data }],
    });
    const { client } = await running({ maxBytesUnderWay: 80 << 20 }, engine);
    const path = "/inference.GRPCInferenceService/ModelStreamInfer";
    const many = Buffer.concat(Array.from({ length: 200 }, good));
    expect((await client.send(many, { path })).status).toBe(0);
    expect(engine.requests).toHaveLength(200);
    expect((await client.send(many, { path })).status).toBe(0);
  });
});

describe("headers", () => {
  it.each([
    ["an unknown call", { path: "/inference.GRPCInferenceService/Nope" }, 200, 12],
    ["an unknown service", { path: "/x" }, 200, 12],
    ["another method", { headers: { ":method": "GET" }, end: true }, 405, null],
    ["another content type", { headers: { "content-type": "text/plain" } }, 415, null],
    ["an authority that is no address", { headers: { ":authority": "[" } }, 200, 3],
  ])("with %s are refused", async (_, options, http, status) => {
    const { client, defects } = await running();
    const body = "end" in options ? Buffer.alloc(0) : good();
    expect(await client.send(body, options)).toMatchObject({ http, status });
    expect((await client.send(good())).status).toBe(0);
    expect(defects).toEqual([]);
  });

  it("without a token are refused before the message comes", async () => {
    const gate = {
      admit: (group: string, authorization: string | null | undefined) => {
        if (group === "inference" && authorization !== "Bearer x")
          throw new ServeError("UNAUTHENTICATED", "Expected a token");
        return "x";
      },
    };
    const { client } = await running({ gate });
    const huge = envelope(Buffer.alloc(10), 0, 60 << 20);
    expect(await client.send(huge, { end: false })).toMatchObject({
      status: 16,
      message: "Expected a token",
    });
    expect((await client.send(good(), { headers: { authorization: "Bearer x" } })).status).toBe(0);
  });
});

describe("a connection", () => {
  /** Sends bytes on a socket. Resolves when the server has closed it. */
  const closedAfter = (port: number, bytes: string | Uint8Array) =>
    new Promise<void>((resolve) => {
      const socket = connectSocket(port, "127.0.0.1", () => socket.write(bytes));
      socket.on("error", () => {});
      socket.on("close", () => resolve());
      socket.resume();
    });

  it.each([
    ["HTTP/1.1", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["random bytes", Buffer.from(Array.from({ length: 500 }, (_, i) => (i * 7919) % 256))],
    ["a preface and then no frames", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"x".repeat(100)}`],
  ])("that sends %s is closed", async (_, bytes) => {
    const { port, client } = await running();
    await closedAfter(port, bytes);
    expect((await client.send(good())).status).toBe(0);
  });

  it("has windows for networks with latency", async () => {
    const { client } = await running();
    await client.send(good());
    expect(client.session.remoteSettings.initialWindowSize).toBe(4 << 20);
    expect(client.session.state.remoteWindowSize).toBeGreaterThan((32 << 20) - 1000);
  });

  it("that ends in the middle of an upload frees the call", async () => {
    const engine = fakeEngine();
    const { client, port } = await running({ maxBytesUnderWay: 4 << 20 }, engine);
    for (let round = 0; round < 10; round += 1) {
      const other = new FrameClient(port);
      const sent = other.send(envelope(Buffer.alloc(1 << 20), 0, 2 << 20), { end: false });
      await new Promise((resolve) => setTimeout(resolve, 20));
      other.close();
      await sent;
    }
    expect((await client.send(good())).status).toBe(0);
  });

  it("that ends during a call aborts it", async () => {
    const engine = fakeEngine();
    engine.answer = never;
    const { client } = await running({}, engine);
    const sent = client.send(good());
    await expect.poll(() => engine.requests.length).toBe(1);
    client.close();
    await sent;
    await expect.poll(() => engine.requests[0]?.signal.aborted).toBe(true);
  });

  it("beyond the limit is closed, and others go on", async () => {
    const { client, port } = await running({ maxConnections: 2 });
    expect((await client.send(good())).status).toBe(0);
    const second = new FrameClient(port);
    clients.push(second);
    expect((await second.send(good())).status).toBe(0);
    await closedAfter(port, "");
    expect((await client.send(good())).status).toBe(0);
  });
});

describe("the end of the server", () => {
  it("lets a call end, refuses new ones and closes connections", async () => {
    const engine = fakeEngine();
    const { answer } = engine;
    let release = () => {};
    engine.answer = async (request) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return answer(request);
    };
    const { client, server } = await running({}, engine);
    const sent = client.send(good());
    await expect.poll(() => engine.requests.length).toBe(1);
    const closed = server.close(10_000);
    await expect.poll(() => client.session.closed).toBe(true);
    release();
    expect((await sent).status).toBe(0);
    await closed;
  });

  it("ends calls that take longer than its grace", async () => {
    const engine = fakeEngine();
    engine.answer = never;
    const { client, server } = await running({}, engine);
    const sent = client.send(good());
    await expect.poll(() => engine.requests.length).toBe(1);
    await server.close(50);
    expect((await sent).status).toBeNull();
  });

  it("ends a stream that is open without requests", async () => {
    const { client, server } = await running();
    const sent = client.send(Buffer.alloc(0), {
      path: "/inference.GRPCInferenceService/ModelStreamInfer",
      end: false,
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close(10_000);
    expect((await sent).status).toBe(0);
  });
});

describe("mutated requests", () => {
  it("end in a status other than a defect, 4,000 times", async () => {
    const { client, defects } = await running({ bodyTimeoutMs: 2000 });
    let seed = 1;
    const random = (limit: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % limit;
    };
    const mutated = () => {
      const bytes = Buffer.from(good());
      for (let change = random(4); change >= 0; change -= 1)
        bytes[random(bytes.length)] = random(256);
      return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
    };
    const counts = new Map<number | null, number>();
    for (let round = 0; round < 80; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () =>
          client.send(mutated(), {
            headers: random(5) === 0 ? { "grpc-encoding": "gzip" } : {},
          }),
        ),
      );
      for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1);
    }
    expect(defects).toEqual([]);
    expect([...counts.keys()].sort()).toEqual([0, 12, 3, 5, 8]);
    expect((await client.send(good())).status).toBe(0);
  });
});
