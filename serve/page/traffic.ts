// The queue and the throughput of the model, from the server's statistics.
import { byId, make, milliseconds, sentenceOf } from "./dom.js";
import { statistics, type VersionStatistics } from "./server.js";
import { drawSparkline } from "./sparkline.js";

const everyMs = 2000;
/** Two minutes. */
const mostSamples = 60;

/** The sums of all versions of a model at one time. */
interface Sums {
  readonly timeMs: number;
  readonly images: number;
  readonly runs: number;
  readonly requests: number;
  readonly failed: number;
  readonly queueNs: number;
  readonly runNs: number;
}

const list = byId("traffic", HTMLElement);
const problem = byId("traffic-problem", HTMLElement);
const line = byId("sparkline", SVGSVGElement);

let samples: Sums[] = [];

/** Reads the statistics again and again, while the page can be seen. */
export async function watchTraffic(modelOf: () => string): Promise<never> {
  let model = "";
  for (;;) {
    const present = modelOf();
    if (present !== model) samples = [];
    model = present;
    if (model !== "" && !document.hidden) await read(model);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

async function read(model: string): Promise<void> {
  try {
    samples.push(sumsOf(await statistics(model)));
    if (samples.length > mostSamples + 1) samples.shift();
    problem.hidden = true;
    draw();
  } catch (error) {
    problem.textContent = sentenceOf(error);
    problem.hidden = false;
  }
}

function sumsOf(versions: readonly VersionStatistics[]): Sums {
  const sum = (pick: (stats: VersionStatistics) => number) =>
    versions.reduce((total, stats) => total + pick(stats), 0);
  return {
    timeMs: performance.now(),
    images: sum((stats) => stats.inference_count),
    runs: sum((stats) => stats.execution_count),
    requests: sum((stats) => stats.inference_stats.success.count),
    failed: sum((stats) => stats.inference_stats.fail.count),
    queueNs: sum((stats) => stats.inference_stats.queue.ns),
    runNs: sum((stats) => stats.inference_stats.compute_infer.ns),
  };
}

function draw(): void {
  const first = samples[0]!;
  const last = samples.at(-1)!;
  const change = (name: keyof Sums) => Math.max(0, last[name] - first[name]);
  const requests = change("requests");
  const mean = (name: "queueNs" | "runNs") =>
    requests === 0 ? "–" : milliseconds(change(name) / requests / 1e6);
  const rates = samples.slice(1).map((sample, index) => rateOf(samples[index]!, sample));
  const figures = {
    "Images a second": (rates.at(-1) ?? 0).toFixed(1),
    "Mean queue": mean("queueNs"),
    "Mean run": mean("runNs"),
    "Images of a run": change("runs") === 0 ? "–" : (change("images") / change("runs")).toFixed(1),
    Requests: String(requests),
    Failed: String(change("failed")),
  };
  list.replaceChildren(
    ...Object.entries(figures).map(([name, value]) =>
      make("div", "", make("dt", "", name), make("dd", "", value)),
    ),
  );
  drawSparkline(line, rates, mostSamples);
}

/** Images per second. */
function rateOf(before: Sums, after: Sums): number {
  const seconds = (after.timeMs - before.timeMs) / 1000;
  return seconds <= 0 ? 0 : Math.max(0, (after.images - before.images) / seconds);
}
