// Spans of requests for OpenTelemetry, if the program has set it up: request, decode, queue, run.
import type * as OpenTelemetry from "@opentelemetry/api";
import type { InferenceRecord } from "../engine/types.js";
import { parseTraceparent } from "./traceparent.js";

/** Writes the spans of one request that has ended. */
export type RequestTracer = (record: InferenceRecord) => void;

/**
 * Returns a tracer, or null if @opentelemetry/api is not installed. Without an SDK in the program its spans go nowhere.
 * @param load imports the package; a test passes its own
 * @example
 * const tracer = await openTracer(version);
 * if (tracer !== null) statistics.onRecord(tracer);
 */
export async function openTracer(
  version: string,
  load: () => Promise<typeof OpenTelemetry> = () => import("@opentelemetry/api"),
): Promise<RequestTracer | null> {
  let api: typeof OpenTelemetry;
  try {
    api = await load();
  } catch {
    return null;
  }
  const tracer = api.trace.getTracer("vgg-cudnn-serve", version);
  return (record) => writeSpans(api, tracer, record);
}

function writeSpans(
  api: typeof OpenTelemetry,
  tracer: OpenTelemetry.Tracer,
  record: InferenceRecord,
): void {
  const caller = parseTraceparent(record.traceparent);
  const root = api.ROOT_CONTEXT;
  const parent =
    caller === null
      ? root
      : api.trace.setSpanContext(root, {
          traceId: caller.traceId,
          spanId: caller.parentId,
          traceFlags: caller.sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
          isRemote: true,
        });
  const start = performance.timeOrigin + record.startMs;
  const span = tracer.startSpan(
    `vgg ${record.kind}`,
    { kind: api.SpanKind.SERVER, startTime: start, attributes: attributesOf(record) },
    parent,
  );
  if (record.outcome !== "SUCCESS")
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: record.message ?? record.outcome });
  const inside = api.trace.setSpan(parent, span);
  for (const [name, from, to] of stagesOf(record, start))
    tracer.startSpan(name, { startTime: from }, inside).end(to);
  span.end(start + record.totalMs);
}

/** Returns each stage with its start and end. The stages follow one another; those that did not happen are absent. */
function stagesOf(record: InferenceRecord, start: number): [string, number, number][] {
  const stages: [string, number, number][] = [];
  let at = start;
  for (const [name, ms] of [
    ["decode", record.decodeMs],
    ["queue", record.queueMs],
    ["run", record.runMs],
  ] as const) {
    if (ms > 0) stages.push([name, at, at + ms]);
    at += ms;
  }
  return stages;
}

function attributesOf(record: InferenceRecord): OpenTelemetry.Attributes {
  const batchSize = record.runs[0]?.batchSize;
  return {
    "vgg.model": record.model,
    "vgg.version": record.version,
    "vgg.images": record.images,
    "http.response.status_code": record.status,
    ...(batchSize !== undefined && { "vgg.batch_size": batchSize }),
    ...(record.protocol !== undefined && { "network.protocol.name": record.protocol }),
  };
}
