// What every request for work says besides its data: priority, deadline, client, and the signal of a client that leaves.
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import type { RequestTerms } from "../protocol/types.js";
import type { Call } from "./context.js";

/**
 * Returns the terms of a request that goes to the engine now.
 * @param bytes the bytes of its body, unpacked
 * @param timeoutMs undefined or 0: the client sets no deadline in the request itself
 */
export function termsOf(
  call: Call,
  bytes: number,
  priority: number | undefined,
  timeoutMs: number | undefined,
): RequestTerms {
  call.set("isRecorded", true);
  // Envoy tells how long it will wait.
  const envoy = call.req.header("x-envoy-expected-rq-timeout-ms") ?? "";
  const envoyMs = /^\d{1,12}$/.test(envoy) ? Number(envoy) : 0;
  const deadline = Math.min(
    timeoutMs || Number.POSITIVE_INFINITY,
    envoyMs || Number.POSITIVE_INFINITY,
  );
  return {
    priority: priority ?? 0,
    ...(Number.isFinite(deadline) && { timeoutMs: deadline }),
    client: call.get("client"),
    signal: signalOf(call),
    onTimes: (times) => call.set("times", times),
    origin: { protocol: "http", bytes, traceparent: call.req.header("traceparent") },
  };
}

/** Returns a signal whose reason is an error of the table when the client leaves. */
function signalOf(call: Call): AbortSignal {
  const { signal } = call.req.raw;
  const controller = new AbortController();
  const leave = () => controller.abort(new ServeError("CANCELED", "The client has left"));
  if (signal.aborted) leave();
  else signal.addEventListener("abort", leave, { once: true });
  return controller.signal;
}

/** The options of a call that come in its address, such as `?top=5`. */
export type QueryOptions<Name extends string> = Readonly<Partial<Record<Name, string>>>;

/**
 * Reads the options in the address. @throws {ServeError} INVALID: an option of another name, or one that is given twice
 */
export function queryOptions<Name extends string>(
  call: Call,
  known: readonly Name[],
): QueryOptions<Name> {
  const options: Partial<Record<Name, string>> = {};
  for (const [name, values] of Object.entries(call.req.queries())) {
    if (!known.includes(name as Name))
      throw invalid(`only the options ${known.join(", ")}`, "the address", name);
    if (values.length > 1) throw invalid("one value", name, values);
    options[name as Name] = values[0]!;
  }
  return options;
}

/** Reads a whole number in the address. @throws {ServeError} INVALID */
export function countOption(
  text: string | undefined,
  name: string,
  min: number,
): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text) && Number(text) >= min) return Number(text);
  throw invalid(`an integer from ${min} to 999999999`, name, text);
}
