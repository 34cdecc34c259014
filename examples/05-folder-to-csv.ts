// Classifies all images of a folder and prints CSV. Usage: node 05-folder-to-csv.ts [FOLDER [WEIGHTS]]. Without WEIGHTS the parameters are random.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Vgg } from "vgg-cudnn";

const [folder = "test/golden/images", weights] = process.argv.slice(2);
const model = weights ? await Vgg.load(weights) : await Vgg.create("vgg11", { seed: 1 });

const isImage = /\.(jpe?g|jfif|png|webp|gif|tiff?|avif|bmp|p[bgp]m)$/i;
const entries = await readdir(folder, { recursive: true, withFileTypes: true });
const images = entries
  .filter((entry) => entry.isFile() && isImage.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .sort();

const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
console.log("file,label,probability,error");
for await (const result of model.classifyEach(images, { top: 1 })) {
  const cells = [result.source];
  if ("error" in result) {
    cells.push("", "", String(result.error));
    process.exitCode = 1;
  } else
    for (const { label, probability } of result.predictions)
      cells.push(label, probability.toFixed(4), "");
  console.log(cells.map(quoted).join(","));
}
await model.dispose();
