// Times VGG11 here and in the peers, interleaved, on the same weights and images; compares their answers first.
// Usage: npm run bench -- [--batch 1,4] [--rounds 7]
// Peers: npm install --prefix bench --ignore-scripts (their absence is said, not an error).
import { spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";
import { parseArgs } from "node:util";
import { listDevices, Vgg, version } from "../dist/index.js";
import { toOnnx } from "./onnx.mjs";

const { values: options } = parseArgs({
  options: { batch: { type: "string", default: "1,4" }, rounds: { type: "string", default: "7" } },
});
const batches = options.batch.split(",").map(Number);
const rounds = Number(options.rounds);
const folder = mkdtempSync(join(tmpdir(), "vgg-bench-"));
const file = join(folder, "vgg11.onnx");

async function writeModel() {
  const model = await Vgg.create("vgg11", { seed: 1 });
  const stream = createWriteStream(file);
  for (const part of toOnnx(model, await model.stateDict())) stream.write(part);
  stream.end();
  await finished(stream);
  await model.dispose();
}

/** A driver's process, asked one thing at a time. */
class Driver {
  constructor(name, script, ...args) {
    this.name = name;
    this.process = spawn(process.execPath, [new URL(script, import.meta.url).pathname, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }
  async answer() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`Expected an answer of ${this.name} but its process ended`);
    return JSON.parse(value);
  }
  ask(question) {
    this.process.stdin.write(`${JSON.stringify(question)}\n`);
    return this.answer();
  }
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const norm = (numbers) => Math.hypot(...numbers);

const drivers = [];
try {
  const hasOnnxruntime = existsSync(new URL("node_modules/onnxruntime-node", import.meta.url));
  if (hasOnnxruntime) await writeModel();
  else console.error("onnxruntime-node is absent: npm install --prefix bench --ignore-scripts");
  drivers.push(new Driver("vgg-cudnn", "ours.mjs"));
  if (hasOnnxruntime) drivers.push(new Driver("onnxruntime-node", "onnxruntime.mjs", file));
  for (const driver of drivers) await driver.answer();

  const cpu = listDevices().find(({ kind }) => kind === "cpu");
  console.log(
    `vgg-cudnn ${version}, Node ${process.version}, ${cpus()[0].model}, ${availableParallelism()} cores, ${cpu.instructionSets[0]}`,
  );
  for (const batch of batches) {
    const times = new Map(drivers.map(({ name }) => [name, []]));
    const answers = new Map();
    for (const driver of drivers) answers.set(driver.name, await driver.ask({ batch, repeat: 2 }));
    const ours = answers.get("vgg-cudnn").logits;
    for (const { name } of drivers.slice(1)) {
      const difference = norm(answers.get(name).logits.map((x, i) => x - ours[i])) / norm(ours);
      if (!(difference < 1e-4))
        throw new Error(`Expected the answer of ${name} but it differs by ${difference}`);
    }
    for (let round = 0; round < rounds; round++) {
      for (const driver of drivers) {
        const answer = await driver.ask({ batch, repeat: batch > 4 ? 2 : 5 });
        times.get(driver.name).push(median(answer.timesMs));
        answers.set(driver.name, answer);
      }
    }
    const base = median(times.get(drivers.at(-1).name));
    for (const { name } of drivers) {
      const { peakRssBytes, eventLoopDelayMs } = answers.get(name);
      console.log(
        [
          `batch ${batch}`.padEnd(9),
          name.padEnd(17),
          `${median(times.get(name)).toFixed(1)} ms`.padStart(10),
          `${(base / median(times.get(name))).toFixed(2)} ×`.padStart(8),
          `peak RSS ${(peakRssBytes / 1e6).toFixed(0)} MB`,
          `event loop delay p99 ${eventLoopDelayMs.p99.toFixed(1)} ms, max ${eventLoopDelayMs.max.toFixed(1)} ms`,
        ].join("  "),
      );
    }
  }
} finally {
  for (const driver of drivers) driver.process.kill();
  rmSync(folder, { recursive: true });
}
