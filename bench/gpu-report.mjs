// Writes the section of docs/benchmark.md about one GPU from the results of gpu/bench.mjs.
import { table, unique } from "./markdown.mjs";

const ours = "vgg-cudnn";
const inMs = (ms) => ms.toFixed(ms < 10 ? 3 : 1);
const inSeconds = (ms) => (ms / 1000).toFixed(1);

/** Formats a version number: 91900 is 9.19.0. */
const versionOf = (number) =>
  [Math.floor(number / 10_000), Math.floor(number / 100) % 100, number % 100].join(".");

/** Our results and the peers' at each precision and batch: images per second with a full queue, and the time of one call. */
function speedTable({ rows, prepare }) {
  const find = (name, precision, batch, mode) =>
    rows.findLast(
      (row) =>
        row.name === name &&
        row.precision === precision &&
        row.batch === batch &&
        row.mode === mode,
    );
  const peers = unique(rows.map(({ name }) => name)).filter((name) => name !== ours);
  const order = ["float32", "tf32", "float16", "bfloat16"];
  // A combination that was measured again with another peer counts once, with its very first call.
  const combinations = prepare
    .filter(
      ({ precision, batch }, i) =>
        i === prepare.findIndex((row) => row.precision === precision && row.batch === batch),
    )
    .sort((a, b) => order.indexOf(a.precision) - order.indexOf(b.precision) || a.batch - b.batch);
  return table(
    [
      "precision, batch",
      "ms per forward, queued",
      "images/s",
      ...peers.map((name) => `${name}, ms (our speedup)`),
      "ms from call to promise",
      "images/s from host pixels, queued",
      "relative error",
      "first call, s",
    ],
    combinations.map(({ precision, batch, ms, error }) => {
      const queued = find(ours, precision, batch, "device, queued");
      const pixels = find(ours, precision, batch, "pixels, queued");
      return [
        `${precision}, ${batch}`,
        `**${inMs(queued.ms.p50)}**`,
        `**${Math.round(queued.imagesPerSecond)}**`,
        ...peers.map((name) => {
          const theirs = find(name, precision, batch, "device, queued");
          if (theirs === undefined) return "–";
          return `${inMs(theirs.ms.p50)} (${(theirs.ms.p50 / queued.ms.p50).toFixed(2)} ×)`;
        }),
        inMs(find(ours, precision, batch, "device").ms.p50),
        Math.round(pixels.imagesPerSecond),
        error === undefined ? "–" : error.toExponential(1),
        inSeconds(ms),
      ];
    }),
  );
}

/** The goals and the measured values. */
const goalsTable = (verdicts) =>
  [
    "| goal | measured | wanted | |",
    "| --- | ---: | ---: | --- |",
    ...verdicts.map(({ goal, value, wanted, reached }) => {
      const measured = value > 1000 ? Math.round(value) : value.toFixed(3);
      return `| ${goal} | ${measured} | ${wanted} | ${reached ? "reached" : "**missed**"} |`;
    }),
  ].join("\n");

/** The time of each step on the GPU's clock against the larger of its two floors, if the peaks were measured. */
function stepsTable({ precision, batch, steps }, roofline, layers) {
  const { copyGBs, bfloat16TFLOPs } = roofline ?? { copyGBs: Infinity, bfloat16TFLOPs: Infinity };
  const teraflops = precision === "tf32" ? bfloat16TFLOPs / 2 : bfloat16TFLOPs;
  return table(
    [`${precision}, batch ${batch}`, "µs", "TFLOP/s", "GB/s", "floor, µs"],
    steps.map(({ kind, medianMs, multiplyAdds, bytes }, i) => {
      const floor = Math.max(bytes / copyGBs / 1e3, (2 * multiplyAdds) / teraflops / 1e6);
      return [
        `${layers[i] ?? ""} ${kind.replaceAll("+", " + ")}`.trim(),
        (medianMs * 1e3).toFixed(batch === 1 ? 1 : 0),
        ((2 * multiplyAdds) / medianMs / 1e9).toFixed(0),
        (bytes / medianMs / 1e6).toFixed(0),
        roofline ? floor.toFixed(floor < 100 ? 1 : 0) : "–",
      ];
    }),
  );
}

/** A Markdown section from the JSON that gpu/bench.mjs writes. */
export function gpuSection(report) {
  const { gpu, title, software, date, rounds, peers, verdicts, notes } = report;
  // A newer run of the same GPU has the times of the steps.
  const profiles = report.areStepsSuperseded ? [] : report.profiles;
  const roofline = peers.PyTorch?.roofline;
  const libraries = Object.entries(software.libraries).map(
    ([name, version]) => `${name} ${version}`,
  );
  const others = Object.entries(peers).map(([name, { torch, jax, cudnn }]) =>
    [name, torch ?? jax, cudnn ? `with cuDNN ${versionOf(cudnn)}` : ""].filter(Boolean).join(" "),
  );
  const layers = [
    ...["features.0", "features.3", "features.6", "features.8", "features.11", "features.13"],
    ...["features.16", "features.18", "classifier.0", "classifier.3", "classifier.6"],
  ];
  return [
    `### ${[gpu.name, title].filter(Boolean).join(", ")}`,
    `${date.slice(0, 10)}, Node ${software.node.slice(1)}, ${[...libraries, ...others].join(", ")}. Medians of ${rounds} rounds in turns.` +
      (roofline
        ? ` In the same run a copy moved ${Math.round(roofline.copyGBs)} GB/s (bytes read and written), and a bfloat16 product of ` +
          `8192 × 8192 random matrices ran at ${Math.round(roofline.bfloat16TFLOPs)} TFLOP/s.`
        : ""),
    speedTable(report),
    goalsTable(verdicts),
    notes.map((note) => `- ${note}`).join("\n"),
    profiles.length === 0
      ? ""
      : "The time of each step, measured with CUDA events around it. The events add 3 to 5 µs." +
        (roofline
          ? " The floors follow from the two peaks above; for tf32 half of the second counts. Some convolutions are faster than that product."
          : ""),
    ...profiles
      .filter(
        ({ steps, precision, batch }, i) =>
          steps.length === layers.length &&
          (precision === "float16" || batch > 1) &&
          // A combination that was measured again with another peer counts once.
          i === profiles.findIndex((one) => one.precision === precision && one.batch === batch),
      )
      .map((profile) => stepsTable(profile, roofline, layers)),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}
