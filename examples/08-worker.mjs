// A worker thread owns the model and answers requests of the main thread.
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
  worker.postMessage("end");
} else {
  const model = await Vgg.create("vgg11", { seed: 1 });
  parentPort.on("message", async (message) => {
    if (message === "end") {
      parentPort.close();
      await model.dispose();
      return;
    }
    const logits = await model.forward(new Tensor([1, 3, 224, 224], message.data));
    const best = logits.data.indexOf(Math.max(...logits.data));
    parentPort.postMessage({ id: message.id, best });
  });
}
