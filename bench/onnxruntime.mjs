// The driver of onnxruntime-node, CPU provider: the model file is its argument.
import * as ort from "onnxruntime-node";
import { serve } from "./driver.mjs";

const session = await ort.InferenceSession.create(process.argv[2]);
await serve(async (input, batch) => {
  const { logits } = await session.run({
    input: new ort.Tensor("float32", input, [batch, 3, 224, 224]),
  });
  return logits.data;
});
