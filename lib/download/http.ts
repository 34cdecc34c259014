// HTTP requests for downloads: they use the environment's proxy, follow redirects and time out if no byte arrives.
import type { Dispatcher } from "undici";
import { bare, optionOf } from "../check.js";
import { VggError } from "../errors.js";
import { onAbort } from "../signal.js";

const maxRedirects = 5;

/** A failure that may be temporary, so a retry is worthwhile. */
export class Interrupted extends Error {
  /** The value of the server's Retry-After header. */
  readonly retryAfter: string | undefined;

  constructor(message: string, options: ErrorOptions & { retryAfter?: string | undefined } = {}) {
    super(message, options);
    this.retryAfter = optionOf(options, "retryAfter");
  }
}

export interface Response {
  readonly status: number;
  /** The address that answered, after redirects. */
  readonly url: URL;
  /** Returns the first value of a header. The name is in lower case. */
  header(name: string): string | undefined;
  /** Returns the next bytes, or undefined at the end. @throws {Interrupted} */
  read(): Promise<Uint8Array | undefined>;
  discard(): void;
}

/** How servers are reached if not by Node's certificates and the environment's proxies. */
export interface Connection {
  /** Certificates of authorities in PEM form that replace Node's. */
  readonly ca?: string | undefined;
  /** The proxies of http and https addresses, and the hosts without one. "" is none; undefined is the environment's. */
  readonly httpProxy?: string | undefined;
  readonly httpsProxy?: string | undefined;
  readonly noProxy?: string | undefined;
}

export interface Client {
  /** @throws {Interrupted} no answer @throws {VggError} DOWNLOAD_FAILED: a redirect that is not followed */
  get(url: URL, headers: Record<string, string>): Promise<Response>;
  close(): Promise<void>;
}

/** Formats an address without the parts that may be secret: credentials and query. */
export function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Removes a name and password from what may be an address. A password may have a / or @ that should be escaped. */
export function withoutLogin(text: string): string {
  return text.replace(/^([^/]*\/\/)?.*@/s, "$1");
}

function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || String(error);
}

function failure(message: string, cause?: unknown): VggError {
  return new VggError("DOWNLOAD_FAILED", message, { cause });
}

/** Decodes a part of an address; a stray % stands for itself. */
export function decodedPart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function authorization(url: URL): Record<string, string> {
  if (url.username === "" && url.password === "") return {};
  const credentials = `${decodedPart(url.username)}:${decodedPart(url.password)}`;
  return { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` };
}

function redirected(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href))
    throw failure(`Expected an address from ${shown(from)} but its redirect has no address`);
  const to = new URL(location, from);
  const isSafe = to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:");
  if (!isSafe) throw failure(`${shown(from)} redirects to ${shown(to)}, which is not https`);
  return to;
}

/** Returns the error of an answer that is not the wanted one: `Interrupted` if a later try may succeed. */
export function refusal(response: Response, url: URL): Error {
  const { status } = response;
  const problem = `the server answered ${status}`;
  if (status === 408 || status === 429 || status >= 500)
    return new Interrupted(problem, { retryAfter: response.header("retry-after") });
  return failure(`Could not download ${shown(url)}: ${problem}`);
}

/**
 * Opens a client for GET requests.
 * @param timeoutMs a request fails if no byte arrives for this time
 * @param signal stops requests and bodies at once
 * @throws {VggError} DOWNLOAD_FAILED: a proxy or a certificate cannot be used
 */
export async function openClient(
  timeoutMs: number,
  signal: AbortSignal,
  connection: Connection = {},
): Promise<Client> {
  // Not the global fetch: in Node 20 and 22 it ignores HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
  // Imported here because it takes 70 ms, which only a download should cost.
  const { EnvHttpProxyAgent, request } = await import("undici");
  let agent: Dispatcher;
  const { ca, ...proxies } = bare(connection);
  const tls = bare(ca === undefined ? {} : { ca });
  try {
    agent = new EnvHttpProxyAgent(
      bare({
        // Plain http goes to the proxy in absolute form: many proxies allow CONNECT to port 443 only.
        ...{ proxyTunnel: false, connect: tls, requestTls: tls, proxyTls: tls },
        ...(proxies as { httpProxy: string }), // undefined is allowed, but not by the types
      }),
    );
  } catch (error) {
    throw failure(
      "Expected an address such as http://proxy:3128 in HTTP_PROXY and HTTPS_PROXY",
      new Error(reasonOf(error)), // the error itself has the address, with its password
    );
  }

  /** Awaits one network operation, and aborts it after `timeoutMs`. */
  async function watched<T>(abort: AbortController, step: () => Promise<T>): Promise<T> {
    const silence = () => abort.abort(new Error(`no byte came for ${timeoutMs / 1000} s`));
    const timer = setTimeout(silence, timeoutMs);
    try {
      return await step();
    } catch (error) {
      signal.throwIfAborted();
      const cause = abort.signal.aborted ? abort.signal.reason : error;
      throw new Interrupted(reasonOf(cause), { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async function getOnce(url: URL, headers: Record<string, string>): Promise<Response> {
    // Not AbortSignal.any: Node 20 may collect what it returns before it fires.
    const abort = new AbortController();
    const release = onAbort(signal, () => abort.abort(signal.reason));
    const timeouts = { headersTimeout: 0, bodyTimeout: 0 };
    const {
      statusCode,
      headers: received,
      body,
    } = await watched(abort, () => {
      signal.throwIfAborted();
      return request(url, bare({ dispatcher: agent, headers, signal: abort.signal, ...timeouts }));
    }).catch((error) => {
      release();
      throw error;
    });
    body.on("error", () => {}); // an error may arrive after reading has stopped
    const chunks = body[Symbol.asyncIterator]();
    return {
      status: statusCode,
      url,
      header(name) {
        const value = optionOf(received, name);
        return Array.isArray(value) ? value[0] : value;
      },
      async read() {
        const { done, value } = await watched(abort, () => chunks.next());
        return done ? undefined : (value as Uint8Array);
      },
      discard() {
        release();
        body.destroy();
      },
    };
  }

  return {
    async get(first, headers) {
      let url = first;
      for (let redirects = 0; ; redirects++) {
        const credentials = url.origin === first.origin ? authorization(first) : {};
        const response = await getOnce(url, { ...headers, ...credentials });
        const location = response.header("location");
        if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) {
          return response;
        }
        response.discard();
        if (redirects === maxRedirects)
          throw failure(`${shown(first)} redirects more than ${maxRedirects} times`);
        url = redirected(url, location);
      }
    },
    close: () => agent.destroy(),
  };
}
