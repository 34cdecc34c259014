// test/device/lifetime.test.ts runs this in a separate process. Each mode ends the process in its own way.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Graph, GraphBuilder, openDevice, preprocess, Tensor, Vgg } from "../../dist/index.js";

const kind = process.env.VGG_REQUIRE_DEVICES?.includes("cuda") ? "cuda" : "cpu";
const device = await openDevice(kind, { deterministic: true });
/** As in test/support/devices.ts. */
const isSlow =
  (process.env.VGG_CUDA_PATH ?? "").includes("fake-cuda") || process.env.VGG_SANITIZED === "1";
const options = { device, imageSize: 32, numClasses: 10, hiddenFeatures: 64, seed: 3 };
const image = Tensor.randn([1, 3, 32, 32], 1);
const largeBatch = Tensor.zeros([64, 3, 32, 32]);

function worker(task) {
  return new Worker(new URL(import.meta.url), { workerData: { task } });
}

const message = (w) =>
  new Promise((resolve, reject) => {
    w.once("message", resolve);
    w.once("error", reject);
  });

/** Starts workers whose queues are full. All have their model before the first fills the device's queue, which they share. */
async function computing(count) {
  const workers = Array.from({ length: count }, () => worker("compute"));
  await Promise.all(workers.map(message));
  const messages = Promise.all(workers.map(message));
  for (const w of workers) w.postMessage("start");
  await messages;
  return workers;
}

/** Starts a worker and waits for its answer. */
async function answering() {
  const w = worker("answer");
  await message(w);
  return [w];
}

async function main(mode) {
  console.log(mode);
  if (mode === "workers") {
    // The parameters are equal in all workers, so the answers must be equal.
    const workers = Array.from({ length: isSlow ? 4 : 8 }, () => worker("answer"));
    const answers = await Promise.all(workers.map(message));
    if (new Set(answers).size !== 1) throw new Error(`Expected one answer but received ${answers}`);
    await Promise.all(workers.map((w) => w.terminate()));
    return;
  }
  if (mode === "cycles") {
    for (let i = 0; i < (isSlow ? 4 : 6); i++) {
      const [w] = i % 2 === 0 ? await computing(1) : await answering();
      await w.terminate();
    }
    return;
  }
  if (mode === "anytime") {
    // The worker may be computing, settling a promise, or between the two.
    for (let i = 0; i < 24; i++) {
      const w = worker(i % 2 === 0 ? "graph" : "images");
      await message(w);
      await new Promise((resolve) => setTimeout(resolve, (i * 37) % 110));
      await w.terminate();
    }
    return;
  }
  if (mode === "exit-workers") {
    await computing(3);
    process.exit(7);
  }
  if (mode === "terminate") {
    const [w] = await computing(1);
    const start = performance.now();
    await w.terminate();
    // The bound is generous: working off the queue instead of dropping it takes minutes.
    if (performance.now() - start > 20_000)
      throw new Error("Expected the worker's queue to be dropped");
    const model = await Vgg.create("vgg11", options);
    await model.forward(image);
    return;
  }
  const model = await Vgg.create("vgg11", options);
  if (mode === "idle") {
    await model.forward(image);
    return;
  }
  if (mode === "pending") {
    model.forward(image).then(({ shape }) => {
      if (shape[1] !== 10) process.exitCode = 3;
      else console.log("answered");
    });
    return;
  }
  const pending = [];
  for (let i = 0; i < (mode === "exit-queued" ? 200 : 2); i++)
    pending.push(model.forward(largeBatch));
  await new Promise((resolve) => setTimeout(resolve, 30));
  if (mode === "throw") throw new Error("uncaught");
  process.exit(7);
}

/** Runs a small graph again and again, without end. */
async function runGraph() {
  const builder = new GraphBuilder();
  const y = builder.relu(builder.input("x", [8, 16, 16]));
  const graph = Graph.compile(device, builder.finish({ y }));
  const x = Tensor.zeros([1, 8, 16, 16]);
  parentPort.postMessage("running");
  for (;;) await graph.run({ x });
}

async function decodeImages() {
  const path = new URL("../golden/images/small.png", import.meta.url);
  await preprocess(path);
  parentPort.postMessage("running");
  for (;;) await Promise.all([preprocess(path), preprocess(path)]);
}

async function work(task) {
  if (task === "graph") return runGraph();
  if (task === "images") return decodeImages();
  const model = await Vgg.create("vgg11", options);
  if (task === "answer") {
    const { data } = await model.forward(image);
    parentPort.postMessage(createHash("sha256").update(data).digest("hex"));
    return;
  }
  parentPort.postMessage("ready");
  await once(parentPort, "message");
  for (let i = 0; i < 200; i++) model.forward(largeBatch);
  parentPort.postMessage("computing");
}

await (isMainThread ? main(process.argv[2]) : work(workerData.task));
