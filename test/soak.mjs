// `npm run soak -- --minutes 10` runs a mixed load on the CPU. Growth, delays or wrong results beyond a bound end it with exit code 1.
// The load is rounds of concurrent calls. The process is measured after each round, when nothing is under way.
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import {
  DeviceTensor,
  Graph,
  GraphBuilder,
  openDevice,
  readCheckpoint,
  Tensor,
  Vgg,
  writeSafetensors,
} from "../dist/index.js";

const options = { device: "cpu", imageSize: 32, numClasses: 10 };
const batches = [1, 2, 3, 8, 5, 1];
const images = fileURLToPath(new URL("golden/images/", import.meta.url));
/** The run fails if a figure exceeds its bound. */
const bounds = {
  /** Growth of the resident set by least squares, less two standard errors. A short run may always grow by `growthMB`. */
  growthMBPerHour: 60,
  growthMB: 24,
  loopDelayP99Ms: 200,
  /** More than were open when the warm-up ended. */
  fileDescriptors: 0,
  threads: 0,
};

/** Compiles a new network, runs it once from and into the device's memory, and frees it. */
async function ownGraph(device, size) {
  const builder = new GraphBuilder();
  const x = builder.input("x", [size]);
  const weight = builder.parameter("weight", [size, size]);
  const graph = Graph.compile(device, builder.finish({ y: builder.relu(builder.gemm(x, weight)) }));
  const input = DeviceTensor.allocate(device, [2, size]);
  const output = DeviceTensor.allocate(device, [2, size]);
  try {
    await graph.parameters.fill("weight", 0.5);
    await input.write(new Tensor([2, size], new Float32Array(2 * size).fill(1)));
    await graph.run({ x: input }, { into: { y: output } });
    const { data } = await output.read();
    if (!data.every((value) => value === size / 2)) throw new Error("a graph is wrong");
  } finally {
    input.dispose();
    output.dispose();
    await graph.dispose();
  }
}

if (isMainThread) await soak();
else {
  const device = await openDevice("cpu");
  parentPort.postMessage("at work");
  for (let i = 0; i < 200; i++) await ownGraph(device, 64);
}

