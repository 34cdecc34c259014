// Classifies all images of a folder and prints CSV. Usage: node 05-folder-to-csv.mjs [FOLDER] [WEIGHTS]. Without WEIGHTS the parameters are random.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Vgg } from "vgg-cudnn";

const [folder = "test/golden/images", weights] = process.argv.slice(2);
const model = weights ? await Vgg.load("vgg11", weights) : await Vgg.create("vgg11", { seed: 1 });

const entries = await readdir(folder, { recursive: true, withFileTypes: true });
const images = entries
  .filter((entry) => entry.isFile() && /\.(jpe?g|png|webp|gif|tiff?|avif)$/i.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .sort();

const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
console.log("file,label,probability,error");
for await (const result of model.classifyEach(images, { top: 1 })) {
  const cells = ["", "", ""];
  if ("error" in result) cells[2] = String(result.error);
  else
    cells.splice(0, 2, result.predictions[0].label, result.predictions[0].probability.toFixed(4));
  console.log([result.source, ...cells].map(quoted).join(","));
}
await model.dispose();
