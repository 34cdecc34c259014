// The HTTP/2 server of gRPC: windows for networks with latency, limits, and an orderly end.
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { promisify } from "node:util";
import { deflate, inflate } from "node:zlib";
import { Code, ConnectError, createConnectRouter } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { Connections } from "../connections.js";
import type { Engine } from "../engine/types.js";
import { ByteBudget, type Gate } from "./call.js";
import { GRPCInferenceService } from "./gen/grpc_service_pb.js";
import { Health } from "./gen/health_pb.js";
import { createHandler } from "./handler.js";
import { healthService } from "./health.js";
import { inferenceService, type ServerMetadata } from "./service.js";

/** What gRPC's side of the server is told. */
export interface GrpcSettings {
  readonly metadata: ServerMetadata;
  /** Decides who may call; `Access` is one. */
  readonly gate: Gate;
  /** Certificate and key in PEM; `ca` asks clients for certificates. Absent: HTTP/2 without TLS. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string } | undefined;
  /** Bytes of one message, before and after decompression. */
  readonly maxMessageBytes: number;
  /** Bytes of all messages that are under way. */
  readonly maxBytesUnderWay: number;
  readonly maxConnections: number;
  /** A unary call's message must be here after this time. */
  readonly bodyTimeoutMs: number;
  /** Is told of errors that are defects of the server. */
  readonly onDefect: (error: unknown) => void;
}

/** With Node's default of 64 KiB an upload waits one round trip for each 64 KiB. */
const streamWindowBytes = 4 << 20;
const connectionWindowBytes = 32 << 20;

/** Calls of one connection at the same time; further ones wait at the client. */
const maxStreams = 256;

/** A connection that has not begun HTTP/2 after this time is closed. */
const prefaceMs = 10_000;

/** A connection without calls for this time is closed, so that addresses of old replicas go away. */
const idleMs = 300_000;

/**
 * A server of gRPC. It does not listen yet.
 * @example
 * const server = new GrpcServer(engine, settings);
 * const { port } = await server.listen(8001, "127.0.0.1");
 * await server.close(30_000);
 */
export class GrpcServer {
  readonly #server: Http2Server | Http2SecureServer;
  readonly #connections: Connections;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #draining = new AbortController();

  constructor(engine: Engine, settings: GrpcSettings) {
    const options = {
      settings: { initialWindowSize: streamWindowBytes, maxConcurrentStreams: maxStreams },
      // Megabytes. Answers that wait for a slow client count too.
      maxSessionMemory: 256,
    };
    const { tls } = settings;
    this.#server =
      tls === undefined
        ? createServer(options)
        : createSecureServer({
            ...options,
            ...tls,
            ...(tls.ca !== undefined && { requestCert: true, rejectUnauthorized: true }),
          });
    const router = createConnectRouter({
      grpc: true,
      grpcWeb: false,
      connect: false,
      readMaxBytes: settings.maxMessageBytes,
      acceptCompression: [compressionGzip, compressionDeflate],
      // Every client of gRPC's C core accepts gzip. Packing each answer would cost more than its bytes.
      compressMinBytes: Number.MAX_SAFE_INTEGER,
    });
    const { signal } = this.#draining;
    router.service(GRPCInferenceService, inferenceService(engine, settings.metadata, signal));
    router.service(Health, healthService(engine, signal));
    const budget = new ByteBudget(settings.maxBytesUnderWay);
    const { gate, bodyTimeoutMs, onDefect } = settings;
    this.#server.on("request", createHandler(router, { gate, budget, bodyTimeoutMs, onDefect }));
    this.#server.maxConnections = settings.maxConnections;
    // A peer that vanished without a word is noticed.
    const keepAlive = (socket: Socket) => socket.setKeepAlive(true, 30_000);
    this.#connections = new Connections(this.#server, keepAlive);
    this.#watchConnections();
  }

  /** @throws the system's error if the port cannot be had */
  listen(port: number, host: string): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        // An error of a later connection does not end the server.
        this.#server.on("error", () => {});
        resolve(this.#server.address() as AddressInfo);
      });
    });
  }

  /** Refuses new connections and calls, lets calls under way end, and after `graceMs` ends them. */
  async close(graceMs: number): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#draining.abort();
    for (const session of this.#sessions) session.close();
    await this.#connections.end(closed, graceMs);
  }

  #watchConnections(): void {
    const server = this.#server;
    server.on("session", (session: ServerHttp2Session) => this.#watchSession(session));
    for (const event of ["sessionError", "tlsClientError"]) server.on(event, () => {});
  }

  #watchSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once("close", () => this.#sessions.delete(session));
    session.on("error", () => {});
    session.setLocalWindowSize(connectionWindowBytes);
    let streams = 0;
    session.on("stream", (stream) => {
      streams += 1;
      const end = this.#connections.begin(session.socket);
      stream.once("close", () => {
        streams -= 1;
        end();
      });
    });
    session.setTimeout(prefaceMs, () => {
      if (streams === 0) session.close();
    });
    session.once("remoteSettings", () => session.setTimeout(idleMs));
    // A client whose connection was made just before the end is told of it, too.
    if (this.#draining.signal.aborted) session.close();
  }
}

/** gRPC's "deflate" is zlib's format. Answers are not packed. */
const compressionDeflate: Compression = {
  name: "deflate",
  compress: promisify(deflate) as Compression["compress"],
  async decompress(bytes, readMaxBytes) {
    if (bytes.length === 0) return new Uint8Array(0);
    try {
      return await inflateWithin(bytes, { maxOutputLength: readMaxBytes });
    } catch (error) {
      const isTooLarge = (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
      throw isTooLarge
        ? new ConnectError(`message is larger than ${readMaxBytes} bytes`, Code.ResourceExhausted)
        : new ConnectError("decompression failed", Code.InvalidArgument);
    }
  },
};

const inflateWithin = promisify<Uint8Array, { maxOutputLength: number }, Buffer<ArrayBuffer>>(
  inflate as never,
);
