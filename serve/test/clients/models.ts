// The networks of the tests, made once in .cache/clients/models: random weights, but a last layer that gives each image a class of its own.
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { preprocess, Vgg } from "vgg-cudnn";
import { photos } from "./images.ts";
import { folder } from "./tools.mjs";

const models = join(folder, "models");

/** Counts up when the making changes. */
const edition = 1;

/** A VGG11 as ImageNet's: 1000 classes and images of 224 pixels. The real images have the classes 0, 100, 200, … @returns its file */
export const vgg11 = () => make(`vgg11-${edition}`, photos, 100, {});

/** The same network for images of 32 pixels, with a class for each pattern. @returns its file */
export const small = (patterns: readonly string[]) =>
  make(`small-${edition}`, patterns, 1, {
    imageSize: 32,
    numClasses: patterns.length,
    labels: patterns.map((_, index) => `pattern ${index}`),
    preprocess: { resize: 32 },
  });

/** The logit of an image's own class. Other logits are less. */
const own = 8;

/** Makes a network in which image i is the best example of class `step` × i: the class's row is what the layer before gives for it. */
async function make(
  name: string,
  images: readonly string[],
  step: number,
  options: object,
): Promise<string> {
  const path = join(models, `${name}.safetensors`);
  if (existsSync(path)) return path;
  mkdirSync(models, { recursive: true });
  await using model = await Vgg.create("vgg11", { device: "cpu", seed: 1, ...options });
  const input = await preprocess(images, model.preprocessing);
  const features = (await model.forward(input, { outputs: ["classifier.4"] }))["classifier.4"]!;
  const width = features.shape[1]!;
  const mean = new Float64Array(width);
  for (const [at, value] of features.data.entries()) mean[at % width]! += value / images.length;
  const weight = await model.getParameter("classifier.6.weight");
  const bias = await model.getParameter("classifier.6.bias");
  for (let image = 0; image < images.length; image++) {
    const row = features.data.slice(image * width, (image + 1) * width) as Float32Array;
    for (let at = 0; at < width; at++) row[at]! -= mean[at]!;
    const scale = own / row.reduce((sum, value) => sum + value ** 2, 0);
    for (let at = 0; at < width; at++) row[at]! *= scale;
    weight.data.set(row, step * image * width);
    bias.data[step * image] = -row.reduce((sum, value, at) => sum + value * mean[at]!, 0);
  }
  await model.setParameter("classifier.6.weight", weight);
  await model.setParameter("classifier.6.bias", bias);
  // A run that is ended while it writes leaves no file of this name.
  const partial = join(models, `${name}.partial.safetensors`);
  await model.save(partial);
  renameSync(partial, path);
  return path;
}
