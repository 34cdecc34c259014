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
import { assess, describe, lines } from "./support/soak-report.mjs";

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
  const report = assess(samples, delaysOf(loopDelay), bounds, failures);
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

function delaysOf(histogram) {
  return {
    loopDelayP50Ms: histogram.percentile(50) / 1e6,
    loopDelayP99Ms: histogram.percentile(99) / 1e6,
    loopDelayMaxMs: histogram.max / 1e6,
  };
}
