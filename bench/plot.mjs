// The figures of docs/benchmark.md: one machine's results as SVG text.
import { unique } from "./markdown.mjs";

const ink = "#0f172a";
const grey = "#64748b";
const font = "Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";
const colours = {
  "vgg-cudnn": "#0f766e",
  "onnxruntime-node": "#d97706",
  MNN: "#2563eb",
  ncnn: "#9333ea",
  OpenVINO: "#0891b2",
  PyTorch: "#dc2626",
  "tfjs-wasm": "#78716c",
};

const escaped = (text) =>
  text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

function element(name, attributes, ...children) {
  const written = Object.entries(attributes).map(([key, value]) => {
    const text = typeof value === "number" ? Number(value.toFixed(1)) : value;
    return ` ${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}="${text}"`;
  });
  return `<${name}${written.join("")}>${children.join("")}</${name}>`;
}
// White around the letters keeps them legible on lines.
const halo = { stroke: "#ffffff", strokeWidth: 4, paintOrder: "stroke" };
const text = (x, y, content, attributes = {}) =>
  element("text", { x, y, fontSize: 13, fill: ink, ...halo, ...attributes }, escaped(content));
const line = (x1, y1, x2, y2, attributes) =>
  element("line", { x1, y1, x2, y2, stroke: "#cbd5e1", ...attributes });