async function soak() {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      json: { type: "boolean", default: false },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new RangeError(`Expected minutes above 0 but received ${minutes}`);
  const scratch = mkdtempSync(join(tmpdir(), "vgg-soak-"));
  const log = (line) => values.json || console.log(line);
  try {
    const report = await run(minutes, scratch, log);
    if (values.json) console.log(JSON.stringify(report));
    else for (const line of lines(report)) console.log(line);
    process.exitCode = report.failures.length === 0 ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

async function run(minutes, scratch, log) {
  const device = await openDevice("cpu");
  const model = await Vgg.create("vgg11", { ...options, device });
  const inputs = batches.map((batch, seed) => Tensor.randn([batch, 3, 32, 32], seed));
  const expected = [];
  for (const input of inputs) expected.push(await model.forward(input));
  const good = ["landscape.png", "portrait.jpg", "palette.gif"].map((name) => images + name);
  const photo = readFileSync(good[1]);
  const bad = [photo.subarray(0, photo.length >> 1), Buffer.from("text"), `${images}missing.png`];
  const counts = {};
  const failures = [];
  const count = (name, by = 1) => (counts[name] = (counts[name] ?? 0) + by);

  const calls = {
    forward: () =>
      Promise.all(
        [...inputs, ...inputs].map(async (input, i) => {
          const { data } = await model.forward(input);
          const right = expected[i % inputs.length].data;
          if (Buffer.compare(Buffer.from(data.buffer), Buffer.from(right.buffer)) !== 0)
            throw new Error(`a forward of ${input} is wrong`);
          count("forwards");
        }),
      ),
    async abort(round) {
      const controller = new AbortController();
      const { signal } = controller;
      const pending = inputs.map((input) => model.forward(input, { signal }));
      const classified = model.classify(good, { signal });
      const all = Promise.allSettled([...pending, classified]);
      await delay(round % 5);
      controller.abort(scratch);
      for (const { status, reason } of await all)
        if (status === "rejected" && reason !== scratch) throw reason;
      count("aborted calls", pending.length + 1);
    },
    async classify() {
      const answers = [];
      for await (const answer of model.classifyEach([...good, ...bad, ...good], { batchSize: 4 }))
        answers.push(answer.error?.code ?? answer.predictions.length);
      const codes = ["IMAGE_CORRUPT", "IMAGE_FORMAT", "IMAGE_UNREADABLE"];
      if (`${answers}` !== `${[5, 5, 5, ...codes, 5, 5, 5]}`)
        throw new Error(`classifyEach gave ${answers}`);
      for await (const _ of model.classifyEach(good, { batchSize: 1 })) break;
      count("images", answers.length + 1);
    },
    async graphs() {
      for (const size of [16, 100, 256]) await ownGraph(device, size);
      count("graphs", 3);
    },
    async files() {
      const path = join(scratch, "small.safetensors");
      await writeSafetensors(path, { x: inputs[3] });
      const { data } = (await readCheckpoint(path)).get("x");
      if (!data.every((value, i) => value === inputs[3].data[i])) throw new Error("x is wrong");
      count("files");
    },
    async workers(round) {
      const start = () => new Worker(new URL(import.meta.url));
      const whole = start();
      const ended = new Promise((resolve, reject) => {
        whole.on("error", reject);
        whole.on("exit", resolve);
      });
      const cut = start();
      // Wait until it has loaded its modules: Node itself does not close the files that a worker reads when it is terminated.
      await once(cut, "message");
      await delay(round % 20);
      await cut.terminate();
      await ended;
      count("workers", 2);
    },
  };
  /** Saves and loads a model of half a gigabyte. It runs alone, every eighth round. */
  async function large() {
    const path = join(scratch, "model.safetensors");
    await model.save(path);
    const loaded = await Vgg.load("vgg11", path, { ...options, device });
    await loaded.loadStateDict(await model.stateDict());
    const { data } = await loaded.forward(inputs[0]);
    await loaded.dispose();
    if (!data.every((value, i) => value === expected[0].data[i]))
      throw new Error("a loaded model is wrong");
    count("models");
  }

  const loopDelay = monitorEventLoopDelay({ resolution: 10 });
  const start = performance.now();
  const end = start + minutes * 60_000;
  const samples = [];
  for (let round = 0; performance.now() < end && failures.length === 0; round++) {
    loopDelay.enable();
    try {
      if (round % 8 === 0) await large();
      await Promise.all(Object.values(calls).map((call) => call(round)));
    } catch (error) {
      failures.push(error.stack ?? String(error));
    }
    loopDelay.disable();
    samples.push(await measure(start));
    if (round % 10 === 0) log(describe(samples.at(-1)));
  }
  await model.dispose();
  const report = assess(samples, loopDelay, failures);
  const { maxQueuedBytes: _, ...memory } = device.memoryStats();
  if (Object.values(memory).some((bytes) => bytes !== 0))
    failures.push(`memory of the device is in use at the end: ${JSON.stringify(memory)}`);
  return { minutes, ...report, memory, counts, failures };
}

/** Measures the process when nothing is under way. */
async function measure(start) {
  // Finalizers run between turns of the event loop. A thread that ended may be listed a moment longer.
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await delay(5);
  }
  return {
    seconds: (performance.now() - start) / 1000,
    rssMB: process.memoryUsage.rss() / 1e6,
    fileDescriptors: readdirSync("/proc/self/fd").length,
    threads: readdirSync("/proc/self/task").length,
  };
}

function describe({ seconds, rssMB, fileDescriptors, threads }) {
  return `${seconds.toFixed(0)} s: ${rssMB.toFixed(0)} MB, ${fileDescriptors} file descriptors, ${threads} threads`;
}

/** Fits y over x by least squares. Returns the slope and its standard error. */
function leastSquares(points) {
  const n = points.length;
  const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / n;
  const x = mean(([x]) => x);
  const y = mean(([, y]) => y);
  const spread = mean((point) => (point[0] - x) ** 2);
  const slope = mean((point) => (point[0] - x) * (point[1] - y)) / spread;
  const rest = mean((point) => (point[1] - y - slope * (point[0] - x)) ** 2);
  return { slope, error: Math.sqrt(rest / spread / (n - 2)) };
}

/** Returns the figures after the warm-up, which is a quarter of the rounds, and records those that exceed their bounds. */
function assess(all, loopDelay, failures) {
  const warmup = Math.max(2, Math.floor(all.length / 4));
  const samples = all.slice(warmup);
  if (samples.length < 5) {
    failures.push(`Expected at least 7 rounds but there were ${all.length}: give it more minutes`);
    return { rounds: all.length };
  }
  const { slope, error } = leastSquares(
    samples.map(({ seconds, rssMB }) => [seconds / 3600, rssMB]),
  );
  const first = samples[0];
  const last = samples.at(-1);
  // An idle thread of a pool may be gone for a while, so the warm-up's maximum counts.
  const most = (key) => Math.max(...all.slice(0, warmup + 1).map((sample) => sample[key]));
  const figures = {
    rssMB: last.rssMB,
    growthMBPerHour: slope,
    growthErrorMBPerHour: error,
    loopDelayP50Ms: loopDelay.percentile(50) / 1e6,
    loopDelayP99Ms: loopDelay.percentile(99) / 1e6,
    loopDelayMaxMs: loopDelay.max / 1e6,
    fileDescriptors: last.fileDescriptors - most("fileDescriptors"),
    threads: last.threads - most("threads"),
  };
  const hours = (last.seconds - first.seconds) / 3600;
  const { growthMB, ...others } = bounds;
  const limits = { ...others, growthMBPerHour: Math.max(bounds.growthMBPerHour, growthMB / hours) };
  const compared = { ...figures, growthMBPerHour: slope - 2 * error };
  for (const [name, limit] of Object.entries(limits))
    if (compared[name] > limit)
      failures.push(`${name}: ${compared[name].toFixed(1)} is above ${limit.toFixed(1)}`);
  return { rounds: all.length, ...figures, last };
}

function lines({ minutes, rounds, counts, memory, last, failures, ...figures }) {
  const numbers = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  return [
    `${minutes} minutes, ${rounds} rounds: ${Object.entries(counts)
      .map(([name, number]) => `${number} ${name}`)
      .join(", ")}`,
    ...(last === undefined ? [] : [describe(last)]),
    numbers.join(", "),
    `on the device at the end: ${JSON.stringify(memory)}`,
    ...failures.map((failure) => `FAILED: ${failure}`),
  ];
}
