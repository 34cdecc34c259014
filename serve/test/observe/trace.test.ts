// Trace context and spans.
import * as api from "@opentelemetry/api";
import { afterEach, describe, expect, it } from "vitest";
import { openTracer } from "../../lib/observe/trace.ts";
import { parseTraceparent } from "../../lib/observe/traceparent.ts";
import { recordOf } from "./records.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const parentId = "b7ad6b7169203331";

describe("parseTraceparent", () => {
  it("reads the header of the standard", () => {
    expect(parseTraceparent(`00-${traceId}-${parentId}-01`)).toEqual({
      traceId,
      parentId,
      sampled: true,
    });
    expect(parseTraceparent(`00-${traceId}-${parentId}-00`)?.sampled).toBe(false);
  });

  it("reads a later version, which may have more fields", () => {
    expect(parseTraceparent(`cc-${traceId}-${parentId}-01-more`)).toMatchObject({ traceId });
  });

  it.each([
    undefined,
    null,
    "",
    "00",
    `ff-${traceId}-${parentId}-01`,
    `00-${traceId}-${parentId}-01-more`,
    `00-${traceId.toUpperCase()}-${parentId}-01`,
    `00-${"0".repeat(32)}-${parentId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId}-${parentId}-1`,
    "x".repeat(100_000),
  ])("refuses %j", (header) => {
    expect(parseTraceparent(header)).toBeNull();
  });
});

interface Written {
  name: string;
  parent: string | undefined;
  start: number;
  end: number;
  status: number | undefined;
}

/** Sets up a provider that keeps what spans say. */
function recordingProvider(): Written[] {
  const spans: Written[] = [];
  let count = 0;
  const tracer = {
    startSpan(name: string, options: api.SpanOptions, context: api.Context) {
      const parent = api.trace.getSpanContext(context);
      count += 1;
      const own = { traceId, spanId: String(count).padStart(16, "0"), traceFlags: 1 };
      const span: Written = {
        name,
        parent: parent?.spanId,
        start: Number(options.startTime),
        end: 0,
        status: undefined,
      };
      spans.push(span);
      return {
        spanContext: () => own,
        setStatus: ({ code }: api.SpanStatus) => {
          span.status = code;
        },
        end: (time: number) => {
          span.end = time;
        },
      };
    },
  };
  api.trace.setGlobalTracerProvider({ getTracer: () => tracer } as never);
  return spans;
}

describe("a tracer", () => {
  afterEach(() => api.trace.disable());

  it("writes the request and its stages below the caller's span", async () => {
    const spans = recordingProvider();
    const tracer = await openTracer("0.1.0");
    tracer?.(recordOf({ traceparent: `00-${traceId}-${parentId}-01` }));
    const start = performance.timeOrigin + 1000;
    const request = "1".padStart(16, "0");
    expect(spans).toEqual([
      { name: "vgg infer", parent: parentId, start, end: start + 20, status: undefined },
      { name: "decode", parent: request, start, end: start + 3, status: undefined },
      { name: "queue", parent: request, start: start + 3, end: start + 8, status: undefined },
      { name: "run", parent: request, start: start + 8, end: start + 18, status: undefined },
    ]);
  });

  it("starts a trace without a caller, and marks an error", async () => {
    const spans = recordingProvider();
    const tracer = await openTracer("0.1.0");
    tracer?.(
      recordOf({ outcome: "REJECTED", status: 503, decodeMs: 0, queueMs: 0, runMs: 0, runs: [] }),
    );
    expect(spans).toMatchObject([{ parent: undefined, status: api.SpanStatusCode.ERROR }]);
  });

  it("does nothing without an SDK", async () => {
    const tracer = await openTracer("0.1.0");
    expect(() => tracer?.(recordOf())).not.toThrow();
  });

  it("is absent without the package", async () => {
    const absent = async () => {
      throw new Error("Cannot find package");
    };
    expect(await openTracer("0.1.0", absent)).toBeNull();
  });
});
