// test/faults/allocations.mjs runs this in a separate process. Runs a life of objects that use the addon once for each fault:
// an allocation or thread start of the addon that fails, or all from one on.
import { readdirSync, readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import * as vgg from "../../dist/index.js";

const { DeviceTensor, Graph, GraphBuilder, openDevice, ParameterStore, Tensor, VggError } = vgg;
const faults = createRequire(import.meta.url)("../../build/Release/allocation_faults.node");

const device = await openDevice("cpu", { threads: 2 });
const image = Tensor.randn([2, 3, 32, 32], 3);
const pixels = new Tensor(
  [1, 16, 16, 3],
  Uint8Array.from({ length: 768 }, (_, i) => (i * 37) % 251),
  "uint8",
);
const values = {
  w: Tensor.randn([16, 3, 3, 3], 1),
  b: Tensor.randn([16], 2),
  w2: Tensor.randn([16, 16, 3, 3], 5),
  fc: Tensor.randn([10, 4096], 4),
};
const photo = readFileSync(new URL("../golden/images/small.png", import.meta.url));

function network() {
  const g = new GraphBuilder();
  const x = g.input("x", [3, 32, 32]);
  const options = { bias: g.parameter("b", [16]), padding: 1, relu: true };
  const c = g.conv2d(x, g.parameter("w", [16, 3, 3, 3]), options);
  const c2 = g.conv2d(c, g.parameter("w2", [16, 16, 3, 3]), { padding: 1, relu: true });
  const f = g.gemm(g.flatten(g.maxPool2d(c2)), g.parameter("fc", [10, 4096]));
  return g.finish({ f, c, ...g.topK(g.softmax(f), 3) });
}

/** A network with the operations that the other lacks. */
function second() {
  const g = new GraphBuilder();
  const x = g.input("x", [16, 16, 3], "uint8");
  const normal = g.normalize(x, { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] });
  const c = g.conv2d(normal, g.parameter("u", [3, 3, 1, 1]));
  const [weight, bias, mean, variance] = ["weight", "bias", "mean", "variance"].map((name) =>
    g.parameter(name, [3]),
  );
  const n = g.batchNorm(c, { weight, bias, mean, variance });
  const pooled = g.adaptiveAvgPool2d(g.relu(n), [2, 2]);
  return g.finish({ y: g.gemm(g.flatten(pooled), g.parameter("v", [5, 12])) });
}

const setAll = (parameters) =>
  Promise.all(Object.entries(values).map(([k, v]) => parameters.set(k, v)));
const numbers = (...tensors) => tensors.flatMap(({ data }) => Array.from(data.subarray(0, 600)));
const fileOf = () => new URL("./worker.mjs", import.meta.url);

/** The steps of each life. A step can be tried again after it failed. `answer` holds the results, which must not change. */
const lives = {
  graph: [
    (life) => (life.graph = life.own(Graph.compile(device, network()))),
    (life) => setAll(life.graph.parameters),
    (life) => life.graph.prepare(2),
    async (life) => {
      const { f, values, indices } = await life.graph.run({ x: image });
      life.answer = numbers(f, values, indices);
    },
    // Runs another batch size, and reads and rewrites a packed parameter.
    async (life) => life.answer.push(...numbers(await life.graph.parameters.get("fc"))),
    (life) => life.graph.parameters.set("fc", Tensor.zeros([10, 4096])),
    (life) => life.graph.parameters.set("fc", values.fc),
    async (life) => {
      const { c } = await life.graph.run({ x: Tensor.randn([3, 3, 32, 32], 9) });
      life.answer.push(...numbers(c));
      life.graph.lastRun;
    },
  ],
  half: [
    (life) => (life.store = life.own(new ParameterStore(device, network().parameters, "float16"))),
    (life) => setAll(life.store),
    (life) => (life.graph = life.own(Graph.compile(device, network(), life.store))),
    async (life) => {
      life.answer = numbers((await life.graph.run({ x: image })).f);
    },
    async (life) => life.answer.push(...numbers(await life.store.get("fc"))),
    (life) => life.store.fillNormal("fc", 0.5, 7),
    async (life) => life.answer.push(...numbers((await life.graph.run({ x: image })).f)),
  ],
  operations: [
    (life) => (life.graph = life.own(Graph.compile(device, second()))),
    (life) =>
      Promise.all([
        ...["weight", "bias", "mean", "variance"].map((name, i) =>
          life.graph.parameters.fill(name, i + 1),
        ),
        ...["u", "v"].map((name, i) => life.graph.parameters.fillNormal(name, 1, i)),
      ]),
    async (life) => {
      life.answer = numbers((await life.graph.run({ x: pixels })).y);
    },
  ],
  tensors: [
    (life) => (life.graph = life.own(Graph.compile(device, network()))),
    (life) => setAll(life.graph.parameters),
    (life) => (life.x = life.own(DeviceTensor.allocate(device, [2, 3, 32, 32]))),
    (life) => (life.y = life.own(DeviceTensor.allocate(device, [2, 10]))),
    (life) => life.x.write(image),
    (life) => life.graph.run({ x: life.x }, { into: { f: life.y } }),
    async (life) => {
      life.answer = numbers(await life.y.read());
    },
    (life) => life.graph.profile({ x: image }, { iterations: 1, warmup: 0 }),
  ],
  abort: [
    (life) => (life.graph = life.own(Graph.compile(device, network()))),
    (life) => setAll(life.graph.parameters),
    async (life) => {
      const controller = new AbortController();
      const runs = Array.from({ length: 4 }, () =>
        life.graph.run({ x: image }, { signal: controller.signal }),
      );
      controller.abort("stop");
      for (const { reason, status } of await Promise.allSettled(runs))
        if (status === "rejected" && reason !== "stop") throw reason;
      life.answer = numbers((await life.graph.run({ x: image })).f);
    },
  ],
  image: [
    async (life) => {
      life.answer = numbers(await vgg.preprocess(photo));
    },
    // More images than decoders, so that some wait.
    async (life) =>
      life.answer.push(...numbers(await vgg.preprocess(Array(5).fill(photo), { resizeSize: 4 }))),
  ],
  information: [
    (life) => {
      const { info } = device;
      const { cpu, cuda } = vgg.diagnose();
      life.answer = [info.threads, cpu?.threads, vgg.listDevices().length, cuda.available ? 1 : 0];
      device.memoryStats();
    },
    (life) => life.answer.push(...numbers(Tensor.randn([40], 3))),
  ],
  open: [
    async (life) => {
      life.before ??= threadCount();
      const made = await openDevice("cpu", { threads: 5 });
      // Only its own threads may exist, and no thread of a failed attempt. The system may still count one that has just ended.
      for (let i = 0; i < 100 && threadCount() > life.before + 5; i++) await sleep(10);
      if (threadCount() > life.before + 5) throw new Error("Threads were left over");
      life.own(DeviceTensor.allocate(made, [4]));
      life.answer = [made.info.threads];
    },
  ],
  worker: [
    async (life) => {
      const worker = new Worker(fileOf());
      try {
        life.answer = await new Promise((resolve, reject) => {
          worker.once("error", reject);
          worker.once("message", ({ error, answer }) =>
            error
              ? reject(error.isTyped ? new VggError(error.code, error.message) : error)
              : resolve(answer),
          );
          worker.once("exit", () => reject(new Error("The worker ended early")));
        });
      } finally {
        // The worker ends while its runs are under way.
        await worker.terminate();
      }
    },
  ],
};
const threadCount = () => readdirSync("/proc/self/task").length;

