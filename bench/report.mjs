// Writes the generated part of docs/benchmark.md and its figures from bench/results, which has one file per machine.
// Usage: node bench/report.mjs. `npm run bench` calls it at its end.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { gpuSection } from "./gpu-report.mjs";
import { table, unique } from "./markdown.mjs";
import { instructionSetName, speedFigure, throughputFigure } from "./plot.mjs";
import { describeBystanders } from "./results.mjs";

const root = new URL("../", import.meta.url);
const page = new URL("docs/benchmark.md", root);
const begin = "<!-- results: written by bench/report.mjs -->";
const end = "<!-- end of results -->";

const inMs = (ms) => ms.toFixed(ms < 100 ? 1 : 0);
const ratio = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(2)} ×`);
const bold = (engine, cell) => (engine === "vgg-cudnn" ? `**${cell}**` : cell);
const joined = (rows, key) => rows.map((row) => ratio(row[key])).join(" / ");

async function writeFigure(name, svg) {
  const path = fileURLToPath(new URL(`docs/images/${name}`, root));
  await writeFile(`${path}.svg`, svg);
  await sharp(Buffer.from(svg), { density: 144 }).png({ palette: true }).toFile(`${path}.png`);
}

/** The main result, in one sentence for each of our precisions. */
function headline(results, batches) {
  return ["vgg-cudnn", "vgg-cudnn, half"].flatMap((trial) => {
    const rows = results.filter((row) => row.trial === trial);
    if (rows.length === 0) return [];
    const { precision } = rows[0];
    const sizes = batches.join(" / ");
    return [
      `In ${precision}, at batch ${sizes}: ${joined(rows, "speedAgainstOnnxruntime")} the speed of onnxruntime-node, ` +
        `${joined(rows, "speedAgainstStrongest")} the speed of the faster of MNN and ncnn.`,
    ];
  });
}

function timesTable(results, batches, trials) {
  return table(
    [
      "median ms (quartiles), speed relative to onnxruntime-node",
      ...batches.map((n) => `batch ${n}`),
    ],
    trials.map(({ trial, engine, version }) => [
      `${bold(engine, trial)} (${version})`,
      ...batches.map((batch) => {
        const row = results.find((each) => each.trial === trial && each.batch === batch);
        if (row === undefined) return "–";
        const quartiles = `${inMs(row.lowerQuartileMs)}–${inMs(row.upperQuartileMs)}`;
        const speed = bold(engine, ratio(row.speedAgainstOnnxruntime));
        return `${inMs(row.medianMs)} (${quartiles}) ${speed}`;
      }),
    ]),
  );
}

function costsTable(results, batches, trials) {
  const [first, last] = [batches[0], batches.at(-1)];
  const megabytes = (row) => (row?.peakRssBytes ? (row.peakRssBytes / 1e6).toFixed(0) : "–");
  return table(
    [
      "",
      "relative error",
      ...unique([first, last]).map((batch) => `peak RSS, batch ${batch}, MB`),
      "cold start, s",
      "event loop p99, ms",
    ],
    trials.map(({ trial, engine }) => {
      const rows = results.filter((row) => row.trial === trial);
      const at = (batch) => rows.find((row) => row.batch === batch);
      const delay = at(first)?.eventLoopDelayP99Ms ?? null;
      return [
        bold(engine, trial),
        Math.max(...rows.map(({ relativeError }) => relativeError)).toExponential(1),
        ...unique([first, last]).map((batch) => megabytes(at(batch))),
        at(first) ? (at(first).coldStartMs / 1000).toFixed(2) : "–",
        delay === null ? "–" : delay.toFixed(1),
      ];
    }),
  );
}

const layersIntroduction =
  "The time of each step at batch 1 (`npx vgg bench --batch 1 --layers`). [Method](#layers-and-floors) explains the columns.";

/** Each step's time, its rate as if it were computed directly, and its floor. */
function layersTable(layers) {
  return table(
    ["step", "ms", "GFLOP/s if direct", "GFLOP", "MB", "floor, ms", "bound by", "of floor"],
    layers.map(({ name, medianMs, multiplyAdds, products, bytes, floorMs, bound, share }) => [
      name.replaceAll("+", " + "),
      medianMs.toFixed(2),
      multiplyAdds === 0 ? "–" : ((2 * multiplyAdds) / medianMs / 1e6).toFixed(0),
      products === 0 ? "–" : ((2 * products) / 1e9).toFixed(2),
      (bytes / 1e6).toFixed(1),
      floorMs === null ? "–" : floorMs.toFixed(2),
      bound ?? "–",
      share === null ? "–" : `${(share * 100).toFixed(0)} %`,
    ]),
  );
}

function section(name, report) {
  const { machine, threads, skipped, results, layers, notes = [] } = report;
  const batches = unique(results.map(({ batch }) => batch));
  const trials = unique(results.map(({ trial }) => trial)).map((trial) =>
    results.find((row) => row.trial === trial),
  );
  const rounds = Math.max(...results.map((row) => row.rounds));
  return [
    `### ${instructionSetName(machine.instructionSets)}: ${machine.cpu}, ${machine.cores} cores`,
    `${machine.date}, Node ${machine.node}, ${machine.system}, ${threads} threads, medians of ${rounds} round${rounds === 1 ? "" : "s"}. ${describeBystanders(machine)}`,
    notes.join("\n"),
    headline(results, batches).join("\n"),
    `![Speed against onnxruntime-node](images/${name}-speed.svg)`,
    `![Images a second by batch size](images/${name}-throughput.svg)`,
    timesTable(results, batches, trials),
    costsTable(results, batches, trials),
    layers === null ? "" : `${layersIntroduction}\n\n${layersTable(layers)}`,
    skipped.map(({ trial, reason }) => `Not run: ${trial} (${reason}).`).join("\n"),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

export async function writeReport() {
  const folder = new URL("bench/results/", root);
  for (const made of [folder, new URL("docs/images/", root)])
    await mkdir(made, { recursive: true });
  // bench/serve/table.mjs makes the table of the server.
  const isOfNetworks = (file) => file.endsWith(".json") && !file.startsWith("serve-");
  const files = (await readdir(folder)).filter(isOfNetworks).sort();
  const sections = [];
  for (const file of files) {
    const report = JSON.parse(await readFile(new URL(file, folder), "utf8"));
    const name = file.replace(".json", "");
    if (name.startsWith("gpu-")) {
      sections.push(gpuSection(report));
      continue;
    }
    await writeFigure(`${name}-speed`, speedFigure(report));
    await writeFigure(`${name}-throughput`, throughputFigure(report));
    sections.push(section(name, report));
  }
  const text = await readFile(page, "utf8");
  const [before, after] = [text.indexOf(begin), text.indexOf(end)];
  if (before < 0 || after < before) throw new Error(`Expected ${begin} and ${end} in the page`);
  const head = text.slice(0, before + begin.length);
  await writeFile(page, `${head}\n\n${sections.join("\n\n")}\n\n${text.slice(after)}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeReport();
