// test/addon/calls.test.ts runs this in a separate process. Prints the growth of memory over ten thousand calls of each kind as JSON.
import { DeviceTensor, Graph, GraphBuilder, openDevice, Tensor } from "../../dist/index.js";

const calls = 10_000;
const device = await openDevice("cpu");
const builder = new GraphBuilder();
const graph = Graph.compile(device, builder.finish({ y: builder.relu(builder.input("x", [16])) }));
const x = Tensor.randn([1, 16]);
const wrong = Tensor.randn([1, 8]);
const onDevice = DeviceTensor.allocate(device, [1, 16]);
await onDevice.write(x);
const { signal } = new AbortController();

const kinds = {
  plain: () => graph.run({ x }),
  "with a signal": () => graph.run({ x }, { signal }),
  "on the device": () => graph.run({ x: onDevice }, { into: { y: onDevice } }),
  aborted: () => graph.run({ x }, { signal: AbortSignal.abort() }).catch(() => {}),
  refused: () => graph.run({ x: wrong }).catch(() => {}),
  profiled: () => graph.profile({ x }, { warmup: 0, iterations: 1 }),
};

/** Makes the calls with at most 8 under way, as in a busy server. */
async function many(call) {
  let begun = 0;
  const one = async () => {
    while (begun++ < calls) await call();
  };
  await Promise.all(Array.from({ length: 8 }, one));
}

async function memory() {
  // Finalizers run between turns of the event loop.
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  return { heapUsed, external, arrayBuffers, rss };
}

const growth = {};
for (const [name, call] of Object.entries(kinds)) {
  // The first two rounds make what lasts: V8's compiled code and young generation, and the allocator's arenas.
  await many(call);
  await many(call);
  const before = await memory();
  await many(call);
  const after = await memory();
  growth[name] = Object.fromEntries(
    Object.entries(after).map(([key, bytes]) => [key, bytes - before[key]]),
  );
}
console.log(JSON.stringify(growth));
onDevice.dispose();
await graph.dispose();
