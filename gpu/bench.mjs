// Times VGG11 on the GPU for each precision and batch, on the device and from the host, in rounds with PyTorch and JAX if python3 has them.
// Usage: node gpu/bench.mjs [--quick] [--seconds 150] [--only LIST] [--compile LIST] [--peers PyTorch,JAX] [--results FOLDER] JSON [PYTHON]
// The lists of --only and --compile are such as float16:1,tf32:256. --results is a folder for gpu-NAME.json.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { diagnose } from "../dist/index.js";
import { readArguments, refuse } from "./arguments.mjs";
import { bars, openGpu, table, writeJson } from "./common.mjs";
import { OurVgg } from "./ours.mjs";
import { Peer } from "./peer.mjs";
import { statistics } from "./statistics.mjs";
import { ratiosOf, verdictsOf } from "./verdicts.mjs";

const { isQuick, positionals, ...options } = readArguments({
  seconds: { type: "string" },
  only: { type: "string" },
  compile: { type: "string", default: "float16:1,float16:256,float16:8" },
  peers: { type: "string", default: "PyTorch,JAX" },
  results: { type: "string" },
});
const [json, python] = positionals;
const seconds = Number(options.seconds ?? (isQuick ? 30 : 150));
if (!(seconds > 0 && Number.isFinite(seconds)))
  refuse(`Expected seconds above 0 for --seconds but received ${options.seconds}`);
const end = performance.now() + 1000 * seconds;
const secondsLeft = () => (end - performance.now()) / 1000;
const imageSize = isQuick ? 32 : 224;
const rounds = isQuick ? 1 : 5;
/** Milliseconds for one mode in one round. */
const sliceMs = isQuick ? 1 : 40;
const order = isQuick ? ["float16"] : ["float16", "tf32", "bfloat16", "float32"];
const batches = isQuick ? [1, 2] : [1, 256, 8, 64, 128, 32, 16, 2, 4];
/** Precisions and batches. The most important come first, because the time may end before the last. */
const combinations = listOf(
  "--only",
  options.only ??
    order.flatMap((precision) => batches.map((batch) => `${precision}:${batch}`)).join(),
);
/** Combinations that PyTorch compiles, minutes for each, in the remaining time. */
const compiled = listOf("--compile", options.compile);
const named = options.peers.split(",").filter(Boolean);
for (const name of named)
  if (!["PyTorch", "JAX"].includes(name))
    refuse(`Expected PyTorch or JAX for --peers but received ${name}`);

function listOf(option, text) {
  const parts = text.split(",").filter(Boolean);
  return parts.map((part) => {
    const [precision, batch] = part.split(":");
    if (!(precision in bars) || !(Number.isInteger(Number(batch)) && Number(batch) > 0))
      refuse(
        `Expected precisions and batches such as float16:1,tf32:256 for ${option} but received ${part}`,
      );
    return { precision, batch: Number(batch) };
  });
}

function gpuState() {
  const fields =
    "name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw,utilization.gpu";
  try {
    const text = execFileSync("nvidia-smi", [`--query-gpu=${fields}`, "--format=csv,noheader"], {
      encoding: "utf8",
      timeout: 10_000,
    });
    return text.trim().split("\n");
  } catch {
    return null;
  }
}

const { device, precisions } = await openGpu();
const { version, node, platform, cuda } = diagnose();
// Describes the kind of machine without identifying it.
const { name, memoryBytes, computeCapability, multiprocessors } = device.info;
const report = {
  gpu: { name, memoryBytes, computeCapability, multiprocessors },
  software: {
    version,
    node,
    platform,
    libraries: Object.fromEntries(cuda.libraries.map((library) => [library.name, library.version])),
  },
  date: new Date().toISOString(),
  imageSize,
  rounds,
  state: { before: gpuState(), after: null },
  peers: {},
  rows: [],
  ratios: [],
  verdicts: [],
  profiles: [],
  prepare: [],
  notes: [],
};
const note = (text) => {
  report.notes.push(text);
  console.log(text);
};
function save() {
  report.ratios = ratiosOf(report.rows);
  report.verdicts = verdictsOf(report.rows);
  writeJson(json, report);
  const file = `gpu-${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.json`;
  if (options.results) writeJson(join(options.results, file), report);
}

/** Starts the library's process. Returns null if it does not answer. */
async function open(name, script, ...args) {
  if (!python) return null;
  const peer = Object.assign(new Peer(python, script, args), { label: name });
  try {
    report.peers[name] = await peer.ask({ hello: true }, Math.max(10, Math.min(90, secondsLeft())));
    console.log(`${name}: ${JSON.stringify(report.peers[name])}`);
    return peer;
  } catch (error) {
    note(`${name} is skipped: ${error.message}`);
    peer.end();
    return null;
  }
}

