// Writes one VGG11's weights, images and logits in each precision into a folder for logits.py, and compares the logits with the CPU's.
// Usage: node gpu/logits.mjs [--quick] FOLDER [JSON]
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tensor, Vgg } from "../dist/index.js";
import { readArguments } from "./arguments.mjs";
import { bars, bytesOf, difference, openGpu, table, writeJson } from "./common.mjs";

const { isQuick, positionals } = readArguments();
const [folder, json = join(folder, "logits.json")] = positionals;
const { device, precisions } = await openGpu();
const imageSize = isQuick ? 64 : 224;
const batches = isQuick ? [1, 3] : [1, 3, 8];
const images = Tensor.randn([Math.max(...batches), 3, imageSize, imageSize], 7);
const firstImages = (count) =>
  new Tensor(
    [count, 3, imageSize, imageSize],
    images.data.slice(0, (images.data.length / images.shape[0]) * count),
  );

const cpu = await Vgg.create("vgg11", { device: "cpu", imageSize, seed: 1 });
// Fresh biases are zero, which would hide a forgotten bias.
for (const { name, shape } of [...cpu.parameters()].filter(({ name }) => name.endsWith(".bias"))) {
  const bias = Tensor.randn(shape, shape[0]);
  await cpu.setParameter(
    name,
    new Tensor(
      shape,
      bias.data.map((x) => x / 10),
    ),
  );
}
const weights = join(folder, "weights.safetensors");
await cpu.save(weights);
writeFileSync(join(folder, "images.f32"), bytesOf(images));
const reference = (await cpu.forward(images)).data;
await cpu.dispose();

const rows = [];
for (const precision of precisions) {
  const model = await Vgg.load("vgg11", weights, { device, precision, imageSize });
  for (const batch of batches) {
    const logits = await model.forward(firstImages(batch));
    writeFileSync(join(folder, `${precision}-${batch}.f32`), bytesOf(logits));
    const error = difference(logits.data, reference.slice(0, logits.data.length));
    rows.push({ precision, batch, error, bar: bars[precision], passed: error <= bars[precision] });
  }
  await model.dispose();
}
const report = {
  gpu: device.name,
  imageSize,
  numClasses: 1000,
  images: images.shape[0],
  runs: rows,
};
writeJson(join(folder, "runs.json"), report);
writeJson(json, { reference: "our CPU back end, float32", ...report });
console.log(
  table([
    ["precision", "batch", "difference from our CPU", "at most"],
    ...rows.map(({ precision, batch, error, bar }) => [
      precision,
      batch,
      error.toExponential(1),
      bar,
    ]),
  ]),
);
const failed = rows.filter(({ passed }) => !passed);
console.log(
  `against our CPU back end: ${rows.length - failed.length} of ${rows.length} within their bars`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
