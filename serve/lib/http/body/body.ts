// Reads the body of a request within limits: refused before the upload where its length is known, unpacked within a bound.
import { createGunzip, createInflate } from "node:zlib";
import { ServeError } from "../../errors.js";
import { shown } from "../../protocol/expected.js";
import { type Call, incomingOf } from "../context.js";
import { goOn } from "./expect.js";
import type { Account } from "./held-bytes.js";

/** The encodings that a body may have; the answer to another one names them. */
export const bodyEncodings = "gzip, deflate";

const unpackers = { gzip: createGunzip, deflate: createInflate } as const;

/** The most that a buffer has at first: to declare a length costs a client nothing. */
const firstBytes = 2 ** 20;
/** The first buffer of a body whose length is unknown. */
const unknownBytes = 2 ** 16;

/** A limit, and what its refusal says. */
export interface BodyLimit {
  readonly bytes: number;
  /** Follows "at most N bytes": of what, and after a semicolon what to do. */
  readonly advice: string;
}

/**
 * Reads the whole body and unpacks it.
 * @throws {ServeError} ENCODING, TOO_LARGE, INVALID (not what its encoding promises), UNAVAILABLE, CANCELED
 */
export async function readBody(call: Call, limit: BodyLimit): Promise<Uint8Array<ArrayBuffer>> {
  const unpack = unpackerOf(call.req.header("content-encoding"));
  const declared = Number(call.req.header("content-length") ?? Number.NaN);
  if (declared > limit.bytes) throw tooLarge(limit);
  const account = call.get("body");
  const packed = await collect(chunksOf(call), declared, limit, account).catch((cause) => {
    if (cause instanceof ServeError) throw cause;
    throw new ServeError("CANCELED", "The client left before its body was complete", { cause });
  });
  if (unpack === undefined || packed.length === 0) return packed;
  const unpacking = unpack({ chunkSize: unknownBytes });
  unpacking.end(packed);
  return collect(unpacking, Number.NaN, limit, account).catch((cause) => {
    if (cause instanceof ServeError) throw cause;
    const encoding = shown(call.req.header("content-encoding"));
    throw new ServeError("INVALID", `Expected a body in ${encoding} but it cannot be unpacked`);
  });
}

function unpackerOf(encoding = "identity") {
  const name = encoding.trim().toLowerCase().replace(/^x-/, "");
  if (name === "identity" || name === "") return undefined;
  if (Object.hasOwn(unpackers, name)) return unpackers[name as keyof typeof unpackers];
  throw new ServeError(
    "ENCODING",
    `Expected one of ${bodyEncodings} for Content-Encoding but received ${shown(encoding)}`,
  );
}

function tooLarge({ bytes, advice }: BodyLimit): ServeError {
  return new ServeError("TOO_LARGE", `Expected a body of at most ${bytes} bytes${advice}`);
}

/** Returns the body's pieces. A reader that stops early leaves the connection as it is. */
function chunksOf(call: Call): AsyncIterable<Uint8Array> {
  const incoming = incomingOf(call);
  if (incoming === undefined) return call.req.raw.body ?? emptyBody();
  if (incoming.readableDidRead)
    throw new Error("Expected an unread body: mount vgg-cudnn-serve before what parses bodies");
  goOn(incoming, call.env.outgoing);
  return incoming.iterator({ destroyOnReturn: false });
}

async function* emptyBody(): AsyncGenerator<Uint8Array> {}

/** Joins pieces. Each is copied, so that a body of many small pieces takes no more than twice its bytes. */
async function collect(
  chunks: AsyncIterable<Uint8Array>,
  declared: number,
  limit: BodyLimit,
  account: Account,
): Promise<Uint8Array<ArrayBuffer>> {
  const isKnown = !Number.isNaN(declared);
  let buffer = Buffer.allocUnsafeSlow(isKnown ? Math.min(declared, firstBytes) : unknownBytes);
  let length = 0;
  for await (const chunk of chunks) {
    const end = length + chunk.length;
    if (end > limit.bytes) throw tooLarge(limit);
    account.take(chunk.length);
    if (end > buffer.length) {
      const doubled = isKnown ? Math.min(2 * buffer.length, declared) : 2 * buffer.length;
      const larger = Buffer.allocUnsafeSlow(Math.max(end, doubled));
      larger.set(buffer.subarray(0, length));
      buffer = larger;
    }
    buffer.set(chunk, length);
    length = end;
  }
  return buffer.subarray(0, length) as Uint8Array<ArrayBuffer>;
}
