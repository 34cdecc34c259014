// The app as a listener of Node's requests.
import type { IncomingMessage, ServerResponse } from "node:http";
import { getRequestListener, RequestError } from "@hono/node-server";
import type { Hono } from "hono";
import { ServeError, toServeError } from "../errors.js";
import type { HttpEnvironment } from "./context.js";
import { failure } from "./reply.js";

/** The name of the server for a client that sends none, as HTTP/1.0 allows. No answer depends on it. */
const hostname = "localhost";

/**
 * Makes a listener. It refuses what is no request for the app, such as a damaged `Host`, in the form of all refusals.
 * @param overrideGlobalObjects whether Node's Request and Response may be replaced, which is faster
 */
export function listenerOf(
  app: Hono<HttpEnvironment>,
  overrideGlobalObjects: boolean,
): (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> {
  return getRequestListener(app.fetch, {
    ...{ hostname, overrideGlobalObjects },
    errorHandler: (error) => failure(refusalOf(error)),
  });
}

/** A request without an address is the client's fault. The app itself answers everything else. */
function refusalOf(error: unknown): ServeError {
  if (!(error instanceof RequestError)) return toServeError(error);
  return new ServeError("INVALID", `Expected a request of HTTP: ${error.message}`, {
    cause: error,
  });
}
