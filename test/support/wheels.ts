// Small wheels as NVIDIA's packages have them, and a loopback package index that serves them with ranges.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { listen } from "./file-server.ts";
import { zip } from "./zip.ts";

export const sha256Of = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A wheel that was made. */
export interface MadeWheel {
  readonly name: string;
  readonly version: string;
  readonly file: string;
  readonly bytes: Buffer;
  readonly sha256: string;
  /** The content by the path in the wheel, without RECORD. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

/**
 * Makes a wheel (PEP 427): the files, a licence and a RECORD with the hash of each.
 * @param tags the end of the file's name, such as "py3-none-win_amd64"
 */
export function makeWheel(
  name: string,
  version: string,
  tags: string,
  libraries: Readonly<Record<string, Uint8Array>>,
): MadeWheel {
  const stem = `${name.replaceAll("-", "_")}-${version}`;
  const info = `${stem}.dist-info`;
  const files: Record<string, Uint8Array> = {
    ...libraries,
    [`${info}/licenses/License.txt`]: Buffer.from(`The licence of ${name}\n`),
    [`${info}/METADATA`]: Buffer.from(`Name: ${name}\nVersion: ${version}\n`),
  };
  const lines = Object.entries(files).map(([path, bytes]) => {
    const hash = createHash("sha256").update(bytes).digest("base64url");
    return `${path},sha256=${hash},${bytes.length}\n`;
  });
  const record = Buffer.from(`${lines.join("")}${info}/RECORD,,\n`);
  const entries = [...Object.entries(files), [`${info}/RECORD`, record] as const];
  const bytes = zip(entries.map(([path, data]) => ({ name: path, data, deflate: true })));
  return { name, version, file: `${stem}-${tags}.whl`, bytes, sha256: sha256Of(bytes), files };
}

/** A package index (PEP 503 and 691) on 127.0.0.1. */
export class WheelIndex {
  url = "";
  /** The method and path of each request, with its range. */
  readonly requests: string[] = [];
  /** Bytes of wheels that were sent. */
  sentBytes = 0;
  /** Answers a request instead of the index if it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  /** Whether the pages are JSON, and whether ranges of wheels are served. */
  isJson = true;
  hasRanges = true;
  readonly #wheels: readonly MadeWheel[];
  #close = async () => {};

  constructor(wheels: readonly MadeWheel[]) {
    this.#wheels = wheels;
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => this.#answer(request, response));
    const { url, close } = await listen(server);
    this.url = `${url}simple/`;
    this.#close = close;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url!, "http://127.0.0.1").pathname;
    this.requests.push([path, request.headers.range].filter(Boolean).join(" "));
    if (this.intercept(request, response)) return;
    const project = /^\/simple\/([^/]+)\/$/.exec(path)?.[1];
    const wheel = this.#wheels.find(({ file }) => path === `/files/${file}`);
    if (project !== undefined) this.#page(project, response);
    else if (wheel !== undefined) this.#send(wheel.bytes, request, response);
    else response.writeHead(404).end();
  }

  #page(project: string, response: ServerResponse): void {
    const wheels = this.#wheels.filter(({ name }) => name === project);
    if (wheels.length === 0) {
      response.writeHead(404).end();
    } else if (this.isJson) {
      const files = wheels.map(({ file, sha256, bytes }) => ({
        filename: file,
        url: `../../files/${file}`,
        hashes: { sha256 },
        size: bytes.length,
        yanked: false,
      }));
      response.writeHead(200, { "content-type": "application/vnd.pypi.simple.v1+json" });
      response.end(JSON.stringify({ meta: { "api-version": "1.1" }, name: project, files }));
    } else {
      const links = wheels.map(
        ({ file, sha256 }) => `<a href="../../files/${file}#sha256=${sha256}">${file}</a><br>\n`,
      );
      response.writeHead(200, { "content-type": "text/html" });
      response.end(`<!DOCTYPE html><html><body>\n${links.join("")}</body></html>`);
    }
  }

  #send(bytes: Buffer, request: IncomingMessage, response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    if (range === null || !this.hasRanges) {
      this.sentBytes += bytes.length;
      response.writeHead(200, { "content-length": bytes.length }).end(bytes);
      return;
    }
    const start = Number(range[1]);
    const end = range[2] === "" ? bytes.length : Math.min(Number(range[2]) + 1, bytes.length);
    if (start >= end) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const body = bytes.subarray(start, end);
    this.sentBytes += body.length;
    const headers = { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` };
    response.writeHead(206, { ...headers, "content-length": body.length }).end(body);
  }
}
