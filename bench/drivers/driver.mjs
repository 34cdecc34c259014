// Shared by the drivers in Node: a driver loads, prints its version, and answers each question with times and logits.
// A question is a line { batch, warmUp, repeat } on standard input. An answer is a line on file descriptor 3, because engines
// print to the standard streams. driver.py is the same for Python.

import { readFileSync, writeSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";

const say = (message) => writeSync(3, `${JSON.stringify(message)}\n`);

/** { model, images, threads, settings }: the paths of the model and the images (float32), and the trial's options. */
export const options = JSON.parse(process.argv[2]);

/** Ends the process, because this machine or installation cannot run the trial. */
export function skip(reason) {
  say({ skip: reason });
  process.exit();
}

/** Repeats the images to fill a batch: float32 (N, 3, 224, 224). */
function readBatch(batch) {
  const { buffer, byteOffset, length } = readFileSync(options.images);
  const images = new Float32Array(buffer, byteOffset, length / 4);
  const input = new Float32Array(batch * 3 * 224 * 224);
  for (let at = 0; at < input.length; at += images.length)
    input.set(images.subarray(0, input.length - at), at);
  return input;
}

/** @param forward (input, batch) → logits */
export async function serve(version, forward) {
  say({ version });
  for await (const line of createInterface({ input: process.stdin })) {
    const { batch, warmUp, repeat } = JSON.parse(line);
    const input = readBatch(batch);
    const timesMs = [];
    let logits;
    for (let i = 0; i < warmUp; i++) await forward(input, batch);
    for (let i = 0; i < repeat; i++) {
      const start = performance.now();
      logits = await forward(input, batch);
      timesMs.push(performance.now() - start);
    }
    // Delay is measured in separate runs: the timer wakes a thread each millisecond, which costs an engine that leaves the event loop free.
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    for (let i = 0; i < repeat; i++) await forward(input, batch);
    await new Promise((resolve) => setTimeout(resolve, 2)); // A delay is recorded when it ends.
    delay.disable();
    // The histogram counts whole intervals: the timer's own millisecond is not a delay.
    const eventLoopDelayMs = Math.max(0, delay.percentile(99) / 1e6 - 1);
    say({ timesMs, logits: Array.from(logits), eventLoopDelayMs });
  }
}
