// Errors as gRPC has them: a status, a message, and the time after which a client may try again.
import { Code, ConnectError } from "@connectrpc/connect";
import { ServeError, toServeError } from "../errors.js";

/** A longer message is cut: clients accept some kilobytes of headers, and a character can take nine bytes of them. */
const maxMessage = 800;

/** Returns the message of an error in the form that a header can carry. */
export function messageOf({ message }: ServeError): string {
  const short = message.length > maxMessage ? `${message.slice(0, maxMessage)}…` : message;
  // Half of a surrogate pair cannot be encoded as a header; UTF-8 replaces it.
  return Buffer.from(short, "utf8").toString("utf8");
}

/** Returns the trailers of an error besides its status and message. */
export function trailersOf({ retryAfterSeconds }: ServeError): Record<string, string> {
  if (retryAfterSeconds === undefined) return {};
  return { "grpc-retry-pushback-ms": String(retryAfterSeconds * 1000) };
}

export function toConnectError(failure: ServeError): ConnectError {
  // connect's codes are gRPC's.
  return new ConnectError(messageOf(failure), failure.grpcCode, trailersOf(failure));
}

/**
 * Returns the error of the server's table for whatever a call threw.
 * @param signal the call's: a cancel because the deadline has passed is TIMED_OUT
 */
export function failureOf(error: unknown, signal?: AbortSignal): ServeError {
  const isReason = signal?.aborted === true && error === signal.reason;
  const failure = isReason
    ? new ServeError("CANCELED", "The client has left")
    : toServeError(error);
  if (failure.kind !== "CANCELED" || !hasDeadlinePassed(signal)) return failure;
  return new ServeError("TIMED_OUT", "Request timeout expired", { cause: error });
}

function hasDeadlinePassed(signal: AbortSignal | undefined): boolean {
  const reason: unknown = signal?.aborted ? signal.reason : undefined;
  return reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}
