// Answers: JSON, or JSON and the bytes of tensors behind it, compressed if the client takes that.
import { promisify } from "node:util";
import { deflate, gzip } from "node:zlib";
import type { ServeError } from "../errors.js";
import { bodyEncodings } from "./body/body.js";
import type { Call } from "./context.js";

const packers = { gzip: promisify(gzip), deflate: promisify(deflate) } as const;
/** A shorter answer is not worth the time. */
const minPackedBytes = 1024;

/** A browser takes no answer for a page, whatever a label says. */
const noSniffing = { "X-Content-Type-Options": "nosniff" };

/** Returns an answer that is sent as it is. */
export function jsonAnswer(
  value: unknown,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { ...headers, "Content-Type": "application/json", ...noSniffing },
  });
}

/**
 * Returns an answer that is compressed if it is large and the client takes that.
 * @throws {ServeError} UNAVAILABLE: unsent answers take too much memory
 */
export async function largeAnswer(
  call: Call,
  body: string | Uint8Array,
  headers: Record<string, string>,
): Promise<Response> {
  call.get("answer").take(body.length);
  const encoding = acceptedEncoding(call.req.header("accept-encoding") ?? "");
  const all = { ...headers, Vary: "Accept-Encoding", ...noSniffing };
  if (encoding === undefined || body.length < minPackedBytes)
    return new Response(body as Uint8Array<ArrayBuffer>, { headers: all });
  const packed = await packers[encoding](body, { level: 1 });
  return new Response(packed as Uint8Array<ArrayBuffer>, {
    headers: { ...all, "Content-Encoding": encoding },
  });
}

/** Returns the first of gzip and deflate that the client takes, by the header Accept-Encoding. */
export function acceptedEncoding(header: string): "gzip" | "deflate" | undefined {
  const refused = new Set<string>();
  const taken = new Set<string>();
  for (const item of header.toLowerCase().split(",")) {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim());
    const isRefused = parameters.some((parameter) => /^q\s*=\s*0(\.0*)?$/.test(parameter));
    (isRefused ? refused : taken).add(name);
  }
  const isTaken = (name: string) => taken.has(name) || (taken.has("*") && !refused.has(name));
  return (["gzip", "deflate"] as const).find(isTaken);
}

/** Returns the answer to a request that failed: the status and headers of the table, and {"error": …}. */
export function failure(error: ServeError, more: Record<string, string> = {}): Response {
  const headers = { ...more };
  if (error.retryAfterSeconds !== undefined)
    headers["Retry-After"] = String(error.retryAfterSeconds);
  if (error.kind === "UNAUTHENTICATED") headers["WWW-Authenticate"] = "Bearer";
  if (error.kind === "ENCODING") headers["Accept-Encoding"] = bodyEncodings;
  return jsonAnswer({ error: error.message }, error.status, headers);
}
