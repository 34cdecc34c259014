// Measures what each choice gains in a whole forward of few images: VGG11 with forced kernels, in rounds.
// Usage: node gpu/choices.mjs [--quick] JSON
import { createInterface } from "node:readline";
import { median } from "../dist/statistics.js";
import { readArguments } from "./arguments.mjs";
import { bars, openGpu, table, writeJson } from "./common.mjs";
import { OurVgg } from "./ours.mjs";
import { Peer } from "./peer.mjs";

// --child runs one process with the forced kernels of its JSON.
const {
  isQuick,
  child: forcedKernels,
  positionals: [json],
} = readArguments({ child: { type: "string" } });
const batches = isQuick ? [1] : [1, 2, 4];
const rounds = isQuick ? 1 : 7;
const sliceMs = isQuick ? 1 : 40;
const precision = "float16";

/** The first forces nothing. */
const variants = [
  { name: "as chosen", forced: {} },
  { name: "convolutions by cuDNN", forced: { form: "cudnn" } },
  { name: "convolutions by ours", forced: { form: "direct" } },
  { name: "all weights", forced: { linear: "dense" } },
  { name: "no weights of zeros", forced: { linear: "sparse" } },
  { name: "cuDNN, all weights", forced: { form: "cudnn", linear: "dense" } },
].slice(0, isQuick ? 2 : undefined);

/** One process. Answers each line with a line of JSON. */
async function child(forced) {
  let model, ready;
  const answer = async ({ batch, profile }) => {
    model ??= await OurVgg.create(
      (await openGpu(forced)).device,
      precision,
      isQuick ? 32 : 224,
      isQuick,
    );
    if (profile) return { steps: (await ready.profile()).map(({ medianMs }) => medianMs) };
    if (!batch) return { ms: (await ready.modes["device, queued"]())[0] };
    ready?.dispose();
    ready = await model.prepare(batch, sliceMs);
    const isRight = ready.error <= bars[precision];
    return isRight ? {} : { error: `its logits differ from the CPU's by ${ready.error}` };
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const result = await answer(JSON.parse(line)).catch(({ message }) => ({ error: message }));
    console.log(JSON.stringify(result));
  }
}

const inMicroseconds = (ms) => (1000 * ms).toFixed(1);

async function compareAll(json) {
  const script = "choices.mjs";
  const processes = variants.map(
    ({ forced }) =>
      new Peer(process.execPath, script, [
        ...(isQuick ? ["--quick"] : []),
        "--child",
        JSON.stringify(forced),
      ]),
  );
  const rows = [];
  for (const batch of batches) {
    for (const one of processes) await one.ask({ batch }, 120);
    const samples = variants.map(() => []);
    for (let round = 0; round < rounds; round++)
      for (const [i, one] of processes.entries()) samples[i].push((await one.ask({}, 60)).ms);
    for (const [i, { name, forced }] of variants.entries()) {
      const { steps } = await processes[i].ask({ profile: true }, 60);
      rows.push({ batch, name, forced, ms: median(samples[i]), samples: samples[i], steps });
    }
  }
  for (const one of processes) one.end();
  writeJson(json, { precision, rounds, rows });
  const chosen = (batch) => rows.find((row) => row.batch === batch).ms;
  console.log(
    table([
      ["batch", "choice", "µs a forward, queued", "by as chosen", "µs of each step, alone"],
      ...rows.map(({ batch, name, ms, steps }) => [
        ...[batch, name, inMicroseconds(ms), (ms / chosen(batch)).toFixed(3)],
        steps.map(inMicroseconds).join(" "),
      ]),
    ]),
  );
  const least = Math.min(...rows.filter((row) => row.batch === batches[0]).map(({ ms }) => ms));
  console.log(
    `one image in ${precision}: ${inMicroseconds(chosen(batches[0]))} µs as chosen, ${inMicroseconds(least)} at best`,
  );
}

if (forcedKernels) await child(JSON.parse(forcedKernels));
else await compareAll(json);
