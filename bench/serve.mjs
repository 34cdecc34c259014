// `npm run bench:serve`: images per second and latencies of `vgg serve` over REST and gRPC, in turns with the library without a
// server and with Express and onnxruntime-node. Answers are compared first. It needs a built package, wrk, h2load and bench's packages.
// Options: --kinds pixels,input,jpeg --connections 1,8,64 --rounds 3 --seconds 8 --threads 2 --out FILE --smoke
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeModels } from "./models/write.mjs";
import { describeMachine } from "./results.mjs";
import { compareAnswers } from "./serve/answers.mjs";
import { generators, missingGenerators } from "./serve/generators.mjs";
import { expressRequest, grpcRequest, restRequest, writeBodies } from "./serve/requests.mjs";
import { startExpress, startLibrary, startServe } from "./serve/subjects.mjs";
import { median } from "./statistics.mjs";

const { values: options } = parseArgs({
  options: {
    kinds: { type: "string", default: "pixels,input,jpeg" },
    connections: { type: "string", default: "1,8,64" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "8" },
    threads: { type: "string", default: String(Math.min(2, availableParallelism())) },
    out: { type: "string" },
    smoke: { type: "boolean", default: false },
  },
});
const numbers = (text) => text.split(",").map(Number);
const [threads, rounds, seconds] = numbers(
  `${options.threads},${options.rounds},${options.seconds}`,
);

/** The requests of a kind by the subject's name; the library has none. */
function requestsOf(kind, { serve, express }, folder) {
  return {
    rest: restRequest(kind, serve, folder),
    // An image as a file goes over gRPC as BYTES; the benchmark sends tensors there.
    ...(kind !== "jpeg" && { grpc: grpcRequest(kind, serve, folder) }),
    express: expressRequest(kind, express, folder),
  };
}

/** Runs each subject in turns. @returns for each the figures of all rounds */
async function measure(kind, connections, { library, serve, express }, requests, folder) {
  const turns = {
    library: (ms) => library.ask({ kind, callers: connections, ms }),
    ...Object.fromEntries(
      Object.entries(requests).map(([name, request]) => [
        name,
        (ms) => generators[request.generator](request, connections, ms / 1000, folder),
      ]),
    ),
  };
  const results = {};
  for (let round = 0; round < rounds; round++) {
    const names = Object.keys(turns);
    for (const name of round % 2 ? names.toReversed() : names) {
      const before = await serve.successes();
      const figures = await turns[name](1000 * seconds);
      await express.settle();
      // What is under way at the end may be answered or not.
      if (name === "grpc" && (await serve.successes()) - before < figures.images)
        throw new Error("Calls of gRPC failed");
      results[name] ??= [];
      results[name].push(figures);
    }
  }
  return results;
}

const rounded = (value, digits = 4) => Number(value.toPrecision(digits));

/** The medians of the rounds, and the rate relative to the library's: of all rounds together, since runs of 16 make one coarse. */
function summarize(results) {
  const images = (name) => results[name].reduce((sum, one) => sum + one.images, 0);
  return Object.fromEntries(
    Object.entries(results).map(([name, figures]) => [
      name,
      {
        imagesPerSecond: rounded(images(name) / rounds / seconds),
        p50Ms: rounded(median(figures.map(({ p50 }) => p50))),
        p95Ms: rounded(median(figures.map(({ p95 }) => p95))),
        p99Ms: rounded(median(figures.map(({ p99 }) => p99))),
        ofLibrary: rounded(images(name) / images("library"), 3),
      },
    ]),
  );
}

function print(kind, connections, rows) {
  for (const [name, row] of Object.entries(rows)) {
    const rate = `${row.imagesPerSecond.toFixed(1)} images/s, ${row.ofLibrary.toFixed(2)} × the library's`;
    const times = [row.p50Ms, row.p95Ms, row.p99Ms].map((ms) => ms.toFixed(0)).join(" / ");
    console.log(
      `${kind}, ${connections} connections, ${name}: ${rate}, p50 / p95 / p99 ${times} ms`,
    );
  }
}

/** Adds to a file of results, so that kinds and connections may be measured in several runs. */
function write(path, measured) {
  const kinds = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).kinds : {};
  for (const [kind, { errors, connections }] of Object.entries(measured))
    kinds[kind] = { errors, connections: { ...kinds[kind]?.connections, ...connections } };
  const report = { machine: describeMachine(), threads, rounds, seconds };
  writeFileSync(path, `${JSON.stringify({ ...report, kinds }, null, 2)}\n`);
}

const missing = await missingGenerators();
if (!existsSync(new URL("node_modules/express", import.meta.url)))
  throw new Error("Install what is compared with: npm install --prefix bench --ignore-scripts");
if (missing.length > 0 && !options.smoke)
  throw new Error(`Install ${missing.join(" and ")} (Debian: apt install wrk nghttp2-client)`);

const folder = mkdtempSync(join(tmpdir(), "vgg-bench-serve-"));
const subjects = {};
try {
  const { files, truth } = await writeModels(folder, new Set(["safetensors", "onnx"]), 1);
  await writeBodies(folder, files.images);
  const given = { weights: files.safetensors, onnx: files.onnx, threads, folder };
  subjects.serve = await startServe(given);
  subjects.express = await startExpress(given);
  subjects.library = await startLibrary(given);
  const kinds = {};
  for (const kind of options.kinds.split(",")) {
    const requests = requestsOf(kind, subjects, folder);
    const errors = await compareAnswers(kind, subjects.library, requests, truth[0]);
    if (options.smoke) continue;
    kinds[kind] = { errors, connections: {} };
    for (const connections of numbers(options.connections)) {
      const results = await measure(kind, connections, subjects, requests, folder);
      const rows = summarize(results);
      kinds[kind].connections[connections] = rows;
      print(kind, connections, rows);
    }
  }
  if (options.out !== undefined) write(options.out, kinds);
} finally {
  await Promise.all(Object.values(subjects).map(({ stop }) => stop()));
  rmSync(folder, { recursive: true, force: true });
}
