// Runs a trial in a fresh process: starts it, asks it, checks it against the truth and ends it, so that no other trial is disturbed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { python } from "./python.mjs";
import { median, relativeError } from "./statistics.mjs";
import { engines, tolerance } from "./trials.mjs";

/** Runs of each engine: the untimed runs besides the compared one, and the timed runs, whose median counts. */
const repeats = (batch) => {
  if (batch === 1) return { warmUp: 2, repeat: 7 };
  return batch <= 4 ? { warmUp: 1, repeat: 3 } : { warmUp: 0, repeat: 2 };
};

const drivers = fileURLToPath(new URL("drivers/", import.meta.url));

class TrialProcess {
  #process;
  #lines;
  #output = "";

  constructor(trial, options) {
    const { driver, runtime } = engines[trial.engine];
    const script = join(drivers, driver);
    this.#process = spawn(
      runtime === "node" ? process.execPath : python,
      [script, JSON.stringify(options)],
      {
        stdio: ["pipe", "pipe", "pipe", "pipe"],
        timeout: 300_000,
        env: { ...process.env, PYTHONPATH: drivers, PYTHONDONTWRITEBYTECODE: "1" },
      },
    );
    this.#process.stdin.on("error", () => {}); // The process has ended. `answer` reports it.
    for (const stream of this.#process.stdio.slice(1, 3))
      stream.on("data", (text) => {
        this.#output += text;
      });
    this.#lines = createInterface({ input: this.#process.stdio[3] })[Symbol.asyncIterator]();
  }

  async answer() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`Expected an answer but the process ended:\n${this.#output}`);
    return JSON.parse(value);
  }

  ask(question) {
    this.#process.stdin.write(`${JSON.stringify(question)}\n`);
    return this.answer();
  }

  /** Only Linux reports it for this program instead of the one that started it. */
  get peakRssBytes() {
    if (process.platform !== "linux") return null;
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)[1]) * 1024;
  }

  async end() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exit;
  }
}

/** @throws {Error} if an image's logits differ from the truth */
function check(logits, { truth, classes }, { precision }, batch) {
  if (logits.length !== batch * classes)
    throw new Error(`Expected ${batch * classes} logits but received ${logits.length}`);
  const errors = Array.from({ length: batch }, (_, i) =>
    relativeError(logits.slice(i * classes, (i + 1) * classes), truth[i % truth.length]),
  );
  const worst = errors.findIndex((error) => !(error < tolerance[precision]));
  if (worst >= 0)
    throw new Error(`Expected the truth's logits but image ${worst} is ${errors[worst]} away`);
  return Math.max(...errors);
}

/**
 * Runs a trial once in a separate process. Compares its logits before anything is timed, and after.
 * @param isTimed if false, only compares
 * @returns { skip: reason } if this machine cannot run it
 */
export async function runTrial(trial, batch, models, isTimed) {
  const { threads, settings, precision, engine } = trial;
  const { files, layers, classes } = models;
  const start = performance.now();
  const child = new TrialProcess(trial, {
    ...{ threads, settings, precision, layers, classes },
    model: files[engines[engine].reads],
    images: files.images,
  });
  try {
    const { version, skip } = await child.answer();
    if (skip !== undefined) return { skip };
    const first = await child.ask({ batch, warmUp: 0, repeat: 1 });
    const coldStartMs = performance.now() - start;
    const error = check(first.logits, models, trial, batch);
    if (!isTimed) return { version, error };
    const { timesMs, logits, eventLoopDelayMs } = await child.ask({ batch, ...repeats(batch) });
    check(logits, models, trial, batch);
    const { peakRssBytes } = child;
    return {
      ...{ version, error, coldStartMs, peakRssBytes },
      eventLoopDelayMs: eventLoopDelayMs ?? null,
      ms: median(timesMs),
    };
  } finally {
    await child.end();
  }
}
