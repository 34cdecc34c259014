// What becomes known of one request while it is worked on, for the record of how it ended.
import type { CallTiming } from "vgg-cudnn";
import type { ErrorKind, ServeError } from "../errors.js";
import type { RequestTerms } from "../protocol/types.js";
import type { InferenceRecord, Outcome } from "./types.js";

const outcomes: Readonly<Partial<Record<ErrorKind, Outcome>>> = Object.freeze({
  UNAVAILABLE: "REJECTED",
  TIMED_OUT: "REJECTED",
  CANCELED: "CANCELED",
  INTERNAL: "BACKEND",
});

/** Collects the times of a request. */
export class Recording {
  model = { name: "", version: "" };
  images = 0;
  readonly #kind: InferenceRecord["kind"];
  readonly #request: RequestTerms & { readonly id?: string | undefined };
  readonly #startMs = performance.now();
  readonly #timings: CallTiming[] = [];
  /** When the last run ended; 0 before one has. */
  #runEndMs = 0;

  constructor(
    kind: InferenceRecord["kind"],
    request: RequestTerms & { readonly id?: string | undefined },
  ) {
    this.#kind = kind;
    this.#request = request;
  }

  /** Adds the times of images that ran together. */
  readonly add = (timing: CallTiming): void => {
    this.#timings.push(timing);
    this.#runEndMs = performance.now();
  };

  success(): InferenceRecord {
    return { ...this.#common(), outcome: "SUCCESS", status: 200 };
  }

  failure({ kind, status, message }: ServeError): InferenceRecord {
    return { ...this.#common(), outcome: outcomes[kind] ?? "OTHER", status, message };
  }

  #common(): Omit<InferenceRecord, "outcome" | "status"> {
    const { id, client, origin } = this.#request;
    const now = performance.now();
    // Runs of one request may overlap, so that the longest one counts.
    const longest = (name: "decodeMs" | "queueMs" | "runMs") =>
      this.#timings.reduce((most, timing) => Math.max(most, timing[name]), 0);
    return {
      kind: this.#kind,
      model: this.model.name,
      version: this.model.version,
      id,
      client,
      images: this.images,
      startMs: this.#startMs,
      totalMs: now - this.#startMs,
      decodeMs: longest("decodeMs"),
      queueMs: longest("queueMs"),
      runMs: longest("runMs"),
      outputMs: this.#runEndMs === 0 ? 0 : now - this.#runEndMs,
      runs: this.#timings
        .filter(({ batchSize }) => batchSize > 0)
        .map(({ batchSize, images }) => ({ batchSize, images })),
      ...origin,
    };
  }
}
