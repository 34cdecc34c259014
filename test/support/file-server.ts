// A loopback HTTP server of one file for the download tests. It answers correctly unless a test plans other answers.
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Lets a server listen on 127.0.0.1. Returns its address and a function that closes it. */
export async function listen(
  server: Server,
): Promise<{ url: string; port: number; close(): Promise<void> }> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** Serves `bytes` under every path, with ranges, an ETag and If-Range. */
export class FileServer {
  readonly requests: IncomingMessage[] = [];
  /** Answers to the first requests. Later requests get the file. */
  readonly plan: Answer[] = [];
  /** Bytes of the file that were sent. */
  sentBytes = 0;
  url = "";
  #close = async () => {};
  readonly #held: ServerResponse[] = [];
  #heldAt = 0;
  readonly bytes: Uint8Array;
  readonly etag: string;

  constructor(bytes: Uint8Array, etag = '"v1"') {
    this.bytes = bytes;
    this.etag = etag;
  }

  async start(): Promise<this> {
    const { url, close } = await listen(createServer(this.listener));
    this.url = url;
    this.#close = close;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  readonly listener: RequestListener = (request, response) => {
    this.requests.push(request);
    (this.plan.shift() ?? this.file)(request, response);
  };

  /** The `range` header of each request. */
  get ranges(): (string | undefined)[] {
    return this.requests.map(({ headers }) => headers.range);
  }

  #range(request: IncomingMessage): number | undefined {
    const { range, "if-range": ifRange } = request.headers;
    const start = /^bytes=(\d+)-$/.exec(range ?? "")?.[1];
    return start === undefined || (ifRange ?? this.etag) !== this.etag ? undefined : Number(start);
  }

  /** The correct answer. */
  readonly file: Answer = (request, response) => this.send(request, response, this.bytes.length);

  /** The correct answer up to a byte. It then sends nothing until `cut` or `release`. */
  holdAt(end: number): Answer {
    return (request, response) => this.send(request, response, end);
  }

  /** Closes the held connections. */
  cut(): void {
    for (const response of this.#held.splice(0)) response.destroy();
  }

  /** Sends the rest of the held answers. */
  release(): void {
    for (const response of this.#held.splice(0)) response.end(this.bytes.subarray(this.#heldAt));
  }

  send(request: IncomingMessage, response: ServerResponse, end: number): void {
    const { length } = this.bytes;
    const range = this.#range(request);
    const start = range ?? 0;
    if (start >= length) {
      response.writeHead(416, { "content-range": `bytes */${length}` }).end();
      return;
    }
    response.writeHead(range === undefined ? 200 : 206, {
      etag: this.etag,
      "content-length": length - start,
      ...(range !== undefined && { "content-range": `bytes ${start}-${length - 1}/${length}` }),
    });
    const body = this.bytes.subarray(start, end);
    this.sentBytes += body.length;
    if (end === length) {
      response.end(body);
      return;
    }
    response.write(body);
    this.#held.push(response);
    this.#heldAt = end;
  }
}
