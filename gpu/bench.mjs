// Times VGG11 on the GPU for each precision and batch, on the device and from JavaScript's memory, in rounds with PyTorch where python3 has it.
// Usage: node gpu/bench.mjs JSON [PYTHON]; VGG_BENCH_SECONDS is its time (default 150)
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { DeviceTensor, diagnose, Tensor, Vgg } from "../dist/index.js";
import { isQuick, openGpu, table, writeJson } from "./common.mjs";

const [json, python] = process.argv.slice(2);
const end =
  performance.now() + 1000 * Number(process.env.VGG_BENCH_SECONDS ?? (isQuick ? 30 : 150));
const secondsLeft = () => (end - performance.now()) / 1000;
const imageSize = isQuick ? 32 : 224;
const rounds = isQuick ? 1 : 5;
/** Time for one mode in one round. */
const sliceMs = isQuick ? 1 : 40;
const inFlight = isQuick ? 2 : 4;
/** Fewest calls of a mode in one round. */
const leastCalls = isQuick ? 1 : 3;
// The combinations that matter most first: the time may end before the last.
const order = isQuick ? ["float32", "float16"] : ["float16", "bfloat16", "tf32", "float32"];
const batches = isQuick ? [1, 2] : [1, 8, 32, 128, 256];
/** What PyTorch compiles (minutes for each); in the time that is left. */
const compiled = (process.env.VGG_BENCH_COMPILE ?? "float16:1,float16:32")
  .split(",")
  .filter(Boolean);

