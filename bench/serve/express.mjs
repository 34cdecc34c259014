// The server to compare with: Express and onnxruntime-node, as their guides show them, with sharp for images.
// Usage: node express.mjs MODEL.onnx THREADS. It prints its port as JSON.
import { setTimeout as delay } from "node:timers/promises";
import express from "express";
import * as ort from "onnxruntime-node";
import sharp from "sharp";

const [, , model, threads] = process.argv;
const side = 224;
const mean = [0.485, 0.456, 0.406];
const deviation = [0.229, 0.224, 0.225];
const session = await ort.InferenceSession.create(model, {
  intraOpNumThreads: Number(threads),
  graphOptimizationLevel: "all",
});

/** Returns where the crop begins. As torchvision, it rounds halves to even numbers: 58.5 to 58. */
function marginOf(length) {
  const rest = length - side;
  return rest % 2 === 0 ? rest / 2 : 2 * Math.round(rest / 4);
}

/** Pixels (224, 224, 3) → the network's input (1, 3, 224, 224). */
function normalise(pixels) {
  const plane = side * side;
  const input = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++)
    for (let i = 0; i < plane; i++)
      input[channel * plane + i] =
        (pixels[3 * i + channel] / 255 - mean[channel]) / deviation[channel];
  return input;
}

let underWay = 0;

async function logitsOf(input) {
  underWay++;
  try {
    const image = new ort.Tensor("float32", input, [1, 3, side, side]);
    const results = await session.run({ input: image });
    return results.logits.data;
  } finally {
    underWay--;
  }
}

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const bytesOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

const app = express();
const body = express.raw({ type: () => true, limit: "64mb" });
app.get("/idle", async (_, response) => {
  while (underWay > 0) await delay(20);
  response.end();
});
app.post("/input", body, async (request, response) => {
  const { buffer, byteOffset, byteLength } = request.body;
  const input = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  response.type("application/octet-stream").send(bytesOf(await logitsOf(input)));
});
app.post("/pixels", body, async (request, response) => {
  const probabilities = softmax(await logitsOf(normalise(request.body)));
  response.type("application/octet-stream").send(bytesOf(probabilities));
});
app.post("/jpeg", body, async (request, response) => {
  const pixels = await sharp(request.body)
    .resize(256, 256, { fit: "outside", kernel: "linear" })
    .removeAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height } = pixels.info;
  const [left, top] = [marginOf(width), marginOf(height)];
  const rows = Array.from({ length: side }, (_, row) => {
    const start = 3 * ((top + row) * width + left);
    return pixels.data.subarray(start, start + 3 * side);
  });
  const probabilities = softmax(await logitsOf(normalise(Buffer.concat(rows))));
  const best = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const count = Number(request.query.top ?? 5);
  response.json(
    best.slice(0, count).map((index) => ({ index, probability: probabilities[index] })),
  );
});
const server = app.listen(0, "127.0.0.1", () => console.log(JSON.stringify(server.address())));
