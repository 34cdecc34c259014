// The record of a request for work that was refused before the engine had it: logs and traces then know it, too.
import type { InferenceRecord, Outcome } from "../engine/types.js";
import type { ErrorKind, ServeError } from "../errors.js";
import type { Call, HttpServices } from "./context.js";
import type { Route } from "./routes.js";

const outcomes: Readonly<Partial<Record<ErrorKind, Outcome>>> = {
  CANCELED: "CANCELED",
  UNAVAILABLE: "REJECTED",
  RATE: "REJECTED",
};

/** The operations that the engine records. */
const kinds: Readonly<Record<string, InferenceRecord["kind"]>> = {
  infer: "infer",
  classify: "classify",
  embed: "embed",
  layers: "layers",
};

/**
 * Records a refusal, unless the engine has had the request, or it was none for work.
 * @param startMs when the request arrived, by `performance.now()`
 */
export function recordRefusal(
  call: Call,
  { operation }: Route,
  { engine }: HttpServices,
  { kind, status, message }: ServeError,
  startMs: number,
): void {
  const work = kinds[operation];
  if (work === undefined || call.get("isRecorded") === true) return;
  const length = Number(call.req.header("content-length"));
  engine.statistics.record({
    kind: work,
    // No model has had it. An unknown one would be a client's word.
    ...{ model: "", version: "", images: 0, runs: [] },
    client: call.get("client"),
    outcome: outcomes[kind] ?? "OTHER",
    ...{ status, message, startMs },
    totalMs: performance.now() - startMs,
    ...{ decodeMs: 0, queueMs: 0, runMs: 0, outputMs: 0 },
    protocol: "http",
    bytes: Number.isNaN(length) ? undefined : length,
    traceparent: call.req.header("traceparent"),
  });
}
