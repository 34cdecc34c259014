// The routes of REST for a server that a team already has: a hono app, or a handler of Node's requests.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Hono } from "hono";
import { httpApp } from "./http/app.js";
import type { HttpEnvironment } from "./http/context.js";
import { listenerOf } from "./http/listener.js";
import { assemble, type Parts } from "./parts.js";
import type { ServeOptions } from "./settings/options.js";

/** Models that are loaded, without a port. */
export interface Mounted {
  /** Waits for the requests under way, and gives the models' memory back. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The options of an app: those that concern ports have no effect. A page needs the app at the root of its host. */
export type AppOptions = Omit<ServeOptions, "http" | "grpc" | "metrics">;

/**
 * Loads models and makes the hono app of REST, to be mounted in another one.
 * @throws {TypeError} an option that is unknown, missing or wrong @throws {ServeError} a model that cannot be loaded
 * @example
 * const { app, close } = await createApp({ models: { vgg11: { arch: "vgg11", weights: "DEFAULT" } } });
 * main.route("/vision", app);
 */
export async function createApp(
  options: AppOptions,
): Promise<Mounted & { readonly app: Hono<HttpEnvironment> }> {
  const parts = await assembleLoaded(options);
  return { app: httpApp(parts.http), ...closing(parts) };
}

/**
 * Loads models and makes a handler of REST for Node's server and for frameworks that take such a handler.
 * @throws {TypeError} an option that is unknown, missing or wrong @throws {ServeError} a model that cannot be loaded
 * @example
 * const { handler, close } = await createHandler({ models: { vgg11: { arch: "vgg11", weights: "DEFAULT" } } });
 * http.createServer(handler).listen(8000);
 */
export async function createHandler(options: AppOptions): Promise<
  Mounted & {
    readonly handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  }
> {
  const parts = await assembleLoaded(options);
  // The process is the team's: its own Request and Response stay.
  const handler = listenerOf(httpApp(parts.http), false);
  return { handler, ...closing(parts) };
}

async function assembleLoaded(options: AppOptions): Promise<Parts> {
  const parts = await assemble({
    page: false,
    ...options,
    http: false,
    grpc: false,
    metrics: false,
  });
  try {
    await parts.load();
    return parts;
  } catch (error) {
    await parts.close();
    throw error;
  }
}

function closing(parts: Parts): Mounted {
  let end: Promise<void> | undefined;
  const close = () => {
    parts.health.drain();
    end ??= parts.close();
    return end;
  };
  return { close, [Symbol.asyncDispose]: close };
}
