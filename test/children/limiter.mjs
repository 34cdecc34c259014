// A worker that takes places of the process's limits as its parent asks, and reports when it has done so.
import { readFileSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { Limiter } from "../../dist/image/limiter.js";
import { preprocess } from "../../dist/index.js";

const photo = readFileSync(new URL("../golden/images/landscape.png", import.meta.url));
const releases = new Map();
const limiters = new Map();

function limiterOf(name) {
  if (!limiters.has(name)) limiters.set(name, new Limiter(name, 1));
  return limiters.get(name);
}

const works = {
  async acquire({ name, amount }) {
    const claim = {
      call: {},
      signal: new AbortController().signal,
      patienceMs: 60_000,
      stalled: Error,
    };
    releases.set(name, await limiterOf(name).acquire(amount, claim));
  },
  release: ({ name }) => releases.get(name)(),
  block: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  images: ({ count }) => Promise.all(Array.from({ length: count }, () => preprocess(photo))),
};

parentPort.on("message", async (message) => {
  await works[message.work](message);
  parentPort.postMessage(message.work);
});
