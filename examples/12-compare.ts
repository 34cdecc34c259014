// Compares a screenshot with the expected one, and fails if people would see a difference. Usage: node 12-compare.ts [EXPECTED ACTUAL [THRESHOLD [WEIGHTS]]]. WEIGHTS are of a vgg16, by default torchvision's. Without images it compares two that it makes, with random parameters.
import { perceptualDistance, Vgg } from "vgg-cudnn";

const [expected, actual, threshold = "0.05", weights = "DEFAULT"] = process.argv.slice(2);

/** Makes a page of 160 × 96 pixels with a button, as raw pixels. */
function page(left: number) {
  const [width, height] = [160, 96];
  const data = new Uint8Array(width * height * 3).fill(255);
  for (let y = 40; y < 64; y++)
    for (let x = left; x < left + 60; x++) data.set([0, 128, 128], (y * width + x) * 3);
  return { data, width, height, channels: 3 } as const;
}

const isGiven = expected !== undefined && actual !== undefined;
const model = isGiven
  ? await Vgg.load("vgg16", weights)
  : await Vgg.create("vgg16", { numClasses: 2, seed: 1 });

const [a, b] = isGiven ? [expected, actual] : [page(20), page(26)];
const { total, layers, map } = await perceptualDistance(a, b, { model, map: true });
const [distance = Number.NaN] = total;

// Where the difference is greatest.
if (map !== undefined) {
  const width = map.shape.at(-1) ?? 0;
  let greatest = { value: 0, at: 0 };
  for (const [at, value] of map.data.entries())
    if (value > greatest.value) greatest = { value, at };
  const { at } = greatest;
  console.log(
    `distance ${distance.toFixed(4)}, greatest at ${at % width}, ${Math.floor(at / width)}`,
  );
}
console.log(`by layer: ${layers.map(([share = 0]) => share.toFixed(4)).join(" ")}`);
await model.dispose();

// Also true if one of them is no number.
if (!(distance <= Number(threshold))) {
  console.error(`The images differ: ${distance.toFixed(4)} is not at most ${threshold}`);
  process.exitCode = 1;
}
