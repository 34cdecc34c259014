// A server of HTTP/1.1 on one port: limits for slow and idle connections, TLS, and an end that loses no request.
import {
  createServer,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Connections } from "./connections.js";
import { onCheckContinue } from "./http/body/expect.js";
import type { Listener } from "./settings/check.js";
import type { TlsTexts } from "./settings/tls.js";

/** How long headers may take. */
const headersMs = 10_000;

/** Longer than load balancers keep an idle connection, so that they, not the server, end it. */
const keepAliveMs = 72_000;

/** What a server of HTTP is told. */
export interface HttpServerSettings {
  readonly tls: TlsTexts | undefined;
  readonly maxConnections: number;
  /** A whole request must be here after this time. */
  readonly requestMs: number;
}

/**
 * Serves a listener. It does not listen yet.
 * @example
 * const server = new HttpServer(listener, settings);
 * const { port } = await server.listen({ host: "127.0.0.1", port: 8000 });
 */
export class HttpServer {
  readonly #server: Server;
  readonly #connections: Connections;
  /** What is not answered to its end. */
  readonly #responses = new Set<ServerResponse>();
  #isDraining = false;

  constructor(listener: RequestListener, { tls, maxConnections, requestMs }: HttpServerSettings) {
    const options: ServerOptions = {
      // Node refuses a time for headers above that of the whole request.
      headersTimeout: Math.min(headersMs, requestMs),
      requestTimeout: requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: 1000,
      noDelay: true,
    };
    const answer: RequestListener = (request, response) => {
      const { socket } = request;
      if (this.#isDraining) response.setHeader("Connection", "close");
      const end = this.#connections.begin(socket);
      this.#responses.add(response);
      response.once("close", () => {
        this.#responses.delete(response);
        end();
        // Node would keep the connection until it has been idle for long.
        if (!this.#server.listening && !this.#connections.isBusy(socket)) socket.destroySoon();
      });
      listener(request, response);
    };
    const clients = tls?.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
    this.#server =
      tls === undefined
        ? createServer(options, answer)
        : createSecureServer({ ...options, ...tls, ...clients }, answer);
    this.#server.on("checkContinue", onCheckContinue(answer));
    this.#server.maxConnections = maxConnections;
    this.#connections = new Connections(this.#server);
  }

  /** @throws the system's error if the port cannot be had */
  listen({ host, port }: Pick<Listener, "host" | "port">): Promise<AddressInfo> {
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

  /** From now on each answer ends its connection. */
  drain(): void {
    this.#isDraining = true;
    for (const response of this.#responses)
      if (!response.headersSent) response.setHeader("Connection", "close");
  }

  /** Refuses new connections, lets requests under way end, and ends what is left after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.drain();
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await this.#connections.end(closed, graceMs);
  }
}
