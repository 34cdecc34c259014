// Saves and loads a network with custom classes. Usage: node 06-fine-tuned.ts [WEIGHTS IMAGE]. Without WEIGHTS it makes a file with random parameters.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Vgg } from "vgg-cudnn";

const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const [weights, image = pixel] = process.argv.slice(2);

const folder = await mkdtemp(join(tmpdir(), "fine-tuned-"));
try {
  const file = weights ?? join(folder, "ants-and-bees.safetensors");
  if (weights === undefined) {
    const labels = ["ants", "bees"];
    const made = await Vgg.create("vgg11", { numClasses: labels.length, labels, seed: 1 });
    await made.save(file); // the labels are stored with the parameters
    await made.dispose();
  }
  const model = await Vgg.load(file); // the architecture and the number of classes come from the file
  console.log(model.numClasses, model.labels);
  console.log(await model.classify(image));
  await model.dispose();
} finally {
  await rm(folder, { recursive: true });
}
