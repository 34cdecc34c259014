// Gives images to a model, and gives an image again, later, if it failed for a reason that may pass.
import { setTimeout as delay } from "node:timers/promises";
import { retryDelayMs } from "../../download/retry.js";
import { isTemporary } from "../../image/temporary.js";

const firstDelayMs = 1000;

interface Again {
  readonly file: string;
  readonly failures: number;
  /** The time of the next try, as `performance.now()` says it. */
  readonly dueMs: number;
}

/**
 * The images of a run. `files` gives them, and `settle` takes the result of each, in the order in which they were
 * given.
 */
export class Attempts {
  readonly #files: Iterator<string>;
  readonly #retries: number;
  readonly #firstDelayMs: number;
  /** Images without a result, in the order in which they were given. */
  readonly #given: { file: string; failures: number }[] = [];
  /** Images that will be given again, the earliest first. */
  readonly #again: Again[] = [];
  #wake = () => {};

  /** @param retries how often an image is given again */
  constructor(files: Iterable<string>, retries: number, delayMs = firstDelayMs) {
    this.#files = files[Symbol.iterator]();
    this.#retries = retries;
    this.#firstDelayMs = delayMs;
  }

  /** Ends when each image has a final result. */
  async *files(): AsyncGenerator<string> {
    for (;;) {
      const again = this.#again[0];
      if (again !== undefined && again.dueMs <= performance.now()) {
        this.#again.shift();
        yield this.#give(again.file, again.failures);
        continue;
      }
      const next = this.#files.next();
      if (!next.done) yield this.#give(next.value, 0);
      else if (again !== undefined) await delay(again.dueMs - performance.now());
      else if (this.#given.length > 0) await this.#nextResult();
      else return;
    }
  }

  /**
   * Takes the result of the first image that has none.
   * @param error undefined: the image succeeded
   * @returns the image, whether the result is final, and whether another run may have another result
   */
  settle(error: unknown): { file: string; isFinal: boolean; mayPass: boolean } {
    const { file, failures } = this.#given.shift()!;
    const mayPass = isTemporary(error);
    const isFinal = !mayPass || failures >= this.#retries;
    if (!isFinal) {
      const waitMs = retryDelayMs(failures + 1, this.#firstDelayMs);
      this.#again.push({ file, failures: failures + 1, dueMs: performance.now() + waitMs });
      this.#again.sort((a, b) => a.dueMs - b.dueMs);
    }
    this.#wake();
    return { file, isFinal, mayPass };
  }

  #give(file: string, failures: number): string {
    this.#given.push({ file, failures });
    return file;
  }

  #nextResult(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
