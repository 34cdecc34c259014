// Measures what JavaScript adds to a forward, and whether calls leak memory.
// Usage: node --expose-gc bench/overhead.mjs [--device DEVICE] [--precision PRECISION]. The defaults are cpu and float32.
import { parseArgs } from "node:util";
import { Graph, GraphBuilder, openDevice, ParameterStore, Tensor, Vgg } from "../dist/index.js";
import { percentile } from "../dist/statistics.js";
import { recordForward } from "../dist/vgg/record.js";
import { logitsName, topology } from "../dist/vgg/topology.js";

const { device: id, precision } = parseArgs({
  options: {
    device: { type: "string", default: "cpu" },
    precision: { type: "string", default: "float32" },
  },
}).values;
const device = await openDevice(id);
const calls = 10_000;

/** A graph of one cheap operation on `count` numbers. */
function graphOf(count, kind) {
  const builder = new GraphBuilder();
  const x = builder.input("x", [count]);
  return Graph.compile(device, builder.finish({ y: builder[kind](x) }));
}

/** A convolution, a pool and a linear layer on 32 × 32 pixels. */
async function smallNetwork() {
  const b = new GraphBuilder();
  const filters = b.parameter("filters", [16, 3, 3, 3]);
  const image = b.conv2d(b.input("x", [3, 32, 32]), filters, { padding: 1, relu: true });
  const features = b.flatten(b.maxPool2d(image));
  const y = b.gemm(features, b.parameter("weight", [10, 4096]));
  const graph = Graph.compile(device, b.finish({ y }));
  for (const name of ["filters", "weight"]) await graph.parameters.fillNormal(name, 0.1);
  return graph;
}

const row = (name, values) => {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) =>
    (percentile(values, share) * 1000).toFixed(1).padStart(8),
  );
  console.log(`${name.padEnd(44)} ${p50} ${p95} ${p99}`);
};

async function measure(name, graph, x) {
  const input = { x };
  for (let i = 0; i < 2000; i++) await graph.run(input);
  const [all, called, native, rest, inJavaScript] = Array.from(
    { length: 5 },
    () => new Float64Array(calls),
  );
  for (let i = 0; i < calls; i++) {
    const start = performance.now();
    const running = graph.run(input);
    called[i] = performance.now() - start;
    await running;
    all[i] = performance.now() - start;
    const { device, call } = graph.lastRun;
    native[i] = device;
    rest[i] = all[i] - device;
    inJavaScript[i] = all[i] - call;
  }
  row(`${name}: a call`, all);
  row("  until it returns a promise", called);
  row("  on the device's thread", native);
  row("  above the device's time", rest);
  row("    of that in JavaScript", inJavaScript);
}

/** Times VGG11 in turns with only the addon's call. After a forward nothing of either is in a cache. */
async function measureVgg() {
  const model = await Vgg.create("vgg11", { device, precision });
  const record = recordForward(topology("vgg11", {}), [logitsName]);
  const store = new ParameterStore(device, record.parameters, precision);
  for (const { name } of record.parameters) await store.fillNormal(name, 0.01);
  const [inputs, outputs] = [record.inputs, record.outputs].map(Object.values);
  const bare = device.native.createGraph({ ...record, inputs, outputs }, store.native);
  const image = Tensor.randn([1, 3, 224, 224]);
  const trials = [
    {
      name: "VGG11",
      call: () => model.forward(image),
      time: () => model.lastForward,
    },
    {
      name: "VGG11 by the addon's call alone",
      call: () => bare.finish(bare.start(1, [image.data], [null]), [new Float32Array(1000)]),
      time: () => bare.lastRun(),
    },
  ].map((trial) => ({ ...trial, all: [], rest: [], inJavaScript: [] }));
  for (let round = 0; round < 70; round++) {
    for (const { call, time, all, rest, inJavaScript } of trials) {
      const start = performance.now();
      await call();
      const taken = performance.now() - start;
      if (round < 10) continue;
      const run = time();
      all.push(taken);
      rest.push(taken - run.device);
      inJavaScript.push(taken - run.call);
    }
  }
  for (const { name, all, rest, inJavaScript } of trials) {
    row(`${name}: a call`, all);
    row("  above the device's time", rest);
    row("    of that in JavaScript", inJavaScript);
  }
  await Promise.all([model.dispose(), bare.dispose(), store.dispose()]);
}

function memory() {
  for (let i = 0; i < 4; i++) globalThis.gc?.();
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  return { heapUsed, external, arrayBuffers, rss };
}

console.log(`${device}, VGG11 in ${precision}, Node ${process.version}, ${calls} calls\n`);
console.log(`${"µs".padEnd(44)} ${["p50", "p95", "p99"].map((p) => p.padStart(8)).join(" ")}`);
const tiny = graphOf(16, "relu");
const small = Tensor.randn([1, 16]);
await measure("relu of 16 numbers", tiny, small);
const softmax = graphOf(1000, "softmax");
await measure("softmax of 1000 numbers", softmax, Tensor.randn([1, 1000]));
const network = await smallNetwork();
await measure("conv2d, maxPool2d, gemm", network, Tensor.randn([1, 3, 32, 32]));
await measureVgg();

// An image is copied before the call returns (docs/decisions/0005): a separate line.
const image = Tensor.randn([1, 3 * 224 * 224]);
const copy = new Float32Array(image.data.length);
const copies = new Float64Array(1000);
for (let i = 0; i < copies.length; i++) {
  const start = performance.now();
  copy.set(image.data);
  copies[i] = performance.now() - start;
}
row("a copy of an image (602,112 bytes)", copies);
const takes = new Float64Array(1000);
const large = graphOf(3 * 224 * 224, "relu");
for (let i = 0; i < takes.length; i++) {
  const start = performance.now();
  const running = large.run({ x: image });
  takes[i] = performance.now() - start;
  await running;
}
row("run of an image, until it returns a promise", takes);

console.log("\nmemory after gc, in bytes: heapUsed, external, arrayBuffers, resident");
const show = (name, { heapUsed, external, arrayBuffers, rss }) =>
  console.log(
    name.padEnd(28),
    ...[heapUsed, external, arrayBuffers, rss].map((n) => String(n).padStart(11)),
  );
for (let i = 0; i < 2000; i++) await tiny.run({ x: small });
const before = memory();
show("before", before);
for (let round = 1; round <= 2; round++) {
  for (let i = 0; i < calls; i++) await tiny.run({ x: small });
  show(`after ${round * calls} calls`, memory());
}
await Promise.all([tiny, softmax, network, large].map((graph) => graph.dispose()));
