// One call as HTTP/2 brings it: who may make it is decided before its body is read, and nothing that a client sends may throw.
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { type ConnectRouter, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { ApiGroup } from "../access/tokens.js";
import { grpcCodes, ServeError } from "../errors.js";
import { type ByteBudget, type Call, CallBytes, callKey, type Gate } from "./call.js";
import { failureOf, messageOf, toConnectError, trailersOf } from "./errors.js";

export interface HandlerSettings {
  readonly gate: Gate;
  readonly budget: ByteBudget;
  /** A message of a unary call must be here after this time. */
  readonly bodyTimeoutMs: number;
  /** Is told of errors that are defects of the server. */
  readonly onDefect: (error: unknown) => void;
}

/** The group of each call. The others are "metadata", as is the repository's index: clients ask for it without a token. */
const groups: Readonly<Record<string, ApiGroup>> = {
  ServerLive: "health",
  ServerReady: "health",
  ModelReady: "health",
  Check: "health",
  List: "health",
  Watch: "health",
  ModelInfer: "inference",
  ModelStreamInfer: "inference",
  ModelConfig: "model-config",
  ModelStatistics: "statistics",
  RepositoryModelLoad: "model-repository",
  RepositoryModelUnload: "model-repository",
};

/** setTimeout takes no more, and connect's deadline is one. */
const maxTimeoutMs = 2 ** 31 - 1;

/** Returns the listener of an HTTP/2 server's requests. */
export function createHandler(
  router: ConnectRouter,
  settings: HandlerSettings,
): (request: Http2ServerRequest, response: Http2ServerResponse) => void {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    // Without listeners an error of a stream would end the process.
    for (const emitter of [request, response, request.stream]) emitter.on("error", () => {});
    try {
      const handler = handlers.get(request.url);
      if (handler === undefined) refuse(response, unknownCall(request));
      else serve(handler, request, response, settings);
    } catch (error) {
      refuse(response, failureOf(error));
    }
  };
}

function serve(
  handler: UniversalHandler,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  { gate, budget, bodyTimeoutMs, onDefect }: HandlerSettings,
): void {
  const group = groups[handler.method.name] ?? "metadata";
  const { authorization } = request.headers;
  const address = request.socket.remoteAddress;
  const client = gate.admit(group, authorization, address);
  clampTimeout(request);
  const bytes = new CallBytes(budget);
  const call: Call = {
    client,
    wasRead: false,
    takeMessage() {
      if (call.wasRead) gate.admit(group, authorization, address);
      call.wasRead = true;
      return bytes.take();
    },
    hold: (count) => bytes.hold(count),
    release: (count) => bytes.release(count),
    onDefect,
  };
  const contextValues = createContextValues().set(callKey, call);
  const universal = readRequestHeaders(request, response, contextValues);
  const isStream = handler.method.methodKind === "bidi_streaming";
  const timer = isStream
    ? undefined
    : setTimeout(() => refuse(response, lateBody(bodyTimeoutMs)), bodyTimeoutMs).unref();
  response.once("close", () => {
    clearTimeout(timer);
    bytes.end();
  });
  const body = readBody(request, bytes, () => clearTimeout(timer));
  handler({ ...universal, body })
    .then((answer) => {
      // The trailers go out in the next turn of the event loop, and the end of the upload must follow them.
      response.stream.once("wantTrailers", () => {
        setImmediate(() => setImmediate(() => endUpload(response)));
      });
      return universalResponseToNodeResponse(mended(answer, call), response);
    })
    .catch(() => {
      // The client has left, or does not take the answer.
      if (!response.stream.destroyed) response.stream.close(constants.NGHTTP2_CANCEL);
    });
}

/**
 * Mends what connect writes into the trailers, which are there when the body has ended. It encodes more of a message
 * than grpc-js decodes. A message that could not be read is INTERNAL, which is a defect here: it is INVALID_ARGUMENT.
 */
function mended(answer: UniversalServerResponse, call: Call): UniversalServerResponse {
  const { body, trailer } = answer;
  if (body === undefined || trailer === undefined) return answer;
  return {
    ...answer,
    body: (async function* () {
      yield* body;
      const message = trailer.get("grpc-message");
      if (message !== null) trailer.set("grpc-message", encodeURI(decodeURIComponent(message)));
      if (!call.wasRead && trailer.get("grpc-status") === String(grpcCodes.INTERNAL))
        trailer.set("grpc-status", String(grpcCodes.INVALID_ARGUMENT));
    })(),
  };
}

/** @throws {ServeError} INVALID: the headers make no address, or cannot be read */
function readRequestHeaders(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  contextValues: ReturnType<typeof createContextValues>,
): ReturnType<typeof universalRequestFromNodeRequest> {
  try {
    return universalRequestFromNodeRequest(request, response, undefined, contextValues);
  } catch (cause) {
    throw new ServeError("INVALID", "Expected valid headers, with :authority or host", { cause });
  }
}

/** Yields the chunks of a body while the budget of bytes allows it. */
async function* readBody(
  request: Http2ServerRequest,
  bytes: CallBytes,
  onEnd: () => void,
): AsyncGenerator<Uint8Array> {
  // connect's own reader destroys the stream if it stops early, and the client learns no status.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    try {
      bytes.arrived(chunk.length);
    } catch (error) {
      throw toConnectError(failureOf(error));
    }
    yield chunk;
  }
  onEnd();
}

/** Answers with a status before, or without, a message. */
function refuse(response: Http2ServerResponse, error: ServeError): void {
  const { stream } = response;
  if (stream.destroyed || stream.headersSent) return;
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": error.grpcCode,
      "grpc-message": encodeURI(messageOf(error)),
      ...trailersOf(error),
    },
    { endStream: true },
  );
  endUpload(response);
}

/**
 * Tells a client that has not sent all of its message that nobody reads the rest, and drops what has come.
 * Otherwise Node keeps the stream with its bytes until the connection ends.
 */
function endUpload({ stream }: Http2ServerResponse): void {
  if (stream.destroyed) return;
  if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
  const drop = () => setImmediate(() => stream.destroy());
  if (stream.writableFinished) drop();
  else stream.once("finish", drop);
}

function unknownCall(request: Http2ServerRequest): ServeError {
  const path = request.url.slice(0, 200);
  return new ServeError("METHOD", `The server has no call ${path}`);
}

function lateBody(ms: number): ServeError {
  return new ServeError("TIMED_OUT", `Expected the whole message within ${ms / 1000} s`);
}

/** Removes a deadline that is too far away for a timer: it would fire at once. */
function clampTimeout(request: Http2ServerRequest): void {
  const match = /^(\d{1,8})([HMS])$/.exec(String(request.headers["grpc-timeout"] ?? ""));
  if (match === null) return;
  const unitMs = { H: 3_600_000, M: 60_000, S: 1000 }[match[2] as "H" | "M" | "S"];
  if (Number(match[1]) * unitMs > maxTimeoutMs) delete request.headers["grpc-timeout"];
}
