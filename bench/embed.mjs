// `npm run bench:embed`: images per second of embedEach against classifyEach, in turns over one set of mixed images.
// Options: --images 2000 --arch vgg11 --batch-size 8 --layer classifier.4 --pool mean --json. It needs a built package.
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { Vgg } from "../dist/index.js";
import { watchBystanders } from "./bystanders.mjs";
import { median } from "./statistics.mjs";

const { values } = parseArgs({
  options: {
    images: { type: "string", default: "2000" },
    arch: { type: "string", default: "vgg11" },
    device: { type: "string", default: "auto" },
    "batch-size": { type: "string", default: "8" },
    layer: { type: "string", default: "classifier.4" },
    pool: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const count = Number(values.images);
const batchSize = Number(values["batch-size"]);
const folder = fileURLToPath(new URL("../.cache/bench-embed/", import.meta.url));

/** The sizes of phones, cameras, the web and thumbnails. */
const sizes = [
  [640, 480],
  [1600, 1200],
  [320, 240],
  [800, 1200],
  [1024, 768],
  [224, 224],
  [2048, 1536],
  [500, 375],
];
const formats = ["jpeg", "jpeg", "jpeg", "jpeg", "png", "webp", "jpeg", "gif", "jpeg", "tiff"];

/** Makes image `index`: noise at several scales, so that it compresses like a photograph. */
async function makeImage(index) {
  const [width, height] = sizes[(index * 5) % sizes.length];
  const coarse = { width: 24 + (index % 17), height: 16 + (index % 13), channels: 3 };
  const noise = { type: "gaussian", mean: 90 + (index % 70), sigma: 60 };
  const blurred = await sharp({ create: { ...coarse, noise } })
    .png()
    .toBuffer();
  const format = formats[index % formats.length];
  const file = join(folder, `${String(index).padStart(5, "0")}.${format}`);
  await sharp(blurred).resize(width, height, { fit: "fill" }).toFormat(format).toFile(file);
}

/** The files that are made. A longer run reads them again. */
const distinct = Math.min(count, 250);

async function makeImages() {
  const mark = `complete-${distinct}`;
  if (!(await readdir(folder).catch(() => [])).includes(mark)) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    for (let index = 0; index < distinct; index++) await makeImage(index);
    await writeFile(join(folder, mark), "");
  }
  const made = (await readdir(folder)).filter((name) => name !== mark).sort();
  return Array.from({ length: count }, (_, index) => join(folder, made[index % distinct]));
}

/** Runs a method over some images. @returns its seconds, and the seconds of all its threads on the processor */
async function measure(each, files) {
  const start = performance.now();
  const before = process.cpuUsage();
  let done = 0;
  for await (const result of each(files)) {
    if ("error" in result) throw result.error;
    done++;
  }
  if (done !== files.length) throw new Error(`Expected ${files.length} results but got ${done}`);
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 };
}

const files = await makeImages();
const model = await Vgg.create(values.arch, { device: values.device, seed: 1 });
const { layer, pool } = values;
const methods = {
  classifyEach: (images) => model.classifyEach(images, { batchSize }),
  embedEach: (images) => model.embedEach(images, { batchSize, layer, ...(pool && { pool }) }),
};
const names = Object.keys(methods);
for (const name of names) await measure(methods[name], files.slice(0, 4 * batchSize));

// Each turn gives both methods the same images. Turns are short, so that other programs disturb both methods alike, and
// each method is first in half of them.
const turn = batchSize * 4;
const others = watchBystanders();
const totals = { classifyEach: 0, embedEach: 0 };
const cpuTotals = { classifyEach: 0, embedEach: 0 };
const ratios = [];
for (let first = 0, round = 0; first < files.length; first += turn, round++) {
  const images = files.slice(first, first + turn);
  const times = {};
  for (const name of round % 2 ? names.toReversed() : names)
    times[name] = await measure(methods[name], images);
  for (const name of names) {
    totals[name] += times[name].seconds;
    cpuTotals[name] += times[name].cpuSeconds;
  }
  ratios.push(times.classifyEach.seconds / times.embedEach.seconds);
}
const report = {
  arch: values.arch,
  device: String(model.device),
  images: files.length,
  layer,
  pool: pool ?? null,
  classifyImagesPerSecond: files.length / totals.classifyEach,
  embedImagesPerSecond: files.length / totals.embedEach,
  /** embedEach's images per second through classifyEach's: in all, and the median of the turns. */
  ratio: totals.classifyEach / totals.embedEach,
  medianRatio: median(ratios),
  /** The same ratio of seconds on the processor, which other programs disturb less. It counts nothing on a GPU. */
  cpuRatio: cpuTotals.classifyEach / cpuTotals.embedEach,
  /** The share of the machine that others used, or null if the system does not say it. */
  others: others(),
};
await model.dispose();
console.log(
  values.json
    ? JSON.stringify(report)
    : `${report.arch} on ${report.device}, ${report.images} images, ${layer}: ` +
        `classifyEach ${report.classifyImagesPerSecond.toFixed(1)} images/s, ` +
        `embedEach ${report.embedImagesPerSecond.toFixed(1)} images/s, ` +
        `ratio ${report.ratio.toFixed(3)} (median of ${ratios.length} turns ${report.medianRatio.toFixed(3)}, on the processor ${report.cpuRatio.toFixed(3)}); ` +
        `others used ${((report.others ?? 0) * 100).toFixed(0)} % of the machine`,
);
