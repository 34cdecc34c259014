// Reads thousands of damaged checkpoints: each is read or refused quickly, in bounded memory, and nothing else happens.
// VGG_FUZZ_MUTANTS (5000), VGG_FUZZ_SEED (1) and VGG_FUZZ_FIRST (0) choose which.
import { type ChildProcess, fork } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readCheckpoint, writeSafetensors } from "../../lib/index.ts";
import { type Corpus, formats, mutant } from "../support/mutate/mutant.ts";
import { parseZip, zip } from "../support/zip.ts";

const folder = fileURLToPath(new URL("../golden/checkpoints/", import.meta.url));
const script = fileURLToPath(new URL("../children/fuzz.mjs", import.meta.url));
const setting = (name: string, preset: number) => Number(process.env[`VGG_FUZZ_${name}`] ?? preset);
const mutants = setting("MUTANTS", 5_000);
const seed = setting("SEED", 1);
const first = setting("FIRST", 0);

/** Seconds of processor time, so that a loaded machine makes nothing fail. */
const maxSeconds = 2;
const hangMs = 60_000;
const spareBytes = 64 * 2 ** 20;
/** Files in flight to the child. More than one keeps both processes busy. */
const windowSize = 16;

let scratch: string;
beforeAll(() => {
  // Each mutant is a new file, so use a folder in memory if there is one.
  const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  scratch = mkdtempSync(join(parent, "vgg-fuzz-"));
  mkdirSync(join(scratch, "cwd"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

async function makeCorpus(): Promise<Corpus> {
  const files = (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => name.endsWith(".pth"))
    .sort()
    .map((name) => readFileSync(folder + name));
  const isZip = (file: Buffer) => file.toString("latin1", 0, 2) === "PK";
  const zips = files.filter(isZip);
  const safetensors: Buffer[] = [];
  for (const name of ["views", "float16", "float64", "data-parallel"]) {
    const path = join(scratch, "corpus.safetensors");
    const metadata = { format: "pt", labels: '["cat","dog"]' };
    const tensors = await readCheckpoint(`${folder}${name}.pth`);
    await writeSafetensors(path, tensors, name === "views" ? { metadata } : {});
    safetensors.push(readFileSync(path));
  }
  return {
    zip: zips,
    deflated: zips.map((file) => zip(parseZip(file).map((entry) => ({ ...entry, deflate: true })))),
    zip64: zips.map((file) => zip(parseZip(file), { zip64: true })),
    legacy: files.filter((file) => !isZip(file)),
    safetensors,
  };
}

interface Answer {
  /** Why the file was refused. Absent if it was read. */
  code?: string;
  seconds?: number;
  /** Any other outcome. */
  failure?: string;
  /** Peak memory of the process. */
  peakBytes?: number;
}

/** A process that reads files and answers in order. */
class Reader {
  #child: ChildProcess;
  #waiting: { resolve: (answer: Answer) => void; timer: NodeJS.Timeout }[] = [];

  constructor() {
    // A sanitizer's memory would count too, and no native code reads the files.
    const { LD_PRELOAD: _, ...env } = process.env;
    this.#child = fork(script, [join(scratch, "mutant")], {
      cwd: join(scratch, "cwd"),
      env,
      execArgv: ["--expose-gc"],
      serialization: "advanced",
    });
    this.#child.on("message", (answer: Answer) => this.#answer(answer));
    this.#child.on("exit", (status, signal) => {
      while (this.#waiting.length > 0)
        this.#answer({ failure: `the process ended with ${signal ?? status}` });
    });
  }

  #answer(answer: Answer): void {
    const waiting = this.#waiting.shift();
    clearTimeout(waiting?.timer);
    waiting?.resolve(answer);
  }

  /** Reads a file. Without one, asks for the peak memory so far. */
  ask(bytes?: Buffer): Promise<Answer> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), hangMs);
      this.#waiting.push({ resolve, timer });
      this.#child.send({ bytes });
    });
  }

  end(): void {
    this.#child.kill();
  }
}

it(
  "a damaged checkpoint is read or refused quickly, in bounded memory, and nothing else happens",
  async () => {
    const corpus = await makeCorpus();
    const tally = new Map(formats.map((format) => [format, { read: 0, refused: 0 }]));
    const codes = new Map<string, number>();
    const failures: string[] = [];
    let slowest = 0;
    let largestBytes = 0;
    const reader = new Reader();
    try {
      for (const format of formats) {
        for (const file of corpus[format]) {
          const { failure } = await reader.ask(file);
          expect(failure, `an undamaged ${format} file`).toBeUndefined();
          await reader.ask(file);
        }
      }
      const { peakBytes: baseBytes = 0 } = await reader.ask();

      const start = performance.now();
      let next = first;
      const work = async () => {
        while (next < first + mutants && failures.length === 0) {
          const iteration = next++;
          const { format, bytes } = mutant(corpus, seed, iteration);
          largestBytes = Math.max(largestBytes, bytes.length);
          const { code, seconds = 0, failure } = await reader.ask(bytes);
          slowest = Math.max(slowest, seconds);
          if (failure !== undefined || seconds > maxSeconds) {
            failures.push(
              `${format} ${iteration} of seed ${seed}: ${failure ?? `took ${seconds} s`}\n` +
                `again with VGG_FUZZ_SEED=${seed} VGG_FUZZ_FIRST=${iteration} VGG_FUZZ_MUTANTS=1`,
            );
          }
          tally.get(format)![code === undefined ? "read" : "refused"]++;
          if (code !== undefined) codes.set(code, (codes.get(code) ?? 0) + 1);
        }
      };
      await Promise.all(Array.from({ length: windowSize }, work));
      expect(failures[0]).toBeUndefined();

      const { peakBytes = Number.POSITIVE_INFINITY } = await reader.ask();
      const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);
      console.log(
        [
          `${mutants} mutants of seed ${seed} in ${((performance.now() - start) / 1000).toFixed(1)} s`,
          `the slowest ${slowest.toFixed(3)} s, peak ${mebibytes(peakBytes)} MiB after ${mebibytes(baseBytes)} MiB`,
          ...[...tally].map(
            ([format, { read, refused }]) => `${format}: ${read} read, ${refused} refused`,
          ),
          ...[...codes].map(([code, count]) => `${code}: ${count}`),
        ].join("\n"),
      );
      expect(peakBytes).toBeLessThanOrEqual(baseBytes + spareBytes + largestBytes);
    } finally {
      reader.end();
    }
    expect(readdirSync(join(scratch, "cwd"))).toEqual([]);

    // A mutator that breaks everything, or nothing, tests little. A small number of mutants cannot show that.
    if (mutants < 1000) return;
    for (const [format, { read, refused }] of tally) {
      expect(read / (read + refused), format).toBeGreaterThan(0.05);
      expect(refused / (read + refused), format).toBeGreaterThan(0.25);
    }
    expect([...codes.keys()].sort()).toEqual([
      "CHECKPOINT_CORRUPT",
      "CHECKPOINT_FORMAT",
      "CHECKPOINT_LIMIT",
      "CHECKPOINT_UNSAFE",
      "CHECKPOINT_UNSUPPORTED",
    ]);
  },
  120_000 + 20 * mutants,
);
