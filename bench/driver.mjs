// What every driver does: it answers each line { batch, repeat } of its input with the times and a sample of its logits.

import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";

/** The same images in every process. */
function image(batch) {
  let state = 12345;
  return Float32Array.from({ length: batch * 3 * 224 * 224 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** @param forward (input, batch) → logits */
export async function serve(forward) {
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const { batch, repeat } = JSON.parse(line);
    const input = image(batch);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const timesMs = [];
    let logits;
    delay.enable();
    for (let i = 0; i < repeat; i++) {
      const start = performance.now();
      logits = await forward(input, batch);
      timesMs.push(performance.now() - start);
    }
    delay.disable();
    const { rss } = process.memoryUsage();
    console.log(
      JSON.stringify({
        timesMs,
        logits: [...logits.subarray(0, 1000)],
        rssBytes: rss,
        peakRssBytes: process.resourceUsage().maxRSS * 1024,
        // The histogram counts whole intervals: the timer's own millisecond is not a delay.
        eventLoopDelayMs: { p99: delay.percentile(99) / 1e6 - 1, max: delay.max / 1e6 - 1 },
      }),
    );
  }
}
