// Times of runs by their number of images, learned as runs end, and the number of images that the next run should have.

/** A size is near the best if its rate is at least this share of the best rate. */
const nearShare = 0.95;
/** The share of a new time in the moving average of its size. */
const newShare = 0.2;
/** The share of a run's time that is assumed not to depend on its size while only one size was timed. */
const fixedShare = 0.5;
/** A time or a limit counts for this number of runs. Then its size is tried again. */
const lifetime = 256;

interface Timed {
  readonly size: number;
  /** A moving average. */
  ms: number;
  /** The number of the run that was timed last. */
  run: number;
}

/** The times of one kind of run. */
export class Rates {
  readonly #pad: (size: number) => number;
  readonly #prior: Rates | undefined;
  /** By size, ascending. */
  #timed: Timed[] = [];
  /** Sizes whose first run was seen. It is not timed, because it also compiles. */
  readonly #compiled = new Set<number>();
  #runs = 0;
  #limit = Number.POSITIVE_INFINITY;
  #limitedUntil = 0;

  /**
   * @param pad returns the size that a run of `size` images really has: a GPU pads it
   * @param prior what is known before a run was timed here
   */
  constructor(pad: (size: number) => number = (size) => size, prior?: Rates) {
    this.#pad = pad;
    this.#prior = prior;
  }

  /** The time of each size in ms, ascending. Sizes that share a run are one. */
  get times(): ReadonlyMap<number, number> {
    if (this.#timed.length === 0 && this.#prior !== undefined) return this.#prior.times;
    return new Map(this.#timed.map(({ size, ms }) => [size, ms]));
  }

  /** Images per ms of the fastest size. Undefined before a run was timed. */
  get best(): number | undefined {
    const rates = [...this.times].map(([size, ms]) => size / ms);
    return rates.length === 0 ? undefined : Math.max(...rates);
  }

  /** The greatest size that had memory. A size above it is tried again later. */
  get limit(): number {
    return this.#runs < this.#limitedUntil ? this.#limit : Number.POSITIVE_INFINITY;
  }

  /** Learns from a run that ended, unless it is the first of its size. */
  record(size: number, ms: number): void {
    const padded = this.#pad(size);
    if (this.#compiled.has(padded)) this.learn(size, ms);
    else this.#compiled.add(padded);
  }

  /** Learns from a run whose size was compiled before. */
  learn(size: number, ms: number): void {
    const padded = this.#pad(size);
    this.#compiled.add(padded);
    const run = ++this.#runs;
    const known = this.#timed.find((timed) => timed.size === padded);
    if (known === undefined) this.#timed.push({ size: padded, ms: Math.max(ms, 1e-6), run });
    else {
      known.ms += newShare * (ms - known.ms);
      known.run = run;
    }
    this.#timed = this.#timed
      .filter((timed) => run - timed.run < lifetime)
      .sort((a, b) => a.size - b.size);
  }

  /** Learns that there is no memory for a run of this size. */
  refuse(size: number): void {
    this.#limit = Math.max(1, Math.floor(size / 2));
    this.#limitedUntil = this.#runs + lifetime;
  }

  /** Returns the expected time of a run in ms. Undefined before a run was timed. */
  timeOf(size: number): number | undefined {
    const timed = this.#timed;
    if (timed.length === 0) return this.#prior?.timeOf(size);
    const padded = this.#pad(size);
    const above = timed.findIndex((known) => known.size >= padded);
    const next = timed[above];
    if (next?.size === padded) return next.ms;
    const [first] = timed as [Timed];
    if (timed.length === 1 || above === 0) return first.ms * this.#growth(first.size, padded);
    // Between two sizes, or beyond the last two.
    const from = timed[above === -1 ? timed.length - 2 : above - 1]!;
    const to = next ?? timed.at(-1)!;
    const slope = Math.max(0, (to.ms - from.ms) / (to.size - from.size));
    return to.ms + slope * (padded - to.size);
  }

  /** Returns the smallest size whose rate is near the best one. @param sizes ascending, at least one */
  near(sizes: readonly number[]): number {
    const rates = sizes.map((size) => this.#rateOf(size));
    const enough = nearShare * Math.max(...rates);
    return sizes[rates.findIndex((rate) => rate >= enough)]!;
  }

  /**
   * Returns the size that the next run should have: the near one. If more than twice that wait, it is the size of the
   * best rate, because the device will not become idle soon.
   * @param sizes the sizes that it may have, ascending, at least one
   * @param waiting the number of images that wait
   */
  choose(sizes: readonly number[], waiting: number): number {
    const near = this.near(sizes);
    if (waiting <= 2 * near) return near;
    return sizes.reduce((best, size) => (this.#rateOf(size) >= this.#rateOf(best) ? size : best));
  }

  /** Returns the time of a run relative to that of a run of another size, as far as it is known. */
  #growth(from: number, to: number): number {
    const [before, after] = [this.#prior?.timeOf(from), this.#prior?.timeOf(to)];
    if (before !== undefined && after !== undefined) return after / before;
    return fixedShare + ((1 - fixedShare) * to) / from;
  }

  #rateOf(size: number): number {
    return size / (this.timeOf(size) ?? 1);
  }
}
