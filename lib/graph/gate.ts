// How much may be under way at once on a set of parameters, and in which order.

/** Runs whose inputs are copied and that have not ended. More would only take memory: the device works through them in turn. */
export const maxRunning = 8;

interface Waiting {
  readonly isRun: boolean;
  readonly start: () => void;
}

/** Lets `maxRunning` runs in; further ones, and whatever must come after them, start later, in the order of their calls. */
export class Gate {
  #running = 0;
  #waiting: Waiting[] = [];

  /** Starts a run now, before this returns, or when its turn comes. A signal takes it out of the queue. */
  run<T>(work: (hasWaited: boolean) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#canStart(true)
      ? this.#count(() => work(false))
      : this.#wait(true, () => this.#count(() => work(true)), signal);
  }

  /** Starts other work at once where no run waits, else after those that do. */
  after<T>(work: () => Promise<T>): Promise<T> {
    return this.#canStart(false) ? work() : this.#wait(false, work);
  }

  async #count<T>(run: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await run();
    } finally {
      this.#running--;
      this.#advance();
    }
  }

  #canStart(isRun: boolean): boolean {
    return this.#waiting.length === 0 && (!isRun || this.#running < maxRunning);
  }

  #wait<T>(isRun: boolean, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = {
        isRun,
        start: () => {
          signal?.removeEventListener("abort", abort);
          work().then(resolve, reject);
        },
      };
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal!.reason);
        this.#advance();
      };
      this.#waiting.push(waiting);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  #advance(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.isRun && this.#running >= maxRunning) return;
      this.#waiting.shift();
      next.start();
    }
  }
}
