// The metrics as Prometheus reads them.
import { afterEach, describe, expect, it } from "vitest";
import { type MetricSources, Metrics } from "../../lib/observe/metrics.ts";
import { ModelCounts } from "../../lib/observe/statistics.ts";
import { recordOf } from "./records.ts";

const open: Metrics[] = [];
afterEach(() => {
  for (const metrics of open.splice(0)) metrics.close();
});

function metricsOf(sources: Partial<MetricSources> = {}): [Metrics, ModelCounts] {
  const statistics = new ModelCounts();
  statistics.add("vgg11", "1");
  const metrics = new Metrics({ statistics, ...sources });
  open.push(metrics);
  return [metrics, statistics];
}

/** Reads the text format: each series with its value. Throws on a line that is none. */
async function seriesOf(metrics: Metrics): Promise<Map<string, number>> {
  const series = new Map<string, number>();
  for (const line of (await metrics.text()).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^([a-z_]+(?:\{[a-z_]+="[^"\n]*"(?:,[a-z_]+="[^"\n]*")*\})?) (\S+)$/.exec(line);
    if (match === null || Number.isNaN(Number(match[2]))) throw new Error(`no series: ${line}`);
    if (series.has(match[1]!)) throw new Error(`twice: ${line}`);
    series.set(match[1]!, Number(match[2]));
  }
  return series;
}

const version = '{model="vgg11",version="1"}';

describe("the metrics", () => {
  it("have Triton's counters, also before the first request", async () => {
    const [metrics, statistics] = metricsOf();
    expect((await seriesOf(metrics)).get(`nv_inference_count${version}`)).toBe(0);
    statistics.record(recordOf({ images: 4, runs: [{ batchSize: 8, images: 4 }] }));
    statistics.record(recordOf({ images: 4, runs: [{ batchSize: 8, images: 4 }] }));
    statistics.record(recordOf({ outcome: "CANCELED", status: 499, runs: [] }));
    const series = await seriesOf(metrics);
    expect(
      Object.fromEntries([...series].filter(([name]) => name.startsWith("nv_inference"))),
    ).toEqual({
      [`nv_inference_request_success${version}`]: 2,
      'nv_inference_request_failure{model="vgg11",version="1",reason="REJECTED"}': 0,
      'nv_inference_request_failure{model="vgg11",version="1",reason="CANCELED"}': 1,
      'nv_inference_request_failure{model="vgg11",version="1",reason="BACKEND"}': 0,
      'nv_inference_request_failure{model="vgg11",version="1",reason="OTHER"}': 0,
      [`nv_inference_count${version}`]: 8,
      [`nv_inference_exec_count${version}`]: 1,
      [`nv_inference_request_duration_us${version}`]: 40_000,
      [`nv_inference_queue_duration_us${version}`]: 10_000,
      [`nv_inference_compute_input_duration_us${version}`]: 6000,
      [`nv_inference_compute_infer_duration_us${version}`]: 20_000,
      [`nv_inference_compute_output_duration_us${version}`]: 2000,
    });
  });

  it("have histograms in seconds, and the batch that a request was in", async () => {
    const [metrics, statistics] = metricsOf();
    statistics.record(recordOf({ runs: [{ batchSize: 8, images: 1 }] }));
    const series = await seriesOf(metrics);
    for (const [name, sum] of [
      ["request", 0.02],
      ["queue", 0.005],
      ["decode", 0.003],
      ["run", 0.01],
    ] as const) {
      expect(series.get(`vgg_${name}_seconds_count${version}`)).toBe(1);
      expect(series.get(`vgg_${name}_seconds_sum${version}`)).toBeCloseTo(sum, 9);
    }
    expect(series.get('vgg_batch_images_bucket{le="4",model="vgg11",version="1"}')).toBe(0);
    expect(series.get('vgg_batch_images_bucket{le="8",model="vgg11",version="1"}')).toBe(1);
  });

  it("read gauges when they are asked for", async () => {
    let requests = 3;
    const [metrics] = metricsOf({
      waiting: () => [{ model: "vgg11", version: "1", requests, images: 2 * requests }],
      devices: () => [
        { device: "cpu", up: true },
        { device: "cuda:0", up: false, memory: { totalBytes: 100, usedBytes: 40 } },
      ],
      loads: () => [{ model: "vgg11", version: "1", seconds: 1.5 }],
      droppedLogLines: () => 7,
    });
    const read = async (name: string) => (await seriesOf(metrics)).get(name);
    expect(await read(`nv_inference_pending_request_count${version}`)).toBe(3);
    expect(await read(`vgg_waiting_images${version}`)).toBe(6);
    requests = 0;
    expect(await read(`nv_inference_pending_request_count${version}`)).toBe(0);
    expect(await read('vgg_device_up{device="cpu"}')).toBe(1);
    expect(await read('vgg_device_up{device="cuda:0"}')).toBe(0);
    expect(await read('nv_gpu_memory_used_bytes{gpu_uuid="cuda:0"}')).toBe(40);
    expect(await read(`nv_model_load_duration_secs${version}`)).toBe(1.5);
    expect(await read("vgg_log_dropped_lines_total")).toBe(7);
    expect(await read("nv_cpu_utilization")).toBeGreaterThanOrEqual(0);
    expect(await read("nv_cpu_memory_used_bytes")).toBeGreaterThan(0);
    expect(await read('vgg_event_loop_delay_seconds{quantile="0.99"}')).toBeGreaterThanOrEqual(0);
  });

  it("make no series for a model that is not known", async () => {
    const [metrics, statistics] = metricsOf();
    statistics.record(recordOf({ model: "made up" }));
    expect(await metrics.text()).not.toContain("made up");
  });

  it("of two servers do not mix", async () => {
    const [first, statistics] = metricsOf();
    const [second] = metricsOf();
    statistics.record(recordOf());
    expect((await seriesOf(first)).get(`nv_inference_count${version}`)).toBe(1);
    expect((await seriesOf(second)).get(`nv_inference_count${version}`)).toBe(0);
  });
});
