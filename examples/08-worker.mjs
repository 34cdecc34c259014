// A worker thread owns the model and answers requests of the main thread. It also runs on Bun and Deno.
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Tensor, Vgg } from "vgg-cudnn";

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const waiting = new Map(); // requests by number
  worker.on("message", ({ id, best }) => {
    waiting.get(id)(best);
    waiting.delete(id);
  });
  const ask = (id, data) =>
    new Promise((resolve) => {
      waiting.set(id, resolve);
      worker.postMessage({ id, data }, [data.buffer]); // moved, not copied
    });
  const requests = [1, 2, 3].map((id) => ask(id, Tensor.randn([1, 3, 224, 224], id).data));
  console.log("best classes", await Promise.all(requests));
  await ask("end", new Float32Array());
  await worker.terminate();
} else {
  // The listener comes before the first await: Deno drops messages that nobody listens to.
  const loading = Vgg.create("vgg11", { seed: 1 });
  parentPort?.on("message", async ({ id, data }) => {
    const model = await loading;
    if (id === "end") {
      await model.dispose();
      parentPort?.postMessage({ id });
      return;
    }
    const logits = await model.forward(new Tensor([1, 3, 224, 224], data));
    const numbers = /** @type {Float32Array} */ (logits.data);
    parentPort?.postMessage({ id, best: numbers.indexOf(Math.max(...numbers)) });
  });
}
