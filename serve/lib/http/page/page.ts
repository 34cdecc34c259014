// The page at `/`: fixed files from memory, with headers that let it load nothing else.
import type { Hono } from "hono";
import { ServeError } from "../../errors.js";
import type { Call, HttpEnvironment } from "../context.js";
import { failure } from "../reply.js";
import { type PageFile, pagePaths, readPageFile } from "./files.js";

/** The page runs its own scripts and styles only, talks to its own server only, and no other page may frame it. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Adds the routes of the page. They need no token: the page holds nothing, and asks for a token itself. */
export function addPage(app: Hono<HttpEnvironment>): void {
  for (const path of pagePaths) {
    app.get(path, (call) => answer(call, readPageFile(path)));
    app.all(path, () =>
      failure(new ServeError("METHOD", "Expected GET or HEAD for this path"), {
        Allow: "GET, HEAD",
      }),
    );
  }
}

function answer(call: Call, { bytes, type, tag }: PageFile): Response {
  const headers = {
    ETag: tag,
    // A browser asks whether its copy is still right, so that an update shows at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": policy,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
  };
  const known = call.req
    .header("if-none-match")
    ?.split(",")
    .map((one) => one.trim().replace(/^W\//, ""));
  if (known?.includes(tag) || known?.includes("*"))
    return new Response(null, { status: 304, headers });
  return new Response(bytes, { headers: { ...headers, "Content-Type": type } });
}
