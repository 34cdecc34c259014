// What the handlers of the routes are given: Node's request and response, the client, and the server's parts.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Context } from "hono";
import type { Access } from "../access/access.js";
import type { Engine } from "../engine/types.js";
import type { StageTimes } from "../protocol/types.js";
import type { Account } from "./body/held-bytes.js";

/** Limits on what a client sends and asks for. */
export interface HttpLimits {
  /** Bytes of a body, as it comes and unpacked. */
  readonly bodyBytes: number;
  /** Bytes of all bodies and unsent answers that the server holds at once. */
  readonly heldBytes: number;
  /** Bytes of JSON in a body: its parsing stops everything else. */
  readonly jsonTensorBytes: number;
  /** Images of one request. */
  readonly imagesPerRequest: number;
}

/** What the routes work with. */
export interface HttpServices {
  readonly engine: Engine;
  readonly access: Access;
  readonly limits: HttpLimits;
  /** Whether the page is served at `/`. Default: it is not. */
  readonly page?: boolean | undefined;
  /** What `GET /v2` says. */
  readonly server: { readonly name: string; readonly version: string };
  /** Is told of each error that is a defect; its client learns nothing of it. Absent: it goes to standard error. */
  readonly onDefect?: ((error: unknown) => void) | undefined;
}

/** What hono carries for each request. Without Node's server, as in a test, there is no incoming message. */
export interface HttpEnvironment {
  Bindings: { readonly incoming?: IncomingMessage; readonly outgoing?: ServerResponse };
  Variables: {
    /** Who asks: a token's name, or else an address. */
    client: string;
    /** Whether the engine has the request, and records how it ends. */
    isRecorded?: boolean;
    /** When the request was admitted, by `performance.now()`. */
    startMs: number;
    /** How long its body took from then, in ms. */
    uploadMs?: number;
    /** How long the stages took, of a request that has succeeded. */
    times?: StageTimes;
    /** The memory of the request's body, until it is answered. */
    body: Account;
    /** The memory of the answer, until it is sent. */
    answer: Account;
  };
}

/** A request and what belongs to it. */
export type Call = Context<HttpEnvironment>;

/** Answers a request. What it throws becomes the answer by the table of errors. */
export type Handler = (call: Call, services: HttpServices) => Response | Promise<Response>;

/** Returns Node's request, unless the app runs without Node's server. */
export function incomingOf(call: Call): IncomingMessage | undefined {
  // A call of `app.request` has no bindings at all.
  return (call.env as HttpEnvironment["Bindings"] | undefined)?.incoming;
}
