// `npm run bench:addons -- A.node B.node`: the speed of addon B relative to addon A, such as a prebuilt file and GCC's build, and whether
// their logits have the same bits. Each round starts a fresh process for each addon. Their forwards of VGG11 in float32 alternate.
// Options: --rounds 5 --pairs 10 --batch 1,16 --sets avx512,avx2 --threads 2 --json. It needs a built package.
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { watchBystanders } from "./bystanders.mjs";
import { median } from "./statistics.mjs";

const self = fileURLToPath(import.meta.url);

/** A process with one addon. It answers each batch size with the time of one forward and a hash of the logits. */
async function serve({ instructionSet, threads }) {
  const { openDevice, Tensor, Vgg } = await import("../dist/index.js");
  const device = await openDevice("cpu", { instructionSet, threads });
  const model = await Vgg.create("vgg11", { device, seed: 0 });
  const inputs = new Map();
  process.on("message", async (batch) => {
    if (!inputs.has(batch)) inputs.set(batch, Tensor.randn([batch, 3, 224, 224], batch));
    const start = performance.now();
    const { data } = await model.forward(inputs.get(batch));
    const ms = performance.now() - start;
    process.send({ ms, bits: createHash("sha256").update(data).digest("hex") });
  });
  process.send("ready");
}

/** Starts a process with an addon. @returns how to ask it and to end it */
async function start(addon, settings) {
  const child = fork(self, ["--serve", JSON.stringify(settings)], {
    env: { ...process.env, VGG_ADDON: addon },
  });
  const answer = async () => {
    const ended = new AbortController();
    const exit = once(child, "exit", { signal: ended.signal }).then(([status]) => {
      throw new Error(`The process with ${addon} ended with status ${status}`);
    });
    exit.catch(() => {}); // The race below has its result.
    try {
      return (await Promise.race([once(child, "message"), exit]))[0];
    } finally {
      ended.abort();
    }
  };
  await answer();
  return {
    forward(batch) {
      child.send(batch);
      return answer();
    },
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, "exit");
      child.kill();
      await exit;
    },
  };
}

/** Runs one round. @returns for each batch size the times of both addons in pairs, and whether the bits are the same */
async function round(addons, batches, pairs, settings) {
  const processes = [];
  try {
    for (const addon of addons) processes.push(await start(addon, settings));
    const results = [];
    for (const batch of batches) {
      const times = [];
      let hasSameBits = true;
      for (let pair = -2; pair < pairs; pair++) {
        // The first one changes from pair to pair. The first two pairs are not counted.
        const order = pair % 2 === 0 ? [0, 1] : [1, 0];
        const answers = [];
        for (const which of order) answers[which] = await processes[which].forward(batch);
        hasSameBits &&= answers[0].bits === answers[1].bits;
        if (pair >= 0) times.push(answers.map(({ ms }) => ms));
      }
      results.push({ batch, times, hasSameBits });
    }
    return results;
  } finally {
    for (const process of processes) await process.end();
  }
}

/** @returns the line of the report for the rounds of one instruction set and batch size */
function summarize(instructionSet, batch, rounds) {
  const pairs = rounds.flatMap(({ times }) => times);
  const speed = (some) => median(some.map(([a, b]) => a / b));
  const perRound = rounds.map(({ times }) => speed(times));
  return {
    instructionSet,
    batch,
    msA: median(pairs.map(([a]) => a)),
    msB: median(pairs.map(([, b]) => b)),
    speed: speed(pairs),
    rounds: perRound,
    hasSameBits: rounds.every((one) => one.hasSameBits),
  };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      pairs: { type: "string", default: "10" },
      batch: { type: "string", default: "1,16" },
      sets: { type: "string", default: "avx512,avx2" },
      threads: { type: "string", default: "2" },
      json: { type: "boolean", default: false },
    },
  });
  const addons = positionals.map((path) => resolve(path));
  if (addons.length !== 2 || !addons.every((path) => existsSync(path))) {
    console.error("bench: Expected the paths of two addons: npm run bench:addons -- A.node B.node");
    return 2;
  }
  const batches = values.batch.split(",").map(Number);
  const othersShare = watchBystanders();
  const report = [];
  for (const instructionSet of values.sets.split(",")) {
    const settings = { instructionSet, threads: Number(values.threads) };
    const rounds = [];
    for (let i = 0; i < Number(values.rounds); i++)
      rounds.push(await round(addons, batches, Number(values.pairs), settings));
    for (const [at, batch] of batches.entries())
      report.push(
        summarize(
          instructionSet,
          batch,
          rounds.map((one) => one[at]),
        ),
      );
  }
  if (values.json) console.log(JSON.stringify({ addons, othersShare: othersShare(), report }));
  else printReport(report, othersShare());
  return 0;
}

function printReport(report, others) {
  console.log("| instructions | batch | A, ms | B, ms | speed of B | rounds | bits |");
  console.log("| --- | --- | --- | --- | --- | --- | --- |");
  for (const { instructionSet, batch, msA, msB, speed, rounds, hasSameBits } of report) {
    const range = `${Math.min(...rounds).toFixed(2)}–${Math.max(...rounds).toFixed(2)}`;
    const bits = hasSameBits ? "same" : "differ";
    console.log(
      `| ${instructionSet} | ${batch} | ${msA.toFixed(1)} | ${msB.toFixed(1)} | ${speed.toFixed(3)} | ${range} | ${bits} |`,
    );
  }
  if (others !== null) console.log(`Others used ${(others * 100).toFixed(0)} % of the machine.`);
}

if (process.argv[2] === "--serve") await serve(JSON.parse(process.argv[3]));
else process.exitCode = await main();
