// Answers that are sent before the body was read: the connection is kept for a small body, and closed for a large one.
import type { IncomingMessage } from "node:http";
import { type Call, incomingOf } from "../context.js";
import { isWaiting } from "./expect.js";

/** Node reads and drops what is left of a body of this size, and keeps the connection. */
const smallBytes = 2 ** 16;
/** How long, and for how many bytes, the rest of a large body is dropped before the connection ends. */
const lingerMs = 1000;
const lingerBytes = 2 ** 26;

/**
 * Returns the answer, made ready for a body that was not read. If the rest is large, the client has the whole answer at
 * once, and the connection ends a little later: a connection that ends while data arrives could lose the answer.
 */
export async function afterUnreadBody(call: Call, answer: Response): Promise<Response> {
  const incoming = incomingOf(call);
  if (incoming === undefined || incoming.complete || isWaiting(incoming)) return answer;
  // HTTP/2 ends the stream, not the connection.
  if (incoming.httpVersionMajor > 1) return answer;
  const { "content-length": length, "transfer-encoding": transfer } = incoming.headers;
  const isSmall = transfer === undefined && Number(length ?? 0) <= smallBytes;
  if (isSmall) return answer;
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const headers = new Headers(answer.headers);
  headers.set("Connection", "close");
  // With its length the answer is whole before the stream ends.
  headers.set("Content-Length", String(bytes.length));
  const lingering = new ReadableStream({
    start: (controller) => controller.enqueue(bytes),
    async pull(controller) {
      await drop(incoming);
      controller.close();
    },
  });
  return new Response(lingering, { status: answer.status, headers });
}

/** Reads and drops the rest of a body, within bounds. */
function drop(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    const count = (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes > lingerBytes) end();
    };
    const end = () => {
      clearTimeout(timer);
      incoming.off("data", count);
      for (const event of ["end", "close", "error"]) incoming.off(event, end);
      resolve();
    };
    const timer = setTimeout(end, lingerMs);
    incoming.on("data", count);
    for (const event of ["end", "close", "error"]) incoming.once(event, end);
    incoming.resume();
  });
}
