// Times VGG11 in this package and in the peers: fresh processes in turns, with the same weights and images. Answers are compared first.
// Usage: npm run bench -- [--batch 1,4,16] [--rounds 15] [--minutes 13] [--threads 2] [--only NAME,…] [--torch] [--smoke]
// Peers: npm install --prefix bench --ignore-scripts. Python peers are installed automatically (python.mjs). No peer is required.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { listDevices } from "../dist/index.js";
import { watchBystanders } from "./bystanders.mjs";
import { layerTimes } from "./layer-times.mjs";
import { writeModels } from "./models/write.mjs";
import { installPython } from "./python.mjs";
import { writeReport } from "./report.mjs";
import { describeMachine, printTable, summarize } from "./results.mjs";
import { runTrial } from "./trial-process.mjs";
import { engines, trialsFor } from "./trials.mjs";

const { values: options } = parseArgs({
  options: {
    batch: { type: "string" },
    rounds: { type: "string", default: "15" },
    minutes: { type: "string", default: "13" },
    threads: { type: "string", default: String(Math.min(2, availableParallelism())) },
    only: { type: "string", default: "" },
    torch: { type: "boolean", default: false },
    smoke: { type: "boolean", default: false },
  },
});
const batches = (options.batch ?? (options.smoke ? "1,2" : "1,4,16")).split(",").map(Number);
const threads = Number(options.threads);
const startMs = performance.now();
const elapsedMs = () => performance.now() - startMs;

/** The trials that can run here. `skipped` gets the others with the reason. */
function availableTrials(skipped) {
  const cpu = listDevices().find(({ kind }) => kind === "cpu");
  const wanted = options.only.split(",");
  const trials = trialsFor(threads, cpu.instructionSets[0]).filter(({ name }) =>
    wanted.some((part) => name.toLowerCase().includes(part.toLowerCase())),
  );
  const isPython = ({ engine }) => engines[engine].runtime === "python";
  const absent = trials.some(isPython) ? installPython(options.torch) : new Map();
  if (!existsSync(new URL("node_modules", import.meta.url)))
    for (const engine of ["onnxruntime-node", "tfjs-wasm"])
      absent.set(engine, "npm install --prefix bench --ignore-scripts");
  return trials.filter(({ name, engine }) => {
    if (absent.has(engine)) skipped.push({ trial: name, reason: absent.get(engine) });
    return !absent.has(engine);
  });
}

/** Runs each trial once at each batch size. Compares the answers without timing. */
async function smoke(trials, models, skipped) {
  let passed = 0;
  let failed = 0;
  for (const trial of trials) {
    for (const batch of batches) {
      try {
        const { skip, version, error } = await runTrial(trial, batch, models, false);
        if (skip !== undefined) {
          skipped.push({ trial: trial.name, reason: skip });
          break;
        }
        passed++;
        console.log(
          `PASS ${trial.name} (${version}), batch ${batch}: error ${error.toExponential(1)}`,
        );
      } catch (error) {
        failed++;
        console.log(`FAIL ${trial.name}, batch ${batch}: ${error.message}`);
      }
    }
  }
  for (const { trial, reason } of skipped) console.log(`skip ${trial}: ${reason}`);
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}

/** Runs as many rounds as fit. Every second one goes backwards, so that no trial always follows the same one. */
async function timeAll(trials, models, skipped) {
  const samples = trials.flatMap((trial) => batches.map((batch) => ({ trial, batch, runs: [] })));
  const isSkipped = (name) => skipped.some(({ trial }) => trial === name);
  let roundMs = 0;
  for (let round = 0; round < Number(options.rounds); round++) {
    if (elapsedMs() + roundMs > Number(options.minutes) * 60_000) break;
    const roundStartMs = elapsedMs();
    for (const batch of batches) {
      const turn = samples.filter(
        ({ trial, ...row }) => row.batch === batch && trial.rounds > round,
      );
      for (const { trial, runs } of round % 2 === 0 ? turn : turn.reverse()) {
        if (isSkipped(trial.name)) continue;
        const run = await runTrial(trial, batch, models, true).catch((error) => {
          throw new Error(`${trial.name}, batch ${batch}: ${error.message}`, { cause: error });
        });
        if (run.skip === undefined) runs.push(run);
        else skipped.push({ trial: trial.name, reason: run.skip });
      }
    }
    roundMs = elapsedMs() - roundStartMs;
    console.error(`round ${round + 1} after ${(elapsedMs() / 60_000).toFixed(1)} minutes`);
  }
  return samples.filter(({ runs }) => runs.length > 0);
}

const folder = mkdtempSync(join(tmpdir(), "vgg-bench-"));
const removeFolder = () => rmSync(folder, { recursive: true, force: true });
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    removeFolder();
    process.exit(1); // A driver ends when its standard input ends.
  });
}
try {
  const skipped = [];
  const trials = availableTrials(skipped);
  const forms = new Set(trials.map(({ engine }) => engines[engine].reads));
  const models = await writeModels(folder, forms, Math.min(4, Math.max(...batches)));
  if (options.smoke) await smoke(trials, models, skipped);
  else {
    const othersShare = watchBystanders();
    const results = summarize(await timeAll(trials, models, skipped));
    const machine = { ...describeMachine(), othersShare: othersShare() };
    for (const { trial, reason } of skipped) console.log(`${trial} is absent: ${reason}`);
    printTable(machine, results);
    if (options.only === "" && options.batch === undefined) {
      const file = new URL(`results/cpu-${machine.instructionSets[0]}.json`, import.meta.url);
      const report = { machine, threads, skipped, results, layers: layerTimes() };
      await mkdir(new URL(".", file), { recursive: true });
      await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
      await writeReport();
    }
  }
} finally {
  removeFolder();
}
