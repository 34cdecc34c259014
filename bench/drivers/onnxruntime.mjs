// The driver of onnxruntime-node, CPU provider, every graph optimisation (its default).
import { createRequire } from "node:module";
import * as ort from "onnxruntime-node";
import { options, serve } from "./driver.mjs";

const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json");
const session = await ort.InferenceSession.create(options.model, {
  intraOpNumThreads: options.threads,
  graphOptimizationLevel: "all",
});
await serve(version, async (input, batch) => {
  const { logits } = await session.run({
    input: new ort.Tensor("float32", input, [batch, 3, 224, 224]),
  });
  return logits.data;
});
