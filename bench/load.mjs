// Measures loading VGG11's weights from a file of 531 MB: its time against reading and summing the file, and its peak memory.
// Usage: npm run build && node bench/load.mjs [FILE.pth]. Without a file it writes one. Each load runs in a separate process.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { openCheckpoint } from "../dist/checkpoint/open.js";
import { writePytorch } from "../dist/checkpoint/pytorch/write.js";
import { Vgg } from "../dist/index.js";

const rounds = 7;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

async function readAndSum(path) {
  const start = performance.now();
  const file = await open(path);
  const bytes = new Uint8Array(4 * 2 ** 20);
  let sum = 0;
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, at);
    if (bytesRead === 0) break;
    sum = crc32(bytes.subarray(0, bytesRead), sum);
    at += bytesRead;
  }
  await file.close();
  return performance.now() - start;
}

async function load(path) {
  const start = performance.now();
  const model = await Vgg.load("vgg11", path, { device: "cpu" });
  const ms = performance.now() - start;
  const peak = process.resourceUsage().maxRSS * 1024;
  globalThis.gc();
  return { ms, peak, steady: process.memoryUsage().rss, classes: model.numClasses };
}

async function writeModel(path) {
  const model = await Vgg.create("vgg11", { device: "cpu" });
  const saved = `${path}.safetensors`;
  await model.save(saved);
  await model.dispose();
  const checkpoint = await openCheckpoint(saved);
  const lazy = [...checkpoint.tensors].map(([name, stored]) => [
    name,
    { shape: stored.shape, dtype: stored.dtype, read: () => checkpoint.read(stored) },
  ]);
  await writePytorch(path, new Map(lazy));
  await checkpoint.close();
  rmSync(saved);
}

if (process.argv[2] === "--measure") {
  const path = process.argv[3];
  const kind = process.argv[4];
  console.log(JSON.stringify(kind === "load" ? await load(path) : { ms: await readAndSum(path) }));
} else {
  const folder =
    process.argv[2] === undefined ? mkdtempSync(join(tmpdir(), "vgg-load-")) : undefined;
  const path = process.argv[2] ?? join(folder, "vgg11.pth");
  try {
    if (folder !== undefined) await writeModel(path);
    const { size } = await stat(path);
    const measure = (kind) => {
      const args = ["--expose-gc", new URL(import.meta.url).pathname, "--measure", path, kind];
      return JSON.parse(
        spawnSync(process.execPath, args, {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "inherit"],
        }).stdout,
      );
    };
    const reads = [];
    const loads = [];
    for (let round = 0; round < rounds; round++) {
      reads.push(measure("read").ms);
      loads.push(measure("load"));
    }
    const loadMs = median(loads.map(({ ms }) => ms));
    const { peak, steady } = loads.at(-1);
    console.log(
      `file ${megabytes(size)}; read and summed in ${median(reads).toFixed(0)} ms; loaded in ${loadMs.toFixed(0)} ms: ${(loadMs / median(reads)).toFixed(2)} ×`,
    );
    console.log(
      `memory: peak ${megabytes(peak)}, afterwards ${megabytes(steady)}; above it ${((peak - steady) / size).toFixed(2)} × the file`,
    );
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  }
}