/** PyTorch's process: one line of JSON for each line. */
class Peer {
  constructor(mode) {
    this.process = spawn(python, [fileURLToPath(new URL("bench.py", import.meta.url)), mode], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.process.on("error", () => {});
    this.process.stdin.on("error", () => {});
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }
  /** @throws {Error} where it has ended, refuses or takes too long; it is then ended */
  async ask(question, seconds) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer in ${Math.round(seconds)} s`)),
        seconds * 1000,
      );
    });
    try {
      this.process.stdin.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await Promise.race([this.lines.next(), late]);
      if (done) throw new Error("its process ended");
      const answer = JSON.parse(value);
      if (answer.error) throw Object.assign(new Error(answer.error), { isAnswer: true });
      return answer;
    } catch (error) {
      if (!error.isAnswer) this.end();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
  end() {
    this.process.kill("SIGKILL");
  }
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

function statistics(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), min: sorted[0] };
}

/** Milliseconds of each call, one after the other. */
async function latencies(work) {
  const times = [];
  const until = performance.now() + sliceMs;
  do {
    const start = performance.now();
    await work(0);
    times.push(performance.now() - start);
  } while (performance.now() < until || times.length < leastCalls);
  return times;
}

/** Milliseconds a call with several in flight, each with buffers of its own. */
async function pipelined(work) {
  let count = 0;
  const start = performance.now();
  const chain = async (slot) => {
    for (let i = 0; i < leastCalls || performance.now() - start < sliceMs; i++) {
      await work(slot);
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, slot) => chain(slot)));
  return [(performance.now() - start) / count];
}

/** What is measured of ours: a function for each mode, and an end. */
async function prepareOurs(model, batch) {
  const { device } = model;
  const shape = [batch, 3, imageSize, imageSize];
  const images = Tensor.randn(shape, batch);
  const inputs = Array.from({ length: inFlight }, () => DeviceTensor.allocate(device, shape));
  const outputs = inputs.map(() => DeviceTensor.allocate(device, [batch, model.numClasses]));
  const onDevice = (slot) => model.forward(inputs[slot], { into: outputs[slot] });
  const fromHost = () => model.forward(images);
  const start = performance.now();
  await fromHost();
  const prepareMs = performance.now() - start;
  for (const [slot, input] of inputs.entries()) {
    await input.write(images);
    await onDevice(slot);
  }
  return {
    prepareMs,
    modes: {
      device: () => latencies(onDevice),
      "device, queued": () => pipelined(onDevice),
      host: () => latencies(fromHost),
      "host, queued": () => pipelined(fromHost),
    },
    dispose: () => {
      for (const tensor of [...inputs, ...outputs]) tensor.dispose();
    },
  };
}

/** One precision and batch: rounds of ours and PyTorch's in turn. */
async function measure(model, batch, peer, note) {
  const precision = model.precision;
  const ours = await prepareOurs(model, batch);
  const samples = Object.fromEntries(Object.keys(ours.modes).map((mode) => [mode, []]));
  const theirs = {};
  const question = { precision, batch, imageSize, sliceMs };
  try {
    let isPeer = peer !== null;
    for (let round = 0; round < rounds; round++) {
      for (const [mode, run] of Object.entries(ours.modes)) samples[mode].push(...(await run()));
      if (!isPeer) continue;
      try {
        const { timesMs } = await peer.ask(question, Math.max(10, secondsLeft()));
        for (const [mode, times] of Object.entries(timesMs)) {
          theirs[mode] ??= [];
          theirs[mode].push(...times);
        }
      } catch (error) {
        isPeer = false;
        note(`PyTorch ${precision} batch ${batch}: ${error.message}`);
      }
    }
  } finally {
    ours.dispose();
  }
  const rows = [];
  for (const [name, all] of [
    ["vgg-cudnn", samples],
    ["PyTorch", theirs],
  ]) {
    for (const [mode, times] of Object.entries(all)) {
      const ms = statistics(times);
      rows.push({ name, precision, batch, mode, ms, imagesPerSecond: (1000 * batch) / ms.p50 });
    }
  }
  return { rows, prepare: { precision, batch, ms: ours.prepareMs } };
}

const { device, precisions } = await openGpu();
const { version, node, platform, cuda } = diagnose();
const report = {
  gpu: device.info,
  software: { version, node, platform, libraries: cuda.libraries },
  imageSize,
  rounds,
  state: { before: gpuState(), after: null },
  peer: null,
  rows: [],
  prepare: [],
  notes: [],
};
const note = (text) => {
  report.notes.push(text);
  console.log(text);
};
const save = () => writeJson(json, report);

let eager = null;
if (python) {
  const peer = new Peer("eager");
  try {
    report.peer = await peer.ask({ hello: true }, 60);
    eager = peer;
    console.log(`PyTorch ${report.peer.torch}: ${JSON.stringify(report.peer.roofline)}`);
  } catch (error) {
    note(`PyTorch is left out: ${error.message}`);
    peer.end();
  }
} else note("PyTorch is left out: no python3 with torch");

const failures = [];
/** Runs a combination if there is time, and keeps what came of it. */
async function attempt(model, batch, peer) {
  try {
    const { rows, prepare } = await measure(model, batch, peer, note);
    report.prepare.push(prepare);
    report.rows.push(...rows);
    console.log(table(rows.map(rowOf)));
  } catch (error) {
    failures.push(`${model.precision} batch ${batch}: ${error.message}`);
    console.log(`FAILED ${failures.at(-1)}`);
  }
  save();
}
const rowOf = ({ name, precision, batch, mode, ms, imagesPerSecond }) => [
  ...[name.padEnd(16), precision.padEnd(9), `batch ${String(batch).padEnd(4)}`, mode.padEnd(14)],
  ...[ms.p50, ms.p95, ms.p99].map((x) => `${x.toFixed(3).padStart(9)} ms`),
  `${Math.round(imagesPerSecond).toString().padStart(7)} images/s`,
];

console.log(
  "medians, 95th and 99th percentiles of a forward; device: input and output stay on the GPU",
);
const models = [];
for (const precision of order.filter((name) => precisions.includes(name))) {
  const model = await Vgg.create("vgg11", { device, precision, imageSize, seed: 1 });
  models.push(model);
  for (const batch of batches) {
    if (secondsLeft() < 3) note(`${precision} batch ${batch}: left out, the time was over`);
    else await attempt(model, batch, eager);
  }
}
eager?.end();
// Torch compiles for minutes; what it does not finish in time is said.
if (eager && compiled.length > 0) {
  const peer = new Peer("compile");
  for (const name of compiled) {
    const [precision, batch] = [name.split(":")[0], Number(name.split(":")[1])];
    const model = models.find((each) => each.precision === precision);
    if (!model) continue;
    try {
      const question = { precision, batch, imageSize, sliceMs };
      const { prepareMs } = await peer.ask(
        { ...question, prepare: true },
        Math.max(1, secondsLeft() - 2),
      );
      note(`PyTorch compiled ${name} in ${(prepareMs / 1000).toFixed(0)} s`);
      await attempt(model, batch, peer);
    } catch (error) {
      note(`PyTorch compiled ${name}: ${error.message}`);
      if (!error.isAnswer) break;
    }
  }
  peer.end();
}
for (const model of models) await model.dispose();
report.state.after = gpuState();
save();
const best = report.rows
  .filter(({ name, mode }) => name === "vgg-cudnn" && mode === "device, queued")
  .sort((a, b) => b.imagesPerSecond - a.imagesPerSecond)[0];
const summary = best
  ? `at best ${Math.round(best.imagesPerSecond)} images/s (${best.precision}, batch ${best.batch}) of ${report.prepare.length} measured`
  : "nothing measured";
console.log(failures.length > 0 ? `${failures.length} failed: ${failures[0]}` : summary);
process.exit(failures.length === 0 && best ? 0 : 1);
