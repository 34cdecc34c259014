// The driver of this package.
import { openDevice, Tensor, Vgg, version } from "../../dist/index.js";
import { options, serve, skip } from "./driver.mjs";

const { model: file, precision, threads, settings } = options;
const device = await openDevice("cpu", { threads, ...settings });
if (!device.info.precisions.includes(precision))
  skip(`the CPU back end offers ${device.info.precisions.join(", ")}`);
const model = await Vgg.load("vgg11", file, { device, precision });
await serve(version, async (input, batch) => {
  const logits = await model.forward(new Tensor([batch, 3, 224, 224], input));
  return logits.data;
});