/** Owns the objects of a life and disposes of them at its end, the last one first. */
class Life {
  #owned = [];

  own(value) {
    this.#owned.push(value);
    return value;
  }

  async end() {
    for (const value of this.#owned.splice(0).reverse()) await value.dispose();
  }
}

const isSame = (a, b) => a?.length === b.length && b.every((value, i) => Object.is(a[i], value));

function check(error) {
  if (error instanceof VggError && error.code === "OUT_OF_MEMORY") return;
  throw new Error(
    `Not OUT_OF_MEMORY: ${error?.constructor?.name} ${error?.code} ${error?.stack ?? error}`,
  );
}

/** Runs a life once and says whether a call failed. A step that fails is tried again without a fault. If faults last, all
 * objects of the life are disposed of before the faults end, which must need no memory. */
async function live(steps, n, lasts) {
  let failures = 0;
  let life = new Life();
  faults.arm(n, lasts);
  for (let i = 0; i < steps.length; i++) {
    try {
      await steps[i](life);
    } catch (error) {
      check(error);
      if (failures++ > 0) throw new Error(`Failed again without a fault: ${error.message}`);
      if (lasts) {
        await life.end();
        faults.arm(0);
        life = new Life();
        i = -1;
      } else {
        i--;
      }
    }
  }
  await life.end();
  return { answer: life.answer, isReached: faults.arm(0) + failures > 0 };
}

async function settle() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await turn();
  }
  return faults.alive();
}

const [name, mode, first, step] = [
  process.argv[2],
  process.argv[3],
  Number(process.argv[4]),
  Number(process.argv[5]),
];
const lasts = mode === "lasting";
const steps = lives[name];
const say = (text) => writeSync(1, `${text}\n`);
process.on("unhandledRejection", (error) => say(`problem unhandled rejection: ${error?.message}`));
faults.watch();
// A device that was opened once stays open, so each fault of opening takes a separate process.
const isFresh = name === "open";
let truth = [5];
for (let i = 0; i < 4 && !isFresh; i++) truth = (await live(steps, 0, false)).answer;
let before = await settle();

/** Lets the n-th call fail. Returns whether it was reached. */
async function tryFault(n) {
  const { answer, isReached } = await live(steps, n, lasts);
  if (!isSame(answer, truth)) throw new Error("The answer has changed");
  const { parameterBytes, activationBytes, tensorBytes } = device.memoryStats();
  if (parameterBytes + activationBytes + tensorBytes > 0)
    throw new Error(
      `Leaked ${parameterBytes} + ${activationBytes} + ${tensorBytes} bytes of the device`,
    );
  return isReached;
}

for (let n = first; ; n += step) {
  say(`fault ${n}`);
  try {
    if (!(await tryFault(n))) break;
    // A cache may grow once. A leak grows each time.
    const after = await settle();
    if (!isFresh && after > before) {
      let grown = 0;
      for (let i = 0, last = after; i < 3; i++) {
        await tryFault(n);
        const now = await settle();
        if (now > last) grown++;
        last = now;
      }
      if (grown === 3) throw new Error(`Leaked ${after - before} blocks`);
    }
    before = await settle();
    say("passed");
  } catch (error) {
    faults.arm(0);
    say(`problem ${error.message}`);
  }
  if (isFresh) process.exit(0);
}
say("complete");
process.exit(0);
