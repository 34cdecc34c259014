// `npm run bench:batching`: images per second and latency of concurrent classify calls that share runs, against batching: false,
// in turns. Options: --callers 1,8,16 --rounds 5 --seconds 3 --arch vgg11 --device auto --json. It needs a built package.
import { parseArgs } from "node:util";
import sharp from "sharp";
import { Vgg } from "../dist/index.js";
import { watchBystanders } from "./bystanders.mjs";
import { median } from "./statistics.mjs";

const { values } = parseArgs({
  options: {
    callers: { type: "string", default: "1,8,16" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    arch: { type: "string", default: "vgg11" },
    device: { type: "string", default: "auto" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const milliseconds = 1000 * Number(values.seconds);

/** A JPEG of 640 × 480 pixels that compresses like a photograph. */
async function makeImage(index) {
  const noise = { type: "gaussian", mean: 90 + 5 * index, sigma: 60 };
  const coarse = { width: 24 + index, height: 16 + index, channels: 3, noise };
  const blurred = await sharp({ create: { background: "black", ...coarse } })
    .png()
    .toBuffer();
  return sharp(blurred).resize(640, 480, { fit: "fill" }).jpeg().toBuffer();
}

/** Callers that each classify one image after the other. @returns images per second, and latencies in ms */
async function measure(model, callers) {
  const latencies = [];
  const start = performance.now();
  const one = async (caller) => {
    for (let turn = 0; performance.now() - start < milliseconds; turn++) {
      const begin = performance.now();
      await model.classify(images[(caller + turn) % images.length]);
      latencies.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => one(caller)));
  const seconds = (performance.now() - start) / 1000;
  latencies.sort((a, b) => a - b);
  return {
    imagesPerSecond: latencies.length / seconds,
    meanMs: latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length,
    p99Ms: latencies[Math.ceil(0.99 * latencies.length) - 1],
  };
}

const images = await Promise.all(Array.from({ length: 16 }, (_, index) => makeImage(index)));
const options = { device: values.device, seed: 1 };
const models = {
  batching: await Vgg.create(values.arch, options),
  alone: await Vgg.create(values.arch, { ...options, batching: false }),
};
const names = Object.keys(models);
const report = { arch: values.arch, device: String(models.alone.device), callers: {} };
const others = watchBystanders();
for (const callers of values.callers.split(",").map(Number)) {
  for (const name of names) await measure(models[name], callers);
  const results = { batching: [], alone: [] };
  const before = models.batching.batching;
  // Each turn is short and each model is first in half of them, so that other programs disturb both alike.
  for (let round = 0; round < rounds; round++)
    for (const name of round % 2 ? names.toReversed() : names)
      results[name].push(await measure(models[name], callers));
  const after = models.batching.batching;
  const of = (name, key) => median(results[name].map((result) => result[key]));
  const ratio = (key) =>
    median(results.batching.map((result, round) => result[key] / results.alone[round][key]));
  report.callers[callers] = {
    batching: Object.fromEntries(
      Object.keys(results.batching[0]).map((key) => [key, of("batching", key)]),
    ),
    alone: Object.fromEntries(Object.keys(results.alone[0]).map((key) => [key, of("alone", key)])),
    /** Medians of the rounds' ratios, batching through alone. */
    rateRatio: ratio("imagesPerSecond"),
    latencyRatio: ratio("meanMs"),
    imagesPerRun: (after.images - before.images) / (after.runs - before.runs),
  };
}
/** The share of the machine that others used, or null if the system does not say it. */
report.others = others();
for (const name of names) await models[name].dispose();
if (values.json) console.log(JSON.stringify(report));
else {
  console.log(
    `${report.arch} on ${report.device}, JPEGs of 640 × 480, medians of ${rounds} rounds`,
  );
  for (const [callers, { batching, alone, ...ratios }] of Object.entries(report.callers)) {
    const text = ({ imagesPerSecond, meanMs, p99Ms }) =>
      `${imagesPerSecond.toFixed(1)} images/s, mean ${meanMs.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms`;
    console.log(
      `${callers} callers: shared runs ${text(batching)}; batching: false ${text(alone)}; rate × ${ratios.rateRatio.toFixed(2)}, mean latency × ${ratios.latencyRatio.toFixed(2)}, ${ratios.imagesPerRun.toFixed(1)} images a run`,
    );
  }
  console.log(`others used ${((report.others ?? 0) * 100).toFixed(0)} % of the machine`);
}
