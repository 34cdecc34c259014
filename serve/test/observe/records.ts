// A record of a request, for tests of what is made of records.
import type { InferenceRecord } from "../../lib/engine/types.ts";

/** A request of one image that succeeded alone, with some fields changed. */
export function recordOf(changes: Partial<InferenceRecord> = {}): InferenceRecord {
  return {
    kind: "infer",
    model: "vgg11",
    version: "1",
    client: "127.0.0.1",
    images: 1,
    outcome: "SUCCESS",
    status: 200,
    startMs: 1000,
    totalMs: 20,
    decodeMs: 3,
    queueMs: 5,
    runMs: 10,
    outputMs: 1,
    runs: [{ batchSize: 1, images: 1 }],
    ...changes,
  };
}
