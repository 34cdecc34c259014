// The truth: computes a network by its definition in float64, with plain loops, one image per thread.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** x (C, H, W) with weight (K, C, 3, 3), padding 1 → (K, H, W) */
function conv2d(x, side, weight, bias) {
  const channels = x.length / side ** 2;
  const wide = side + 2;
  const padded = new Float64Array(channels * wide ** 2);
  for (let row = 0; row < channels * side; row++) {
    const channel = Math.floor(row / side);
    const at = (channel * wide + (row % side) + 1) * wide + 1;
    padded.set(x.subarray(row * side, (row + 1) * side), at);
  }
  const out = new Float64Array(bias.length * side ** 2);
  for (let k = 0; k < bias.length; k++) {
    const plane = out.subarray(k * side ** 2, (k + 1) * side ** 2).fill(bias[k]);
    for (let c = 0; c < channels; c++) {
      const [a, b, d, e, f, g, h, i, j] = weight.subarray((k * channels + c) * 9).subarray(0, 9);
      for (let y = 0; y < side; y++) {
        let top = (c * wide + y) * wide;
        for (let at = y * side; at < (y + 1) * side; at++, top++) {
          const middle = top + wide;
          const bottom = middle + wide;
          plane[at] +=
            a * padded[top] +
            b * padded[top + 1] +
            d * padded[top + 2] +
            e * padded[middle] +
            f * padded[middle + 1] +
            g * padded[middle + 2] +
            h * padded[bottom] +
            i * padded[bottom + 1] +
            j * padded[bottom + 2];
        }
      }
    }
  }
  return out;
}

function maxPool2d(x, side) {
  const half = side / 2;
  return Float64Array.from({ length: x.length / 4 }, (_, i) => {
    const at = 2 * side * Math.floor(i / half) + 2 * (i % half);
    return Math.max(x[at], x[at + 1], x[at + side], x[at + side + 1]);
  });
}

function linear(x, weight, bias) {
  return Float64Array.from(bias, (sum, k) => {
    for (let c = 0, at = k * x.length; c < x.length; c++, at++) sum += weight[at] * x[c];
    return sum;
  });
}

function forward(image, imageSize, layers, parameters) {
  let x = Float64Array.from(image);
  let side = imageSize;
  for (const { kind, name, relu } of layers) {
    const weight = parameters.get(`${name}.weight`);
    const bias = parameters.get(`${name}.bias`);
    if (kind === "conv2d") x = conv2d(x, side, weight, bias);
    else if (kind === "linear") x = linear(x, weight, bias);
    else if (kind === "maxPool2d") {
      x = maxPool2d(x, side);
      side /= 2;
    }
    if (relu) x = x.map((value) => Math.max(value, 0));
  }
  return x;
}

/**
 * @param images each float32 (3, S, S); parameters: name → Float32Array
 * @returns the logits of each image as a Float64Array
 */
export function computeTruth(images, imageSize, layers, parameters) {
  const shared = new Map(
    [...parameters].map(([name, data]) => {
      const copy = new Float32Array(new SharedArrayBuffer(data.byteLength));
      copy.set(data);
      return [name, copy];
    }),
  );
  return Promise.all(
    images.map(
      (image) =>
        new Promise((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), {
            workerData: { image, imageSize, layers, parameters: shared },
          });
          worker.once("message", resolve).once("error", reject);
        }),
    ),
  );
}

if (!isMainThread && workerData?.parameters !== undefined) {
  const { image, imageSize, layers, parameters } = workerData;
  parentPort.postMessage(forward(image, imageSize, layers, parameters));
}
