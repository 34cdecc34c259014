// The library without a server, in a process of its own: callers that each send one image after the other.
// It is told over IPC what to do: { kind, callers, ms } → { images, p50, p95, p99 }, or { kind, answer: true } → the answer.
import { readFileSync } from "node:fs";
import { openDevice, Tensor, Vgg } from "../../dist/index.js";

const [, , weights, threads, folder] = process.argv;
const device = await openDevice("cpu", { threads: Number(threads) });
const model = await Vgg.load(weights, { device });
await model.warmup([1, 2, 4, 8, 16]);
const side = 224;
const read = (name) => readFileSync(`${folder}/${name}`);
const floats = read("input");
const input = new Tensor(
  [1, 3, side, side],
  new Float32Array(floats.buffer.slice(floats.byteOffset, floats.byteOffset + floats.length)),
);
const pixels = { data: read("pixels"), width: side, height: side, channels: 3 };
const jpeg = read("jpeg");
const whole = { resize: side, crop: side };
const calls = {
  input: async () => (await model.forward(input, { batched: true })).data,
  pixels: (top = 5) => model.classify(pixels, { top, preprocess: whole }),
  jpeg: (top = 5) => model.classify(jpeg, { top }),
};

async function measure({ kind, callers, ms }) {
  const call = calls[kind];
  const latencies = [];
  const start = performance.now();
  const one = async () => {
    while (performance.now() - start < ms) {
      const begin = performance.now();
      await (kind === "input" ? call() : call(5));
      const end = performance.now();
      // What ends after the time does not count, as with the load generators.
      if (end - start <= ms) latencies.push(end - begin);
    }
  };
  await Promise.all(Array.from({ length: callers }, one));
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.ceil(share * latencies.length) - 1];
  return { images: latencies.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

async function answer(kind) {
  if (kind === "input") return [...(await calls.input())];
  if (kind === "jpeg") return calls.jpeg(1000);
  const values = new Float32Array(1000);
  for (const { index, probability } of await calls.pixels(1000)) values[index] = probability;
  return [...values];
}

process.on("message", async (order) => {
  process.send(order.answer ? await answer(order.kind) : await measure(order));
});
process.on("disconnect", () => process.exit());
process.send({ ready: true });
