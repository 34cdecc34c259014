// A web server with Express: it answers an image that is sent to /classify with its best classes. Usage: node 10-express.ts [WEIGHTS]; without WEIGHTS it is a small network with random parameters.
import express, { type ErrorRequestHandler } from "express";
import { Vgg, VggError } from "vgg-cudnn";

const [weights] = process.argv.slice(2);
const model = weights
  ? await Vgg.load(weights)
  : await Vgg.create("vgg11", { numClasses: 10, imageSize: 64, seed: 1 });
await model.warmup();

const app = express();
app.use(express.raw({ type: () => true, limit: "10mb" })); // larger images are answered with 413

app.post("/classify", async (request, response) => {
  if (!Buffer.isBuffer(request.body)) {
    response.status(400).json({ error: "Expected an image" });
    return;
  }
  const stop = new AbortController(); // a client that went away needs no answer
  response.once("close", () => stop.abort());
  response.json(await model.classify(request.body, { top: 3, signal: stop.signal }));
});

const answerError: ErrorRequestHandler = (error: unknown, _request, response, next) => {
  if (response.headersSent) {
    next(error);
    return;
  }
  const isOurs = error instanceof VggError;
  if (isOurs && error.code === "QUEUE_FULL") response.set("retry-after", "1").status(503);
  else if (isOurs && error.code.startsWith("IMAGE_")) response.status(422);
  else response.status(Object(error).status ?? 500);
  response.json({ error: error instanceof Error ? error.message : String(error) });
};
app.use(answerError);

const { PORT = "3000", HOST = "127.0.0.1" } = process.env;
const server = app.listen(Number(PORT), HOST, () => {
  const address = server.address();
  if (typeof address === "object") console.log(`http://${HOST}:${address?.port}`);
});
process.once("SIGTERM", () => {
  server.close(() => model.dispose()); // answers the requests that have begun
});
