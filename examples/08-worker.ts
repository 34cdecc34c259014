// A worker thread owns the model and answers requests of the main thread. It also runs on Bun and Deno.
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Tensor, Vgg } from "vgg-cudnn";

interface Request {
  readonly id: number;
  /** A batch of one image. Without it the worker disposes the model. */
  readonly images?: Tensor;
}
interface Answer {
  readonly id: number;
  readonly best: number | undefined;
}

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const waiting = new Map<number, (best: number | undefined) => void>(); // requests by number
  worker.on("message", ({ id, best }: Answer) => {
    waiting.get(id)?.(best);
    waiting.delete(id);
  });
  const ask = (request: Request) =>
    new Promise<number | undefined>((resolve) => {
      waiting.set(request.id, resolve);
      const buffer = request.images?.data.buffer;
      worker.postMessage(request, buffer instanceof ArrayBuffer ? [buffer] : []); // moved, not copied
    });
  const requests = [1, 2, 3].map((id) => ask({ id, images: Tensor.randn([1, 3, 224, 224], id) }));
  console.log("best classes", await Promise.all(requests));
  await ask({ id: 0 });
  await worker.terminate();
} else {
  // The listener comes before the first await: Deno drops messages that nobody listens to.
  const loading = Vgg.create("vgg11", { seed: 1 });
  const answer = (message: Answer) => parentPort?.postMessage(message);
  parentPort?.on("message", async ({ id, images }: Request) => {
    const model = await loading;
    if (images === undefined) {
      await model.dispose();
      answer({ id, best: undefined });
      return;
    }
    const { data } = await model.forward(images); // a Tensor's copy counts as a Tensor
    answer({ id, best: data.indexOf(Math.max(...data)) });
  });
}
