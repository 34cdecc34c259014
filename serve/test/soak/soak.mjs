// `npm run soak:serve -- --minutes 10` runs a mixed load on a server. Growth, delays or wrong answers beyond a bound end it with exit code 1.
// The server is a process of its own. It is measured after each round, when no client is connected.
// `--samples FILE` writes each measurement as a line of JSON. `--without reload,burst` omits kinds of calls, to find what grows.
import { fork } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Tensor, Vgg } from "vgg-cudnn";
import { assess, describe, lines } from "../../../test/support/soak-report.mjs";
import { kinds, makeLoad } from "./load.mjs";

const side = 32;
const limits = { bodyBytes: 2 ** 20, imagesPerRequest: 16 };
/** The bounds of the library's soak, which docs/reliability.md explains. */
const bounds = {
  growthMBPerHour: 60,
  growthMB: 24,
  loopDelayP99Ms: 200,
  fileDescriptors: 0,
  threads: 0,
  handles: 0,
};

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
    samples: { type: "string" },
    without: { type: "string", default: "" },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new RangeError(`Expected minutes above 0 but received ${minutes}`);
const without = values.without.split(",").filter((name) => name !== "");
for (const kind of without)
  if (!kinds.includes(kind)) throw new RangeError(`Expected some of ${kinds} but received ${kind}`);
if (values.samples !== undefined) writeFileSync(values.samples, "");
const log = (line) => values.json || console.log(line);

/** The files, the images, and what the library says of them. */
async function prepare(folder) {
  const weights = join(folder, "small.safetensors");
  const model = await Vgg.create("vgg11", {
    ...{ device: "cpu", imageSize: side, numClasses: 10, seed: 1 },
    preprocess: { resize: side },
  });
  await model.save(weights);
  const images = Array.from({ length: 8 }, (_, seed) =>
    Uint8Array.from(Tensor.randn([side * side * 3], seed).data, (value) =>
      Math.max(0, Math.min(255, 128 + 60 * value)),
    ),
  );
  const expected = [];
  for (const data of images) {
    const classes = await model.classify(
      { data, width: side, height: side, channels: 3 },
      { top: 10 },
    );
    expected.push(
      classes.toSorted((a, b) => a.index - b.index).map(({ probability }) => probability),
    );
  }
  await model.dispose();
  return { weights, images, expected };
}

/** Starts the server. @returns its ports, and how it is measured and ended */
async function startServer(weights, folder, token) {
  const port = { port: 0 };
  const options = {
    models: { small: { weights, devices: ["cpu"], threads: 2, batching: { maxQueueSize: 64 } } },
    ...{ http: port, grpc: port, metrics: port, limits, drainMs: 0 },
    access: { admin: [`sha256:${createHash("sha256").update(token).digest("hex")}`] },
    log: { file: join(folder, "log"), maxBytes: 1e6 },
  };
  const path = fileURLToPath(new URL("../support/server-process.mjs", import.meta.url));
  const child = fork(path, [JSON.stringify(options)], { execArgv: ["--expose-gc"] });
  const ended = once(child, "exit");
  const answer = () =>
    Promise.race([
      once(child, "message").then(([value]) => value),
      ended.then(([code, signal]) => {
        throw new Error(`The server ended with ${code ?? signal}`);
      }),
    ]);
  const ports = await answer();
  const order = (text) => child.send(text);
  return {
    ports,
    measure: () => {
      order("measure");
      return answer();
    },
    end: async () => {
      if (child.connected) order("end");
      return (await ended)[0];
    },
  };
}

async function run(folder) {
  const token = randomUUID();
  const { weights, ...known } = await prepare(folder);
  const server = await startServer(weights, folder, token);
  const counts = {};
  const failures = [];
  const count = (name, by = 1) => (counts[name] = (counts[name] ?? 0) + by);
  const round = makeLoad({ ...server.ports, ...known, limits, token, side, count, without });
  const start = performance.now();
  const samples = [];
  for (let i = 0; performance.now() - start < minutes * 60_000 && failures.length === 0; i++) {
    try {
      await round(i);
      const seconds = (performance.now() - start) / 1000;
      samples.push({ seconds, ...(await server.measure()) });
      if (values.samples !== undefined)
        appendFileSync(values.samples, `${JSON.stringify(samples.at(-1))}\n`);
      if (i % 20 === 0) log(describe(samples.at(-1)));
    } catch (error) {
      failures.push(error.stack ?? String(error));
    }
  }
  const { loopDelayP50Ms, loopDelayP99Ms, loopDelayMaxMs } = samples.at(-1) ?? {};
  const delays = { loopDelayP50Ms, loopDelayP99Ms, loopDelayMaxMs };
  const report = assess(samples, delays, bounds, failures);
  const status = await server.end();
  if (status !== 0) failures.push(`the server ended with ${status}`);
  return { minutes, ...report, counts, failures };
}

const folder = mkdtempSync(join(tmpdir(), "vgg-soak-serve-"));
try {
  const report = await run(folder);
  if (values.json) console.log(JSON.stringify(report));
  else for (const line of lines(report)) console.log(line);
  process.exitCode = report.failures.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
