// Small wheels as NVIDIA's packages are laid out, and a loopback package index that serves them.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Wheel } from "../../lib/nvidia/types.ts";
import { listen } from "./file-server.ts";
import { type ZipEntry, zip } from "./zip.ts";

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Bytes that deflate to about half, and differ from seed to seed. */
export function contentOf(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, (_, i) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return i % 3 === 0 ? state >>> 24 : i % 9;
  });
}

export interface MadeWheel {
  readonly wheel: Wheel;
  readonly bytes: Buffer;
  /** The content of each installed file. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Makes a wheel of libraries, with files that are not installed around them. */
export function makeWheel(
  name: string,
  files: Record<string, Uint8Array>,
  options: Parameters<typeof zip>[1] & {
    version?: string;
    /** Changes the archive's entries. */
    entries?: (entries: ZipEntry[]) => ZipEntry[];
    /** Changes the archive's bytes. */
    damage?: (bytes: Buffer) => Buffer;
  } = {},
): MadeWheel {
  const { version = "1.2.3", entries = (same) => same, damage = (same) => same, ...rest } = options;
  const project = name.replaceAll("-", "_");
  const license = { name: `${project}-${version}.dist-info/LICENSE`, data: Buffer.from("terms") };
  const listed = Object.entries(files).map(([to, data]) => ({
    name: `nvidia/lib/${to}`,
    data,
    deflate: !to.startsWith("stored"),
  }));
  const bytes = damage(zip(entries([license, ...listed, { ...license, name: "RECORD" }]), rest));
  const members = Object.entries(files).map(([to, data]) => ({
    ...{ path: `nvidia/lib/${to}`, sha256: sha256(data), size: data.length, to },
  }));
  const file = `${project}-${version}-py3-none-manylinux_2_27_x86_64.whl`;
  const wheel = { name, version, file, sha256: sha256(bytes), size: bytes.length, members };
  return { wheel, bytes, files: new Map(Object.entries(files)) };
}

/** The path of a request, also of one to a proxy, which has the whole address. */
const pathOf = ({ url }: IncomingMessage) => url!.replace(/^https?:\/\/[^/]*/, "").split("?")[0]!;

type Hook = (request: IncomingMessage, response: ServerResponse) => boolean | undefined;

/** A package index on 127.0.0.1. Pages are below /simple/, files below /files/. */
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
    const made = this.#wheels.find(({ wheel }) => [wheel.name, wheel.file].includes(name));
    if (made === undefined) response.writeHead(404).end();
    else if (kind === "simple") this.#sendPage(request, response, made);
    else this.#sendFile(request, response, made);
  };

  #sendPage(request: IncomingMessage, response: ServerResponse, made: MadeWheel): void {
    const { sha256: hash, size } = this.listed(made);
    const { file } = made.wheel;
    const origin = this.filesAt ?? this.url;
    const other = `${origin}files/other-1.0-py3-none-any.whl`;
    let text: string;
    if (this.pages === "json") {
      const hashes = hash === undefined ? {} : { sha256: hash };
      const url = `${origin}files/${file}`;
      const files = [{ filename: "other-1.0-py3-none-any.whl", url: other, hashes: {} }];
      text = JSON.stringify({
        meta: { "api-version": "1.1" },
        files: [...files, { filename: file, url, hashes, size, yanked: "withdrawn" }],
      });
    } else {
      const from = this.pages === "relative" ? "../../files/" : `${origin}files/`;
      const escaped = file.replace("_", "&#95;").replace("-", "%2D");
      const fragment = hash === undefined ? "" : `#sha256=${hash}`;
      text = `<!DOCTYPE html><html><body><h1>Links</h1>\n<a href="${other}">other</a><br/>
<A data-yanked="" data-requires-python="&gt;=3" HREF='${from}${escaped}${fragment}'
>${file}</A></body></html>`;
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
