// The driver of this package: one process, one line of JSON for each line that it reads.
import { Tensor, Vgg } from "../dist/index.js";
import { serve } from "./driver.mjs";

const model = await Vgg.create("vgg11", { seed: 1 });
await serve(async (input, batch) => {
  const logits = await model.forward(new Tensor([batch, 3, 224, 224], input));
  return logits.data;
});
