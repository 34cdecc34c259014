// The figures of a benchmark: chooses the numbers of the report to draw, and their names.
import { type Bar, barChart } from "./bar-chart.js";
import { colours } from "./chart.js";
import { lineChart } from "./line-chart.js";
import { type BatchReport, type BenchReport, type LayerReport, profileRuns } from "./report.js";

/** Formats a number with three digits and no exponent: 0.0123, 1.23, 123, 12,346. */
export function threeDigits(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en-US", {
    minimumFractionDigits: Math.min(digits, 6),
    maximumFractionDigits: Math.min(digits, 6),
  });
}

const duration = (ms: number) =>
  ms > 0 && ms < 0.1 ? `${threeDigits(ms * 1000)} µs` : `${threeDigits(ms)} ms`;

/** Shortens the joined names of modules: "features.0+features.1+features.2" → "features.0–2". */
export function shortName(name: string): string {
  const names = name.split("+");
  const [first, last] = [names[0]!, names.at(-1)!];
  const stem = first.slice(0, first.lastIndexOf(".") + 1);
  const isRun = names.length > 1 && stem !== "" && last.startsWith(stem);
  return isRun ? `${first}–${last.slice(stem.length)}` : names.join(" + ");
}

function conditions(report: BenchReport): string {
  const { arch, precision, imageSize, device, version } = report;
  const size = `${imageSize} × ${imageSize}`;
  const threads = device.threads === undefined ? "" : `, ${device.threads} threads`;
  return `${arch}, ${precision}, ${size} pixels · ${device.name}${threads} · vgg-cudnn ${version}`;
}

function latencyFigure(report: BenchReport): string {
  const { batches } = report;
  const of = (pick: (batch: BatchReport) => number) => batches.map(pick);
  return lineChart({
    title: "Latency of one forward",
    subtitle: conditions(report),
    xTitle: "images in a batch",
    yTitle: "milliseconds",
    yScale: "log",
    x: batches.map(({ batch }) => String(batch)),
    bands: [
      {
        label: "median to 99th percentile",
        colour: colours.sky,
        from: of(({ latencyMs }) => latencyMs.p50),
        to: of(({ latencyMs }) => latencyMs.p99),
      },
    ],
    series: [
      {
        label: "median",
        colour: colours.blue,
        style: "line",
        values: of(({ latencyMs }) => latencyMs.p50),
        textOf: duration,
      },
      {
        label: "floor by the roofline",
        colour: colours.vermillion,
        style: "dashed",
        values: batches.map(({ floorMs }) => floorMs),
        textOf: duration,
      },
    ],
  });
}

function throughputFigure(report: BenchReport): string {
  const { batches, inFlight } = report;
  return lineChart({
    title: "Throughput",
    subtitle: conditions(report),
    xTitle: "images in a batch",
    yTitle: "images per second",
    yScale: "linear",
    x: batches.map(({ batch }) => String(batch)),
    series: [
      {
        label: "ceiling by the roofline",
        colour: colours.vermillion,
        style: "dashed",
        values: batches.map(({ batch, floorMs }) =>
          floorMs === null || floorMs === 0 ? null : (batch / floorMs) * 1000,
        ),
        textOf: threeDigits,
      },
      {
        label: `${inFlight} forwards under way`,
        colour: colours.green,
        style: "line",
        values: batches.map(({ imagesPerSecondInFlight }) => imagesPerSecondInFlight),
        textOf: threeDigits,
      },
      {
        label: "one after the other",
        colour: colours.blue,
        style: "line",
        values: batches.map(({ imagesPerSecond }) => imagesPerSecond),
        textOf: threeDigits,
      },
    ],
  });
}

const boundColours = { arithmetic: colours.vermillion, memory: colours.orange } as const;

function layerBar({ name, kind, medianMs, floorMs, bound, share }: LayerReport): Bar {
  const percent = share === null ? "" : ` · ${(share * 100).toFixed(0)} %`;
  const label = shortName(name);
  return {
    label,
    detail: kind === label ? "" : kind.replaceAll("+", " + "),
    value: medianMs,
    mark:
      floorMs === null || bound === null ? null : { value: floorMs, colour: boundColours[bound] },
    text: `${duration(medianMs)}${percent}`,
  };
}

function layersFigure(report: BenchReport, { batch, layers, iterations }: BatchReport): string {
  const { gigaflopsPerSecond, gigabytesPerSecond } = report.roofline;
  const peak = gigaflopsPerSecond === null ? "" : `, ${threeDigits(gigaflopsPerSecond)} GFLOP/s`;
  const band = gigabytesPerSecond === null ? "" : `, ${threeDigits(gigabytesPerSecond)} GB/s`;
  const runs = Math.min(iterations, profileRuns);
  return barChart({
    title: `Time of each layer, batch ${batch}`,
    subtitle: conditions(report),
    xTitle: `milliseconds: median of ${runs} ${runs === 1 ? "run" : "runs"}, and the floor's share of it`,
    barLabel: "measured",
    colour: colours.blue,
    marks: [
      { label: `floor by arithmetic${peak}`, colour: boundColours.arithmetic },
      { label: `floor by memory${band}`, colour: boundColours.memory },
    ],
    bars: layers.map(layerBar),
  });
}

/** Draws all figures. @returns SVG by the name of its file */
export function figures(report: BenchReport): ReadonlyMap<string, string> {
  return new Map([
    ["latency", latencyFigure(report)],
    ["throughput", throughputFigure(report)],
    ...report.batches.map(
      (batch) => [`layers-batch${batch.batch}`, layersFigure(report, batch)] as const,
    ),
  ]);
}
