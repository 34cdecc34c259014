// Finds a wheel in a package index, by its name: the index as JSON (PEP 691) or as HTML (PEP 503).
import { bare, isPlainObject } from "../check.js";
import {
  decodedPart,
  Interrupted,
  openClient,
  type Response,
  refusal,
  shown,
} from "../download/http.js";
import { type RetryOptions, retrying } from "../download/retry.js";
import { VggError } from "../errors.js";
import { jsonOf } from "../files/json.js";
import type { PackageIndex } from "./package-index.js";
import type { Wheel } from "./types.js";

/** A file that an index lists. A yanked file counts as any other if a wheel is asked for by its exact name. */
export interface Link {
  readonly file: string;
  readonly url: URL;
  /** Undefined if the index does not say. */
  readonly sha256: string | undefined;
  readonly size: number | undefined;
  readonly isYanked: boolean;
}

const maxPageBytes = 32 * 2 ** 20;
const accept =
  "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

const entities = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
]);

/** Replaces the character references that an attribute of a link may have. */
function decodedEntities(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]+));/gi,
    (all, decimal, hex, name) => {
      if (name !== undefined) return entities.get(name) ?? all;
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : all;
    },
  );
}

/** Returns the href of a tag's attributes. */
function hrefOf(attributes: string): string | undefined {
  const match = /(?:^|\s)href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/i.exec(attributes);
  const value = match?.[1] ?? match?.[2] ?? match?.[3];
  return value === undefined ? undefined : decodedEntities(value).trim();
}

/** Returns an address that a page has, if it can be followed: a page over https refers to https only. */
function resolved(address: unknown, base: URL): URL | undefined {
  if (typeof address !== "string" || !URL.canParse(address, base.href)) return undefined;
  const url = new URL(address, base);
  const isSafe =
    url.protocol === "https:" || (url.protocol === "http:" && base.protocol === "http:");
  return isSafe ? url : undefined;
}

function fileNameOf(url: URL): string {
  return decodedPart(url.pathname.slice(url.pathname.lastIndexOf("/") + 1));
}

const tags = (name: string) =>
  new RegExp(`<${name}\\b((?:"[^"]{0,8192}"|'[^']{0,8192}'|[^'">]){0,1024})>`, "gi");

/** Reads the links of a page in HTML. @param page the address, without credentials */
export function linksOfHtml(text: string, page: URL): Link[] {
  const [base] = text.matchAll(tags("base"));
  const from = (base && resolved(hrefOf(base[1]!), page)) ?? page;
  const links: Link[] = [];
  for (const [, attributes] of text.matchAll(tags("a"))) {
    const url = resolved(hrefOf(attributes!), from);
    if (url === undefined) continue;
    const sha256 = /[#&]sha256=([0-9a-f]{64})(?:&|$)/i.exec(url.hash)?.[1]?.toLowerCase();
    url.hash = "";
    const isYanked = /(?:^|\s)data-yanked(?=[\s=]|$)/i.test(attributes!);
    links.push({ file: fileNameOf(url), url, sha256, size: undefined, isYanked });
  }
  return links;
}

/** Reads the links of a page in JSON; undefined if it is none of version 1. @param page the address, without credentials */
export function linksOfJson(text: string, page: URL): Link[] | undefined {
  const value = jsonOf(text);
  if (!isPlainObject(value) || !Array.isArray(value.files)) return undefined;
  const version = isPlainObject(value.meta) ? value.meta["api-version"] : undefined;
  if (typeof version === "string" && !version.startsWith("1.")) return undefined;
  const links: Link[] = [];
  for (const item of value.files) {
    if (!isPlainObject(item) || typeof item.filename !== "string") continue;
    const url = resolved(item.url, page);
    if (url === undefined) continue;
    url.hash = "";
    const hash = isPlainObject(item.hashes) ? item.hashes.sha256 : undefined;
    const sha256 = typeof hash === "string" ? hash.toLowerCase() : undefined;
    const size = typeof item.size === "number" ? item.size : undefined;
    const isYanked = item.yanked !== undefined && item.yanked !== false;
    links.push({ file: item.filename, url, sha256, size, isYanked });
  }
  return links;
}

async function readText(response: Response, page: URL): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const piece = await response.read();
    if (piece === undefined) break;
    bytes += piece.length;
    if (bytes > maxPageBytes) {
      throw new VggError(
        "DOWNLOAD_FAILED",
        `Expected at most ${maxPageBytes} bytes from ${shown(page)} but received more`,
      );
    }
    pieces.push(piece);
  }
  const length = Number(response.header("content-length") ?? bytes);
  if (bytes < length) throw new Interrupted(`the body ended after ${bytes} of ${length} bytes`);
  return new TextDecoder().decode(Buffer.concat(pieces));
}

