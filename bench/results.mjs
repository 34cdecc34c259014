// Turns the runs of a benchmark into rows: medians, quartiles and ratios, and a description of the machine.
import { cpus, totalmem } from "node:os";
import { listDevices, version } from "../dist/index.js";
import { median, percentile, speedAgainst } from "./statistics.mjs";
import { baseName, strongestEngines } from "./trials.mjs";

export function describeMachine() {
  const { instructionSets, threads } = listDevices().find(({ kind }) => kind === "cpu");
  return {
    cpu: cpus()[0].model.trim(),
    cores: threads,
    instructionSets,
    memoryBytes: totalmem(),
    system: `${process.platform} ${process.arch}`,
    node: process.version,
    version,
    date: new Date().toISOString().slice(0, 10),
  };
}

const column = (runs, key) => runs.map((run) => run[key]);
const timesOf = (sample) => (sample === undefined ? null : column(sample.runs, "ms"));
const medianOrNull = (values) => (values.includes(null) ? null : median(values));
const rounded = (value, digits = 4) => (value === null ? null : Number(value.toPrecision(digits)));

/** The fastest trial of MNN and ncnn that is at least as exact, on as many threads. */
function strongest(samples, { trial, batch }) {
  return samples
    .filter((other) => other.batch === batch && strongestEngines.includes(other.trial.engine))
    .filter((other) => ["float32", trial.precision].includes(other.trial.precision))
    .toSorted((a, b) => median(timesOf(a)) - median(timesOf(b)))[0];
}

/** Makes one row, ready for JSON, for each of `samples`: [{ trial, batch, runs }]. */
export function summarize(samples) {
  return samples.map((sample) => {
    const { trial, batch, runs } = sample;
    const { name, engine, precision, threads, settings } = trial;
    const times = timesOf(sample);
    const base = samples.find((other) => other.trial.name === baseName && other.batch === batch);
    const peer = strongest(samples, sample);
    const against = (other) => (other ? rounded(speedAgainst(timesOf(other), times), 3) : null);
    return {
      ...{ trial: name, engine, version: runs[0].version, precision, threads, settings, batch },
      rounds: runs.length,
      medianMs: rounded(median(times)),
      lowerQuartileMs: rounded(percentile(times, 0.25)),
      upperQuartileMs: rounded(percentile(times, 0.75)),
      speedAgainstOnnxruntime: against(base),
      speedAgainstStrongest: against(peer),
      strongest: peer?.trial.name ?? null,
      relativeError: rounded(Math.max(...column(runs, "error")), 2),
      peakRssBytes: medianOrNull(column(runs, "peakRssBytes")),
      coldStartMs: rounded(median(column(runs, "coldStartMs"))),
      eventLoopDelayP99Ms: rounded(medianOrNull(column(runs, "eventLoopDelayMs")), 2),
    };
  });
}

/** Describes the load by others. Engines that split their work evenly suffer most from a core that is busy. */
export function describeBystanders({ othersShare }) {
  if (othersShare === null)
    return "How much of the cores' time others took during the run is unknown on this system.";
  const share = `${(othersShare * 100).toFixed(1)} %`;
  if (othersShare <= 0.05)
    return `Other processes and guests took ${share} of the cores' time during the run.`;
  return `**Do not trust these numbers**: other processes and guests took ${share} of the cores' time during the run.`;
}

const times = (ratio) => (ratio === null ? "–" : `${ratio.toFixed(2)} ×`);

export function printTable(machine, results) {
  const { cpu, cores, instructionSets, node, version: ours } = machine;
  console.log(`vgg-cudnn ${ours}, Node ${node}, ${cpu}, ${cores} cores, ${instructionSets[0]}`);
  console.log(describeBystanders(machine));
  for (const row of results) {
    console.log(
      [
        `batch ${row.batch}`.padEnd(9),
        `${row.trial}`.padEnd(27),
        `${row.medianMs.toFixed(1)} ms`.padStart(10),
        `(${row.lowerQuartileMs.toFixed(1)}–${row.upperQuartileMs.toFixed(1)})`.padEnd(16),
        `${times(row.speedAgainstOnnxruntime)} onnxruntime`,
        `${times(row.speedAgainstStrongest)} MNN, ncnn`,
        `error ${row.relativeError.toExponential(1)}`,
        row.peakRssBytes === null ? "" : `peak ${(row.peakRssBytes / 1e6).toFixed(0)} MB`,
        `cold start ${(row.coldStartMs / 1000).toFixed(2)} s`,
        row.eventLoopDelayP99Ms === null ? "" : `loop p99 ${row.eventLoopDelayP99Ms} ms`,
      ].join("  "),
    );
  }
}
