// A package index (PEP 503 and 691) on loopback that serves small wheels, with faults on request.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { listen } from "./file-server.ts";
import type { MadeWheel } from "./wheels.ts";

/** The path of a request, also of one to a proxy, which has the whole address. */
const pathOf = ({ url }: IncomingMessage) => url!.replace(/^https?:\/\/[^/]*/, "").split("?")[0]!;

type Hook = (request: IncomingMessage, response: ServerResponse) => boolean | undefined;

/** Pages are below /simple/, files below /files/. */
export class IndexServer {
  readonly requests: IncomingMessage[] = [];
  /** Bytes of wheels that were sent. */
  sentBytes = 0;
  url = "";
  /** How pages are written. `relative`: HTML with relative links. */
  pages: "json" | "html" | "relative" = "json";
  hasRanges = true;
  /** Asks for these, as `name:password`. */
  login: string | undefined;
  /** Answers a request instead of the server if it returns true. */
  hook: Hook = () => undefined;
  /** The number of bytes that a body may have; the connection is then cut. */
  cutAfter: (request: IncomingMessage, total: number) => number | undefined = () => undefined;
  /** What the page says of a file. */
  listed: (made: MadeWheel) => { sha256?: string | undefined; size?: number | undefined } = (
    made,
  ) => made.wheel;
  /** Whether the page says that a file was withdrawn (PEP 592). */
  withdrawn: (made: MadeWheel) => boolean = () => false;
  /** The origin of the files' addresses, if it is another one. */
  filesAt: string | undefined;
  readonly #wheels: readonly MadeWheel[];
  readonly #tls: { key: string; cert: string } | undefined;
  #close = async () => {};

  constructor(wheels: readonly MadeWheel[], tls?: { key: string; cert: string }) {
    this.#wheels = wheels;
    this.#tls = tls;
  }

  async start(): Promise<this> {
    const server = this.#tls
      ? createTlsServer(this.#tls, this.#answer)
      : createServer(this.#answer);
    const { url, close } = await listen(server as ReturnType<typeof createServer>);
    this.url = this.#tls ? url.replace("http:", "https:") : url;
    this.#close = close;
    return this;
  }

  get index(): string {
    return `${this.url}simple`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  /** The addresses and ranges of requests for wheels. */
  get ranges(): string[] {
    return this.requests
      .filter((request) => pathOf(request).startsWith("/files/"))
      .map(({ headers }) => headers.range ?? "whole");
  }

  readonly #answer = (request: IncomingMessage, response: ServerResponse) => {
    this.requests.push(request);
    if (this.hook(request, response)) return;
    const { authorization = "" } = request.headers;
    if (this.login !== undefined && authorization !== `Basic ${btoa(this.login)}`) {
      response.writeHead(401).end("login");
      return;
    }
    const [, kind, name = ""] = decodeURIComponent(pathOf(request)).split("/");
    const made = this.#wheels.filter(({ wheel }) => [wheel.name, wheel.file].includes(name));
    if (made.length === 0) response.writeHead(404).end();
    else if (kind === "simple") this.#sendPage(request, response, made);
    else this.#sendFile(request, response, made[0]!);
  };

  #sendPage(request: IncomingMessage, response: ServerResponse, all: readonly MadeWheel[]): void {
    const origin = this.filesAt ?? this.url;
    const other = "other-1.0-py3-none-any.whl";
    let text: string;
    if (this.pages === "json") {
      const files = all.map((made) => {
        const { sha256, size } = this.listed(made);
        const { file: filename } = made.wheel;
        const hashes = sha256 === undefined ? {} : { sha256 };
        const yanked = this.withdrawn(made) && "withdrawn";
        return { filename, url: `${origin}files/${filename}`, hashes, size, yanked };
      });
      files.unshift({ ...files[0]!, filename: other, url: `${origin}files/${other}`, hashes: {} });
      text = JSON.stringify({ meta: { "api-version": "1.1" }, files });
    } else {
      const from = this.pages === "relative" ? "../../files/" : `${origin}files/`;
      const links = all.map((made) => {
        const { sha256 } = this.listed(made);
        const escaped = made.wheel.file.replace("_", "&#95;").replace("-", "%2D");
        const fragment = sha256 === undefined ? "" : `#sha256=${sha256}`;
        const yanked = this.withdrawn(made) ? ' data-yanked=""' : "";
        return `<A${yanked} data-requires-python="&gt;=3" HREF='${from}${escaped}${fragment}'
>${made.wheel.file}</A>`;
      });
      text = `<!DOCTYPE html><html><body><h1>Links</h1>\n<a href="${from}${other}">${other}</a><br/>
${links.join("<br>\n")}</body></html>`;
    }
    const type = this.pages === "json" ? "application/vnd.pypi.simple.v1+json" : "text/html";
    this.#send(request, response, 200, { "content-type": type }, Buffer.from(text));
  }

  #sendFile(request: IncomingMessage, response: ServerResponse, { bytes, wheel }: MadeWheel): void {
    const { range } = request.headers;
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    const headers = { etag: `"${wheel.sha256.slice(0, 8)}"` };
    if (!this.hasRanges || first === undefined) {
      this.#send(request, response, 200, headers, bytes);
      return;
    }
    const start = Number(first);
    const end = last === "" ? bytes.length : Math.min(Number(last) + 1, bytes.length);
    if (start >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const span = { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` };
    this.#send(request, response, 206, { ...headers, ...span }, bytes.subarray(start, end));
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    headers: Record<string, string>,
    body: Uint8Array,
  ): void {
    const end = Math.min(this.cutAfter(request, body.length) ?? body.length, body.length);
    response.writeHead(status, { ...headers, "content-length": body.length });
    if (pathOf(request).startsWith("/files/")) this.sentBytes += end;
    if (end === body.length) response.end(body);
    else if (end === 0) {
      response.flushHeaders();
      response.socket?.destroySoon();
    } else response.write(body.subarray(0, end), () => setTimeout(() => response.destroy(), 10));
  }
}
