// Clients that ask before they send a body ("Expect: 100-continue"): they are told to go on when the body is read.
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

const waiting = new WeakSet<IncomingMessage>();

/**
 * Makes the listener of a server's `checkContinue` event. A refusal then arrives before the upload.
 * @example
 * server.on("checkContinue", onCheckContinue(listener));
 */
export function onCheckContinue(listener: RequestListener): RequestListener {
  return (request, response) => {
    waiting.add(request);
    return listener(request, response);
  };
}

/** Whether the client waits for a word before it sends its body. */
export function isWaiting(request: IncomingMessage): boolean {
  return waiting.has(request);
}

/** Tells the client to send its body, if it waits for that. */
export function goOn(request: IncomingMessage, response: ServerResponse | undefined): void {
  if (waiting.delete(request)) response?.writeContinue();
}