/** Reads the links of a project's page. @throws {VggError} DOWNLOAD_FAILED */
export async function readPage(
  index: PackageIndex,
  page: URL,
  options: RetryOptions & { readonly timeoutMs: number },
): Promise<Link[]> {
  const { signal, timeoutMs } = options;
  const client = await openClient(timeoutMs, signal, index.connection);
  try {
    return await retrying(
      page,
      options,
      () => 0,
      async () => {
        const headers = bare({ accept, "accept-encoding": "identity", "user-agent": "vgg-cudnn" });
        const response = await client.get(page, headers);
        try {
          if (response.status !== 200) throw refusal(response, page);
          const text = await readText(response, page);
          // Relative addresses begin at the address that answered.
          const base = new URL(response.url);
          base.username = "";
          base.password = "";
          const isJson = /json/i.test(response.header("content-type") ?? "");
          const links = isJson ? linksOfJson(text, base) : linksOfHtml(text, base);
          if (links === undefined) {
            const problem = "expected a package index in JSON, version 1";
            throw new VggError("DOWNLOAD_FAILED", `Could not read ${shown(page)}: ${problem}`);
          }
          return links;
        } finally {
          response.discard();
        }
      },
    );
  } finally {
    await client.close();
  }
}

/** Checks that a listed file is the wanted one, as far as the index says. @throws {VggError} HASH_MISMATCH */
function checkLink(link: Link, wheel: Wheel): void {
  const { sha256, size } = link;
  const isOther =
    (sha256 !== undefined && sha256 !== wheel.sha256) ||
    (size !== undefined && size !== wheel.size);
  if (!isOther) return;
  throw new VggError(
    "HASH_MISMATCH",
    `Expected ${shown(link.url)} to have the SHA-256 ${wheel.sha256} and ${wheel.size} bytes, but the index says ${sha256 ?? "no hash"} and ${size ?? "no"} bytes; nothing was downloaded`,
  );
}

/**
 * Finds a wheel by the exact name of its file. The indexes are asked in their order; the first that has it counts.
 * @returns the wheel's address, with credentials if its server has some
 * @throws {VggError} DOWNLOAD_FAILED: no index answers or has it; HASH_MISMATCH: an index has another file of that name
 */
export async function findWheel(
  index: PackageIndex,
  wheel: Wheel,
  options: RetryOptions & { readonly timeoutMs: number },
): Promise<URL> {
  const problems: string[] = [];
  const causes: unknown[] = [];
  const pages = index.pages(wheel.name);
  for (const [i, page] of pages.entries()) {
    const isLast = i === pages.length - 1;
    const retries = isLast ? options.retries : Math.min(1, options.retries);
    let links: Link[];
    try {
      links = await readPage(index, page, { ...options, retries });
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof VggError) || error.code !== "DOWNLOAD_FAILED") throw error;
      problems.push(error.message);
      causes.push(error);
      continue;
    }
    const found = links.filter(({ file }) => file === wheel.file);
    const link = found.find(({ sha256 }) => sha256 === wheel.sha256) ?? found[0];
    if (link === undefined) {
      problems.push(`${shown(page)} does not list it`);
      continue;
    }
    checkLink(link, wheel);
    return index.withLogin(link.url);
  }
  throw new VggError("DOWNLOAD_FAILED", `Could not find ${wheel.file}: ${problems.join("; ")}`, {
    cause: causes[0],
  });
}
