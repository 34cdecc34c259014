// A server of the REST app for tests, over real sockets, and a client that sees headers, bytes and connections.
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  request,
} from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { Access, type AccessSettings } from "../../lib/access/access.ts";
import type { Engine } from "../../lib/engine/types.ts";
import { httpApp } from "../../lib/http/app.ts";
import { onCheckContinue } from "../../lib/http/body/expect.ts";
import type { HttpLimits } from "../../lib/http/context.ts";
import { listenerOf } from "../../lib/http/listener.ts";
import { type FakeState, fakeEngine } from "./fake-engine.ts";

const usual: HttpLimits = {
  bodyBytes: 64 * 2 ** 20,
  heldBytes: 256 * 2 ** 20,
  jsonTensorBytes: 8 * 2 ** 20,
  imagesPerRequest: 256,
};

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Whether the connection had carried a request before. */
  readonly reused: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any form.
  json(): any;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  readonly agent?: Agent;
}

export interface TestServer {
  readonly engine: Engine;
  readonly state: FakeState;
  readonly defects: unknown[];
  readonly port: number;
  call(path: string, options?: CallOptions): Promise<Answer>;
  /** Opens a socket, and closes it when the test ends. */
  open(): Promise<Socket>;
}

/**
 * Starts a server.
 * @param before is done with each request before the app
 * @param whenOver is given what ends the server. Default: it ends with the test
 */
export async function startServer(
  limits: Partial<HttpLimits> = {},
  access: AccessSettings = {},
  before?: (incoming: IncomingMessage) => Promise<unknown>,
  whenOver: (end: () => void) => void = onTestFinished,
): Promise<TestServer> {
  const { engine, state } = fakeEngine();
  const defects: unknown[] = [];
  const app = httpApp({
    engine,
    access: new Access(access),
    limits: { ...usual, ...limits },
    server: { name: "vgg-cudnn-serve", version: "0.0.0" },
    onDefect: (error) => defects.push(error),
  });
  const handle = listenerOf(app, true);
  const listener: RequestListener = async (incoming, outgoing) => {
    await before?.(incoming);
    await handle(incoming, outgoing);
  };
  const server = createServer(listener);
  server.on("checkContinue", onCheckContinue(listener));
  const agent = new Agent({ keepAlive: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const sockets = new Set<Socket>();
  whenOver(() => {
    agent.destroy();
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  return {
    engine,
    state,
    defects,
    port,
    call: (path, options) => send(port, path, { agent, ...options }),
    open: async () => {
      const socket = connect(port, "127.0.0.1");
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("connect", resolve));
      return socket;
    },
  };
}

function send(port: number, path: string, options: CallOptions): Promise<Answer> {
  const { body, method = body === undefined ? "GET" : "POST", headers = {}, agent } = options;
  const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: "127.0.0.1", port, path, method, headers: { ...length, ...headers }, agent },
      async (incoming) => {
        const chunks: Buffer[] = [];
        try {
          for await (const chunk of incoming) chunks.push(chunk);
        } catch (error) {
          return reject(error);
        }
        const bytes = Buffer.concat(chunks);
        resolve({
          status: incoming.statusCode!,
          headers: incoming.headers,
          body: bytes,
          reused: outgoing.reusedSocket,
          json: () => JSON.parse(bytes.toString()),
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Reads what a socket receives until a text has come, or the other side ends. */
export async function receive(socket: Socket, until?: string): Promise<string> {
  let text = "";
  return new Promise((resolve) => {
    const end = () => {
      socket.off("data", read);
      socket.off("close", end);
      resolve(text);
    };
    const read = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (until !== undefined && text.includes(until)) end();
    };
    socket.on("data", read);
    socket.once("close", end);
  });
}
