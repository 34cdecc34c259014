// Which of one machine's results the figures of docs/benchmark.md show.
import { panelChart } from "../dist/cli/bench/bar-chart.js";
import { colours } from "../dist/cli/bench/chart.js";
import { lineChart } from "../dist/cli/bench/line-chart.js";
import { unique } from "./markdown.mjs";

const engineColours = {
  "vgg-cudnn": colours.blue,
  "onnxruntime-node": colours.vermillion,
  MNN: colours.orange,
  ncnn: colours.purple,
  OpenVINO: colours.green,
  PyTorch: colours.sky,
  "tfjs-wasm": colours.muted,
};

/** "avx512" → "AVX-512" */
export const instructionSetName = ([best]) => best.toUpperCase().replace("AVX512", "AVX-512");
const machineName = ({ cpu, cores, instructionSets }) =>
  `${cpu}, ${cores} cores, ${instructionSetName(instructionSets)}`;

const isOurs = ({ engine }) => engine === "vgg-cudnn";
const isHalf = ({ precision }) => precision === "float16";
const rowOf = (results, trial, batch) =>
  results.find((row) => row.trial === trial && row.batch === batch);

const ourColours = { full: colours.blue, half: colours.sky };
const theirColours = { full: colours.axis, half: colours.pale };

/** Bars of the speed relative to onnxruntime-node, in a panel for each batch size. */
export function speedFigure({ machine, results }) {
  const speed = (row) => row.speedAgainstOnnxruntime ?? 0;
  const meanOf = (trial) => {
    const speeds = results.filter((row) => row.trial === trial).map(speed);
    return speeds.reduce((sum, value) => sum + value, 0) / speeds.length;
  };
  const trials = unique(results.map(({ trial }) => trial)).toSorted(
    (a, b) => meanOf(b) - meanOf(a),
  );
  const barOf = (trial, batch) => {
    const shared = { label: trial, detail: "", mark: null };
    const row = rowOf(results, trial, batch);
    const isBold = trial.startsWith("vgg-cudnn");
    if (row === undefined) return { ...shared, isBold, value: null, text: "" };
    return {
      ...{ ...shared, isBold, value: speed(row), text: speed(row).toFixed(2) },
      note: `${row.medianMs.toFixed(row.medianMs < 100 ? 1 : 0)} ms`,
      colour: (isOurs(row) ? ourColours : theirColours)[isHalf(row) ? "half" : "full"],
    };
  };
  return panelChart({
    title: "VGG11: speed relative to onnxruntime-node",
    subtitle: `${machineName(machine)}; longer is faster; medians of interleaved runs in fresh processes`,
    xTitle: "times as fast",
    barLabel: "vgg-cudnn",
    colour: ourColours.full,
    colourLabels: [
      { label: "vgg-cudnn, half precision", colour: ourColours.half },
      { label: "others", colour: theirColours.full },
      { label: "others, half precision", colour: theirColours.half },
    ],
    marks: [],
    reference: { label: "onnxruntime-node", value: 1 },
    panels: unique(results.map(({ batch }) => batch)).map((batch) => ({
      title: `batch ${batch}`,
      bars: trials.map((trial) => barOf(trial, batch)),
    })),
  });
}

/** Lines of images per second over the batch size. Each engine has as many threads as it can use. */
export function throughputFigure({ machine, threads, results }) {
  const batches = unique(results.map(({ batch }) => batch));
  const shown = results.filter(
    ({ engine, threads: own, settings }) =>
      settings.instructionSet === undefined &&
      (own === threads || results.every((row) => row.engine !== engine || row.threads === own)),
  );
  return lineChart({
    title: "VGG11: images per second by batch size",
    subtitle: `${machineName(machine)}; ${threads} threads if an engine can use them; dashed: half precision`,
    xTitle: "images in a batch",
    yTitle: "images per second",
    yScale: "linear",
    names: "ends",
    x: batches.map(String),
    series: unique(shown.map(({ trial }) => trial)).map((trial) => {
      const first = shown.find((row) => row.trial === trial);
      return {
        label: trial,
        colour: engineColours[first.engine],
        style: isHalf(first) ? "dashed" : "line",
        values: batches.map((batch) => {
          const row = rowOf(shown, trial, batch);
          return row === undefined ? null : (1000 * batch) / row.medianMs;
        }),
        textOf: (value) => value.toPrecision(3),
        isBold: isOurs(first),
      };
    }),
  });
}