function svgImage(width, height, title, subtitle, children) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="${font}" role="img">
${[
  element("title", {}, escaped(title)),
  element("rect", { width, height, fill: "#ffffff", rx: 8 }),
  text(24, 36, title, { fontSize: 18, fontWeight: 600 }),
  text(24, 58, subtitle, { fill: grey }),
  ...children,
].join("\n")}
</svg>\n`;
}

/** "avx512" → "AVX-512" */
export const instructionSetName = ([best]) => best.toUpperCase().replace("AVX512", "AVX-512");
const machineName = ({ cpu, cores, instructionSets }) =>
  `${cpu}, ${cores} cores, ${instructionSetName(instructionSets)}`;

/** Bars of the speed relative to onnxruntime-node, in a frame for each batch size. */
export function speedFigure({ machine, results }) {
  const batches = unique(results.map(({ batch }) => batch));
  const speed = (row) => row.speedAgainstOnnxruntime ?? 0;
  const find = (trial, batch) => results.find((row) => row.trial === trial && row.batch === batch);
  const meanOf = (trial) => {
    const speeds = results.filter((row) => row.trial === trial).map(speed);
    return speeds.reduce((sum, value) => sum + value, 0) / speeds.length;
  };
  const trials = unique(results.map(({ trial }) => trial)).toSorted(
    (a, b) => meanOf(b) - meanOf(a),
  );
  const [left, top, rowHeight, panel, gap] = [232, 108, 30, 266, 14];
  const bottom = top + trials.length * rowHeight;
  const scale = (panel - 100) / Math.max(1, ...results.map(speed));

  const labels = trials.map((trial, i) => {
    const isOurs = trial.startsWith("vgg-cudnn");
    const y = top + i * rowHeight + 19;
    return text(left - 12, y, trial, { textAnchor: "end", fontWeight: isOurs ? 600 : 400 });
  });
  const panels = batches.flatMap((batch, i) => {
    const x = left + i * (panel + gap);
    const bars = trials.flatMap((trial, j) => {
      const row = find(trial, batch);
      if (row === undefined) return [];
      const y = top + j * rowHeight + 4;
      const width = speed(row) * scale;
      const isOurs = row.engine === "vgg-cudnn";
      const fill = isOurs ? colours["vgg-cudnn"] : "#94a3b8";
      const opacity = row.precision === "float16" ? 0.6 : 1;
      return [
        element("rect", { x, y, width, height: rowHeight - 8, rx: 2, fill, opacity }),
        text(x + width + 6, y + 15, speed(row).toFixed(2), { fontWeight: isOurs ? 600 : 400 }),
        text(x + width + 44, y + 15, `${row.medianMs.toFixed(row.medianMs < 100 ? 1 : 0)} ms`, {
          fontSize: 11,
          fill: grey,
        }),
      ];
    });
    return [
      text(x, top - 16, `batch ${batch}`, { fontWeight: 600 }),
      line(x, top - 4, x, bottom, {}),
      line(x + scale, top - 4, x + scale, bottom, { stroke: grey, strokeDasharray: "3 3" }),
      ...bars,
    ];
  });
  const width = left + batches.length * (panel + gap) + 10;
  return svgImage(
    width,
    bottom + 24,
    `VGG11: speed against onnxruntime-node (dashed: 1)`,
    `${machineName(machine)}; longer is faster; medians of interleaved runs in fresh processes`,
    [...labels, ...panels],
  );
}

/** Moves labels apart, keeping their order: each at least `distance` below the one before. */
function spread(labels, distance, bottom) {
  const sorted = labels.toSorted((a, b) => a.y - b.y);
  for (const [i, label] of sorted.entries())
    if (i > 0) label.y = Math.max(label.y, sorted[i - 1].y + distance);
  let limit = bottom;
  for (const label of sorted.toReversed()) {
    label.y = Math.min(label.y, limit);
    limit = label.y - distance;
  }
  return sorted;
}

/** Lines of images per second over the batch size. Each engine has as many threads as it can use. */
export function throughputFigure({ machine, threads, results }) {
  const batches = unique(results.map(({ batch }) => batch));
  const shown = results.filter(
    ({ engine, threads: own, settings }) =>
      settings.instructionSet === undefined &&
      (own === threads || results.every((row) => row.engine !== engine || row.threads === own)),
  );
  const [left, right, top, bottom, width, height] = [64, 716, 92, 432, 960, 484];
  const rate = ({ batch, medianMs }) => (1000 * batch) / medianMs;
  const most = Math.max(...shown.map(rate));
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((size) => most / size <= 7) ?? 1000;
  const ceiling = Math.ceil(most / step) * step;
  const xOf = (batch) =>
    left + 24 + ((right - left - 24) * batches.indexOf(batch)) / Math.max(1, batches.length - 1);
  const yOf = (value) => bottom - ((bottom - top) * value) / ceiling;

  const grid = Array.from({ length: ceiling / step + 1 }, (_, i) => i * step).flatMap((value) => [
    line(left, yOf(value), right, yOf(value), { stroke: "#e2e8f0" }),
    text(left - 10, yOf(value) + 4, String(value), { textAnchor: "end", fill: grey }),
  ]);
  const axis = batches.map((batch) =>
    text(xOf(batch), bottom + 24, `batch ${batch}`, { textAnchor: "middle", fill: grey }),
  );
  const trials = unique(shown.map(({ trial }) => trial)).map((trial) => {
    const rows = shown.filter((row) => row.trial === trial);
    return { trial, rows, colour: colours[rows[0].engine] };
  });
  const curves = trials.flatMap(({ rows, colour }) => {
    const points = rows.map((row) => [xOf(row.batch).toFixed(1), yOf(rate(row)).toFixed(1)]);
    const isOurs = rows[0].engine === "vgg-cudnn";
    return [
      element("polyline", {
        points: points.map((point) => point.join(",")).join(" "),
        fill: "none",
        stroke: colour,
        strokeWidth: isOurs ? 3.5 : 1.8,
        strokeDasharray: rows[0].precision === "float16" ? "7 5" : "none",
        strokeLinejoin: "round",
      }),
      ...points.map(([cx, cy]) => element("circle", { cx, cy, r: isOurs ? 4.5 : 3, fill: colour })),
    ];
  });
  const labels = spread(
    trials.map(({ trial, rows, colour }) => ({
      trial,
      colour,
      row: rows.at(-1),
      y: yOf(rate(rows.at(-1))),
    })),
    19,
    bottom,
  ).map(({ trial, colour, row, y }) =>
    text(right + 16, y + 4, `${trial}  ${rate(row).toPrecision(3)}`, {
      fill: colour,
      fontWeight: row.engine === "vgg-cudnn" ? 600 : 400,
    }),
  );
  return svgImage(
    width,
    height,
    "VGG11: images a second by batch size",
    `${machineName(machine)}; ${threads} threads where an engine has them; dashed: half precision`,
    [...grid, ...axis, ...curves, ...labels],
  );
}
