// Runs in an installed package, under any platform's Node: `node smoke.mjs IMAGE WEIGHTS` prints what it computed as JSON.
// `node smoke.mjs --make WEIGHTS` writes random weights of a network instead.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { diagnose, Graph, GraphBuilder, openDevice, preprocess, Tensor, Vgg } from "vgg-cudnn";

const device = "cpu";
const digest = ({ data }) =>
  createHash("sha256")
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");

/** A graph whose run takes long enough for its thread to end in the middle. */
async function slowGraph() {
  const builder = new GraphBuilder();
  const input = builder.input("images", [64, 64, 64]);
  const output = builder.conv2d(input, builder.parameter("filters", [64, 64, 3, 3]), {
    padding: 1,
  });
  const graph = Graph.compile(await openDevice(device), builder.finish({ output }));
  return { graph, run: (batch) => graph.run({ images: Tensor.zeros([batch, 64, 64, 64]) }) };
}

/** Starts a run in a worker that exits before the run ends. @returns the worker's exit code */
async function exitInWorker() {
  const worker = new Worker(new URL(import.meta.url), { argv: ["--exit"] });
  const [code] = await once(worker, "exit");
  return code;
}

async function startAndExit() {
  const { graph, run } = await slowGraph();
  await graph.parameters.fill("filters", 0.5);
  await graph.prepare(64);
  run(64);
  setImmediate(() => process.exit(0));
}

/** @returns the code of the VggError that a call rejects with */
async function codeOf(call) {
  const error = await call().then(
    () => assert.fail("Expected a VggError but the call succeeded"),
    (reason) => reason,
  );
  assert.equal(error.name, "VggError", `Expected a VggError but received ${error}`);
  return error.code;
}

/** An error that JavaScript throws, and one that C++ throws. */
async function errors() {
  const { graph, run } = await slowGraph();
  const codes = [
    await codeOf(() => Vgg.load("none.safetensors", { device })),
    await codeOf(() => run(1)),
  ];
  await graph.dispose();
  return codes;
}

/** Logits of one network, before and after a worker of the process has ended. */
async function forward(weights, precision) {
  const model = await Vgg.load(weights, { device, precision });
  const images = Tensor.randn([2, 3, 64, 64], 7);
  const logits = await model.forward(images);
  const worker = await exitInWorker();
  assert.equal(digest(await model.forward(images)), digest(logits));
  const { instructionSets } = model.device.info;
  await model.dispose();
  return { worker, instructionSet: instructionSets[0], logits: [...logits.data] };
}

async function smoke(image, weights) {
  const { addon } = diagnose();
  assert.equal(addon.kind, "prebuilt");
  const float32 = await forward(weights, "float32");
  const float16 = await forward(weights, "float16");
  const found = {
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    instructionSet: float32.instructionSet,
    randn: digest(Tensor.randn([1000, 1001], 7)),
    image: digest(await preprocess(image)),
    float32: float32.logits,
    float16: float16.logits,
    workers: [float32.worker, float16.worker],
    errors: await errors(),
  };
  console.log(JSON.stringify(found));
}

const [first, second] = process.argv.slice(2);
if (first === "--exit") await startAndExit();
else if (first === "--make") {
  const sizes = { imageSize: 64, numClasses: 10, hiddenFeatures: 256 };
  const model = await Vgg.create("vgg11_bn", { device, ...sizes, seed: 0 });
  await model.save(second);
  await model.dispose();
} else await smoke(first, second);
