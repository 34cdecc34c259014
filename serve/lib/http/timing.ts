// The header that tells a client how long the stages of its request took.
import type { Call } from "./context.js";
import { timingHeader } from "./headers.js";

/** Returns the header for the answer to a request that has run: upload, decode, queue and run in ms. */
export function timingOf(call: Call): Record<string, string> {
  const times = call.get("times");
  if (times === undefined) return {};
  const { decodeMs, queueMs, runMs } = times;
  const upload = call.get("uploadMs") ?? 0;
  const stages = { upload, decode: decodeMs, queue: queueMs, run: runMs };
  const parts = Object.entries(stages).map(([name, ms]) => `${name};dur=${ms.toFixed(3)}`);
  return { [timingHeader]: parts.join(", ") };
}
