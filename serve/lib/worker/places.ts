// Units of a limit that tasks wait for and give back, first in, first out.

interface Waiting {
  readonly units: number;
  readonly start: () => void;
}

/**
 * A limit of units.
 * @example
 * const places = new Places(8);
 * const release = await places.acquire(1);
 * try { await read(); } finally { release(); }
 */
export class Places {
  readonly #total: number;
  #free: number;
  readonly #waiting: Waiting[] = [];

  constructor(total: number) {
    this.#total = total;
    this.#free = total;
  }

  /** The units that are held. */
  get held(): number {
    return this.#total - this.#free;
  }

  /**
   * Waits for units. More than there are in all count as all.
   * @returns what gives them back; a second call does nothing
   * @throws the reason of `signal`; nothing is held then
   */
  async acquire(units: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const wanted = Math.min(units, this.#total);
    if (this.#waiting.length > 0 || wanted > this.#free)
      await new Promise<void>((resolve, reject) => {
        const waiting = { units: wanted, start: () => finish(resolve) };
        const stop = () => {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          finish(() => reject(signal!.reason));
          this.#startNext();
        };
        const finish = (end: () => void) => {
          signal?.removeEventListener("abort", stop);
          end();
        };
        signal?.addEventListener("abort", stop, { once: true });
        this.#waiting.push(waiting);
      });
    else this.#free -= wanted;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#free += wanted;
      this.#startNext();
    };
  }

  #startNext(): void {
    for (let next = this.#waiting[0]; next && next.units <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.units;
      next.start();
    }
  }
}
