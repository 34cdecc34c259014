// Measures how VGG11 on the CPU gets faster with more threads: whole forwards with each thread count, in turns.
// Usage: node bench/cores.mjs [--threads 1,2,4,…] [--batch 1,4,16] [--precision float32] [--rounds 3] [--json FILE]
// Without --threads: the powers of two below the number of cores, and all cores.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { listDevices, openDevice, Tensor, Vgg } from "../dist/index.js";
import { table } from "./markdown.mjs";
import { median, speedAgainst } from "./statistics.mjs";

const { values } = parseArgs({
  options: {
    threads: { type: "string" },
    batch: { type: "string", default: "1,4,16" },
    precision: { type: "string", default: "float32" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
const cpu = listDevices().find(({ kind }) => kind === "cpu");
const batches = values.batch.split(",").map(Number);
const counts = values.threads?.split(",").map(Number) ?? doublesUpTo(cpu.threads);
const rounds = Number(values.rounds);
if (!(rounds >= 1))
  throw new RangeError(`Expected 1 or more for --rounds but received ${values.rounds}`);
const sliceMs = 400; // Forwards run this long, at least three. Their median counts.

function doublesUpTo(last) {
  const doubles = [];
  for (let count = 1; count < last; count *= 2) doubles.push(count);
  return [...doubles, last];
}

/** The median time of a forward at each batch size, in ms. */
async function measure(threads) {
  const device = await openDevice("cpu", { threads });
  const model = await Vgg.create("vgg11", { device, precision: values.precision, seed: 1 });
  const times = [];
  for (const batch of batches) {
    const images = Tensor.randn([batch, 3, 224, 224], 2);
    for (let i = 0; i < 2; i++) await model.forward(images);
    const runs = [];
    const end = performance.now() + sliceMs;
    while (runs.length < 3 || performance.now() < end) {
      const start = performance.now();
      await model.forward(images);
      runs.push(performance.now() - start);
    }
    times.push(median(runs));
  }
  await model.dispose();
  device.dispose();
  return times;
}

const samples = counts.map(() => batches.map(() => []));
for (let round = 0; round < rounds; round++) {
  for (const [i, threads] of counts.entries()) {
    for (const [k, ms] of (await measure(threads)).entries()) samples[i][k].push(ms);
  }
}
const rows = counts.map((threads, i) => ({
  threads,
  batches: batches.map((batch, k) => ({
    batch,
    ms: median(samples[i][k]),
    speedup: speedAgainst(samples[0][k], samples[i][k]),
    samples: samples[i][k],
  })),
}));
console.log(
  `${cpu.name}, ${cpu.threads} cores, ${cpu.instructionSets[0]}, ${values.precision}; ms (speed against ${counts[0]})\n`,
);
console.log(
  table(
    ["threads", ...batches.map((batch) => `batch ${batch}`)],
    rows.map(({ threads, batches }) => [
      threads,
      ...batches.map(({ ms, speedup }) => `${ms.toPrecision(3)} (${speedup.toFixed(2)} ×)`),
    ]),
  ),
);
if (values.json)
  writeFileSync(values.json, JSON.stringify({ cpu, precision: values.precision, rows }));