/** Measures one precision and batch: rounds of our runs and the peers' in turn. */
async function measure(model, batch, peers) {
  const { precision } = model;
  const ours = await model.prepare(batch, sliceMs);
  const samples = { "vgg-cudnn": {} };
  const keep = (name, mode, times) => {
    samples[name] ??= {};
    samples[name][mode] ??= [];
    samples[name][mode].push(...times);
  };
  const question = { precision, batch, imageSize, sliceMs };
  const live = new Set(peers);
  try {
    if (!(ours.error <= bars[precision]))
      throw new Error(`its logits differ from the CPU's by ${ours.error}`);
    for (let round = 0; round < rounds; round++) {
      for (const [mode, run] of Object.entries(ours.modes)) keep("vgg-cudnn", mode, await run());
      for (const peer of live) {
        try {
          const { timesMs } = await peer.ask(question, Math.max(10, secondsLeft()));
          for (const [mode, times] of Object.entries(timesMs)) keep(peer.label, mode, times);
        } catch (error) {
          live.delete(peer);
          note(`${peer.label} ${precision} batch ${batch}: ${error.message}`);
        }
      }
    }
    const steps = batch === 1 || batch === 256 ? await ours.profile() : null;
    if (steps) report.profiles.push({ precision, batch, steps });
  } finally {
    ours.dispose();
  }
  report.prepare.push({ precision, batch, ms: ours.prepareMs, error: ours.error });
  const rows = [];
  for (const [name, modes] of Object.entries(samples))
    for (const [mode, times] of Object.entries(modes)) {
      const ms = statistics(times);
      rows.push({ name, precision, batch, mode, ms, imagesPerSecond: (1000 * batch) / ms.p50 });
    }
  report.rows.push(...rows);
  console.log(table(rows.map(rowOf)));
}

const failures = [];
/** Measures a combination and keeps its result or failure. */
async function attempt(model, batch, peers) {
  try {
    await measure(model, batch, peers);
  } catch (error) {
    failures.push(`${model.precision} batch ${batch}: ${error.message}`);
    console.log(`FAILED ${failures.at(-1)}`);
  }
  save();
}
const rowOf = ({ name, precision, batch, mode, ms, imagesPerSecond }) => [
  ...[name.padEnd(20), precision.padEnd(9), `batch ${String(batch).padEnd(4)}`, mode.padEnd(14)],
  ...[ms.p50, ms.p95, ms.p99].map((x) => `${x.toFixed(3).padStart(9)} ms`),
  `${Math.round(imagesPerSecond).toString().padStart(7)} images/s`,
];

if (!python) note("PyTorch and JAX are skipped: no python3 with torch or jax");
const peers = [];
for (const [name, ...script] of [
  ["PyTorch", "bench.py", "eager"],
  ["JAX", "bench_jax.py"],
]) {
  const peer = named.includes(name) ? await open(name, ...script) : null;
  if (peer) peers.push(peer);
}

console.log(
  "medians, 95th and 99th percentiles of a forward; device: input and output stay on the GPU",
);
const models = new Map();
async function modelOf(precision) {
  if (!models.has(precision))
    models.set(precision, await OurVgg.create(device, precision, imageSize, isQuick));
  return models.get(precision);
}
for (const { precision, batch } of combinations) {
  if (!precisions.includes(precision)) continue;
  // Reserve a part of the time for compiled models.
  const reserved = python && compiled.length > 0 && precision !== order[0] ? 60 : 3;
  if (secondsLeft() < reserved) note(`${precision} batch ${batch}: skipped, the time was over`);
  else await attempt(await modelOf(precision), batch, peers);
}
for (const peer of peers) peer.end();
// Torch compiles for minutes. Report what it does not finish in time.
if (peers.some(({ label }) => label === "PyTorch") && compiled.length > 0) {
  const peer = await open("PyTorch compiled", "bench.py", "compile");
  for (const { precision, batch } of peer ? compiled : []) {
    if (!precisions.includes(precision)) continue;
    try {
      const question = { precision, batch, imageSize, sliceMs, prepare: true };
      const { prepareMs } = await peer.ask(question, Math.max(1, secondsLeft() - 2));
      note(`PyTorch compiled ${precision}:${batch} in ${(prepareMs / 1000).toFixed(0)} s`);
      await attempt(await modelOf(precision), batch, [peer]);
    } catch (error) {
      note(`PyTorch compiled ${precision}:${batch}: ${error.message}`);
      if (!error.isAnswer) break;
    }
  }
  peer?.end();
}
for (const model of models.values()) await model.dispose();
report.state.after = gpuState();
save();
for (const { goal, value, wanted, reached } of report.verdicts)
  console.log(`${reached ? "reached" : "MISSED "}  ${goal}: ${value.toFixed(2)} (${wanted})`);
const best = report.rows
  .filter(({ name, mode }) => name === "vgg-cudnn" && mode === "device, queued")
  .sort((a, b) => b.imagesPerSecond - a.imagesPerSecond)[0];
const summary = best
  ? `at best ${Math.round(best.imagesPerSecond)} images/s (${best.precision}, batch ${best.batch}) of ${report.prepare.length} measured`
  : "nothing measured";
console.log(failures.length > 0 ? `${failures.length} failed: ${failures[0]}` : summary);
process.exit(failures.length === 0 && best ? 0 : 1);
