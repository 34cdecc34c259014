// The connections of one port: which ones have a request under way, so that the end of a server waits for these only.
import type { Server as NetServer, Socket } from "node:net";

/**
 * How long in ms a connection without a request may stay after the end of the listening. The bytes of a request that was
 * sent before may be on their way.
 */
const settleMs = 500;

/** The client of a connection. */
type Peer = Pick<Socket, "remoteAddress" | "remotePort">;

/** Keeps the connections of a server, with TLS or without. */
export class Connections {
  /** By the client's address. With TLS, a request knows another socket than the connection. */
  readonly #sockets = new Map<string, Socket>();
  readonly #underWay = new Map<string, number>();

  constructor(server: NetServer, onConnection?: (socket: Socket) => void) {
    server.on("connection", (socket: Socket) => {
      const key = keyOf(socket);
      this.#sockets.set(key, socket);
      socket.once("close", () => {
        if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
      });
      onConnection?.(socket);
    });
  }

  /** A request has come. @returns what says that it has ended; a second call of that does nothing */
  begin(socket: Peer): () => void {
    const key = keyOf(socket);
    this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1);
    let isUnderWay = true;
    return () => {
      if (!isUnderWay) return;
      isUnderWay = false;
      const left = this.#underWay.get(key)! - 1;
      if (left > 0) this.#underWay.set(key, left);
      else this.#underWay.delete(key);
    };
  }

  /** Whether a request of the connection is under way. */
  isBusy(socket: Peer): boolean {
    return this.#underWay.has(keyOf(socket));
  }

  /**
   * Ends what would keep the server from its end: soon the connections without a request, such as one that a client or a
   * load balancer has opened in advance or a TLS handshake that stopped, and after `graceMs` all others.
   * @param closed resolves when all connections are closed
   */
  async end(closed: Promise<void>, graceMs: number): Promise<void> {
    const settle = setTimeout(() => this.#destroy((key) => !this.#underWay.has(key)), settleMs);
    const grace = setTimeout(() => this.#destroy(() => true), graceMs);
    await closed;
    clearTimeout(settle);
    clearTimeout(grace);
  }

  #destroy(isOver: (key: string) => boolean): void {
    for (const [key, socket] of this.#sockets) if (isOver(key)) socket.destroy();
  }
}

const keyOf = ({ remoteAddress, remotePort }: Peer) => `${remoteAddress} ${remotePort}`;
