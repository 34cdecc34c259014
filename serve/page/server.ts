// The calls of the server that the page makes.
import type { Label, Times } from "./images.js";
import { tokens } from "./token.js";

/** The server refused, with its own sentence. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Calls the server. If it asks for a token, the page does, and the call is made again.
 * @throws {Refusal} @throws {TypeError} the server cannot be reached
 */
async function call(path: string, init: RequestInit = {}, mayAsk = true): Promise<Response> {
  for (;;) {
    const headers = new Headers(init.headers);
    const used = tokens.present;
    if (used !== "") headers.set("Authorization", `Bearer ${used}`);
    const answer = await fetch(path, { ...init, headers, cache: "no-store" }).catch(() => {
      throw new TypeError("The server cannot be reached");
    });
    if (answer.ok) return answer;
    const text = await answer.text();
    if (answer.status !== 401 || !mayAsk) throw new Refusal(answer.status, reasonOf(text, answer));
    await tokens.ask(used);
  }
}

function reasonOf(text: string, { status, headers }: Response): string {
  const retry = headers.get("retry-after");
  const advice = retry === null ? "" : `. Try again in ${retry} s`;
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (typeof error === "string") return error + advice;
  } catch {
    // A proxy may answer with another text.
  }
  return `The server answered with status ${status}${advice}`;
}

const json = async <Value>(answer: Promise<Response>) => (await (await answer).json()) as Value;

/** Returns the names of the models. */
export async function models(): Promise<readonly string[]> {
  return (await json<{ models: string[] }>(call("v2/models"))).models;
}

/** Returns the layers of a model with their shapes. */
export async function layersOf(
  model: string,
): Promise<readonly { readonly name: string; readonly shape: readonly number[] }[]> {
  const query = new URLSearchParams({ model });
  return (await json<{ layers: { name: string; shape: number[] }[] }>(call(`layers?${query}`)))
    .layers;
}

/** Returns the best classes of an image, and the time of each stage. */
export async function classify(
  model: string,
  image: Blob,
): Promise<{ readonly labels: readonly Label[]; readonly times: Times }> {
  const start = performance.now();
  const answer = await call(`classify?${new URLSearchParams({ model })}`, post(image));
  const labels = (await answer.json()) as Label[];
  const total = performance.now() - start;
  return { labels, times: { ...stagesOf(answer.headers.get("server-timing") ?? ""), total } };
}

/** Returns the embedding of an image, of L2 norm 1. */
export async function embed(model: string, image: Blob): Promise<Float32Array> {
  const query = new URLSearchParams({ model, normalize: "true" });
  const bytes = { Accept: "application/octet-stream" };
  const answer = await call(`embed?${query}`, post(image, bytes));
  return new Float32Array(await answer.arrayBuffer());
}

/** Returns a PNG of the channels of a layer, and the shape of its output. */
export async function tiles(
  options: { readonly model: string; readonly layer: string; readonly channels: string },
  image: Blob,
  signal: AbortSignal,
): Promise<{ readonly png: Blob; readonly shape: readonly number[] }> {
  const init = { ...post(image), signal };
  const answer = await call(`layers?${new URLSearchParams({ ...options })}`, init);
  const shape = (answer.headers.get("tensor-shape") ?? "").split(",").map(Number);
  return { png: await answer.blob(), shape };
}

/** A sum of times: how often, and nanoseconds in all. */
interface Duration {
  readonly count: number;
  readonly ns: number;
}

/** The part of a version's statistics that the page shows. */
export interface VersionStatistics {
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: Readonly<
    Record<"success" | "fail" | "queue" | "compute_infer", Duration>
  >;
}

/** Returns the statistics of each version of a model. It never asks for a token. */
export async function statistics(model: string): Promise<readonly VersionStatistics[]> {
  const path = `v2/models/${encodeURIComponent(model)}/stats`;
  return (await json<{ model_stats: VersionStatistics[] }>(call(path, {}, false))).model_stats;
}

function post(body: Blob, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    body,
    headers: { ...headers, "Content-Type": "application/octet-stream" },
  };
}

/** Reads a header Server-Timing. */
function stagesOf(header: string): Omit<Times, "total"> {
  const stage = (name: string) =>
    Number(new RegExp(`\\b${name};dur=([\\d.]+)`).exec(header)?.[1] ?? 0);
  return {
    upload: stage("upload"),
    decode: stage("decode"),
    queue: stage("queue"),
    run: stage("run"),
  };
}
