// A server in a process of its own, for the soak and for tests of faults. It is told over IPC to measure itself, or to end.
import { readdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { serve } from "vgg-cudnn-serve";

const server = await serve(JSON.parse(process.argv[2]));
const loopDelay = monitorEventLoopDelay({ resolution: 10 });
loopDelay.enable();

/** Measures. If clients are connected, it waits 5 s for their end. */
async function measure() {
  loopDelay.disable();
  const open = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap");
  for (let turn = 0; open().length > 0 && turn < 500; turn++) await delay(10);
  // Finalizers run between turns of the event loop.
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await delay(5);
  }
  const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const sample = {
    ...{ rssMB: rss / 1e6, heapMB: heapUsed / 1e6, heapTotalMB: heapTotal / 1e6 },
    ...{ externalMB: external / 1e6, arrayBuffersMB: arrayBuffers / 1e6 },
    fileDescriptors: readdirSync("/proc/self/fd").length,
    threads: readdirSync("/proc/self/task").length,
    handles: process.getActiveResourcesInfo().length,
    loopDelayP50Ms: loopDelay.percentile(50) / 1e6,
    loopDelayP99Ms: loopDelay.percentile(99) / 1e6,
    loopDelayMaxMs: loopDelay.max / 1e6,
  };
  loopDelay.enable();
  return sample;
}

process.on("message", async (order) => {
  if (order === "measure") return process.send(await measure());
  await server.close();
  process.disconnect();
});
const { http, grpc } = server.addresses;
process.send({ http: http.port, grpc: grpc.port });
