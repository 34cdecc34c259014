// Runs one small forward on the GPU under compute-sanitizer and compares it with the CPU's.
import { Tensor, Vgg } from "../dist/index.js";
import { bars, difference, openGpu } from "./common.mjs";

const { device, precisions } = await openGpu();
const precision = process.argv[2] ?? (precisions.includes("float16") ? "float16" : "float32");
const settings = { imageSize: 32, numClasses: 10, seed: 1 };
const images = Tensor.randn([2, 3, 32, 32], 2);
const logits = [];
for (const options of [{ device: "cpu" }, { device, precision }]) {
  const model = await Vgg.create("vgg11", { ...settings, ...options });
  logits.push((await model.forward(images)).data);
  await model.dispose();
}
const error = difference(logits[1], logits[0]);
console.log(
  `one forward in ${precision} on ${device.name} differs from the CPU's by ${error.toExponential(1)}`,
);
process.exitCode = error <= bars[precision] ? 0 : 1;
