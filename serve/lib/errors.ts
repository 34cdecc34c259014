// The one error of the server, and how the library's errors become it. HTTP and gRPC each have their own status.
import { type ErrorCode, VggError } from "vgg-cudnn";

/** gRPC's status codes that the server uses. */
export const grpcCodes = Object.freeze({
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const);

/** What went wrong, with the status of each protocol. A front end adds headers and trailers by the kind. */
const kinds = Object.freeze({
  INVALID: { status: 400, grpc: "INVALID_ARGUMENT" },
  UNAUTHENTICATED: { status: 401, grpc: "UNAUTHENTICATED" },
  NOT_FOUND: { status: 404, grpc: "NOT_FOUND" },
  METHOD: { status: 405, grpc: "UNIMPLEMENTED" },
  TOO_LARGE: { status: 413, grpc: "RESOURCE_EXHAUSTED" },
  ENCODING: { status: 415, grpc: "UNIMPLEMENTED" },
  RATE: { status: 429, grpc: "RESOURCE_EXHAUSTED" },
  CANCELED: { status: 499, grpc: "CANCELLED" },
  INTERNAL: { status: 500, grpc: "INTERNAL" },
  UNAVAILABLE: { status: 503, grpc: "UNAVAILABLE" },
  TIMED_OUT: { status: 504, grpc: "DEADLINE_EXCEEDED" },
} as const);

/** A key of the table of errors. */
export type ErrorKind = keyof typeof kinds;

/** An error that a client is told. Its message has no stack, path or address of the server. */
export class ServeError extends Error {
  override readonly name = "ServeError";
  readonly kind: ErrorKind;
  /** The status of HTTP. 499, the client has left, is only logged. */
  readonly status: number;
  /** The status of gRPC. */
  readonly grpcCode: number;
  /** When to try again, at least 1; undefined unless the same request may succeed later. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    kind: ErrorKind,
    message: string,
    options: ErrorOptions & { readonly retryAfterSeconds?: number } = {},
  ) {
    super(message, options);
    const { status, grpc } = kinds[kind];
    this.kind = kind;
    this.status = status;
    this.grpcCode = grpcCodes[grpc];
    const mayRetry = kind === "UNAVAILABLE" || kind === "RATE";
    this.retryAfterSeconds = mayRetry
      ? Math.max(1, Math.ceil(options.retryAfterSeconds ?? 1))
      : undefined;
  }
}

/** What the library's codes are to a client. A code that is absent is a defect of the server or its configuration. */
const kindOfCode: Readonly<Partial<Record<ErrorCode, ErrorKind>>> = Object.freeze({
  IMAGE_FORMAT: "INVALID",
  IMAGE_CORRUPT: "INVALID",
  IMAGE_UNREADABLE: "INVALID",
  IMAGE_LIMIT: "INVALID",
  IMAGE_TOO_LARGE: "TOO_LARGE",
  IMAGE_TIMEOUT: "UNAVAILABLE",
  QUEUE_FULL: "UNAVAILABLE",
  OUT_OF_MEMORY: "UNAVAILABLE",
  DEVICE_LOST: "UNAVAILABLE",
  DISPOSED: "UNAVAILABLE",
  ABORTED: "CANCELED",
  TIMED_OUT: "TIMED_OUT",
});

/** Converts whatever was thrown. An unknown error is a defect: the client learns nothing of it but that it occurred. */
export function toServeError(error: unknown): ServeError {
  if (error instanceof ServeError) return error;
  if (!(error instanceof VggError)) {
    if (isAbort(error)) return new ServeError("CANCELED", "The client has left", { cause: error });
    return new ServeError("INTERNAL", "The server failed to answer; its log has the reason", {
      cause: error,
    });
  }
  const kind = kindOfCode[error.code];
  if (kind === undefined)
    return new ServeError("INTERNAL", "The server failed to answer; its log has the reason", {
      cause: error,
    });
  const { retryAfterMs } = error;
  return new ServeError(kind, messageOf(error), {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterSeconds: retryAfterMs / 1000 }),
  });
}

/** The words with which Triton refuses a request whose queue is full. Its clients look for them. */
const queueIsFull = "Exceeds maximum queue size";

function messageOf({ code, message }: VggError): string {
  if (code === "QUEUE_FULL" && !message.startsWith(queueIsFull))
    return `${queueIsFull}: ${message}`;
  // The library names the images of a request by their places in an array, and by their sizes.
  return message
    .replace(/^\w+\[(\d+)\], (a buffer|an image) of /, "image $1, of ")
    .replace(/^a buffer of /, "an image of ");
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
