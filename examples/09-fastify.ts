// A web server with Fastify: it answers an image that is sent to /classify with its best classes. Usage: node 09-fastify.ts [WEIGHTS]; without WEIGHTS it is a small network with random parameters.
import Fastify from "fastify";
import { Vgg, VggError } from "vgg-cudnn";

const [weights] = process.argv.slice(2);
const model = weights
  ? await Vgg.load(weights)
  : await Vgg.create("vgg11", { numClasses: 10, imageSize: 64, seed: 1 });
await model.warmup();

const server = Fastify({ bodyLimit: 10 * 2 ** 20 }); // larger images are answered with 413
server.removeAllContentTypeParsers();
server.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));

server.post("/classify", async (request, reply) => {
  if (!Buffer.isBuffer(request.body)) return reply.code(400).send({ error: "Expected an image" });
  const stop = new AbortController(); // a client that went away needs no answer
  reply.raw.once("close", () => stop.abort());
  return model.classify(request.body, { top: 3, signal: stop.signal });
});

server.setErrorHandler((error, _, reply) => {
  const isOurs = error instanceof VggError;
  if (isOurs && error.code === "QUEUE_FULL") reply.header("retry-after", "1").code(503);
  else if (isOurs && error.code.startsWith("IMAGE_")) reply.code(422);
  else if (reply.statusCode < 400) reply.code(Object(error).statusCode ?? 500);
  return reply.send({ error: error instanceof Error ? error.message : String(error) });
});

process.once("SIGTERM", async () => {
  await server.close(); // answers the requests that have begun
  await model.dispose();
});
const { PORT = "3000", HOST = "127.0.0.1" } = process.env;
console.log(await server.listen({ port: Number(PORT), host: HOST }));
