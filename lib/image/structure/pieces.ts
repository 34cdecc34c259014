// The parts of a file that the decoder receives, and the error for a file that costs more than its pixels justify.

/** A file needs more work than its pixels justify. The message says which work. */
export class ExcessiveWork extends Error {
  constructor(expected: string, received: string) {
    super(`Expected ${expected} but it has ${received}`);
  }
}

/** Ranges of a file, in order. A range that touches the one before extends it. */
export class Pieces {
  readonly #bytes: Buffer;
  readonly #ranges: [from: number, to: number][] = [];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  keep(from: number, to: number): void {
    const last = this.#ranges.at(-1);
    if (last?.[1] === from) last[1] = to;
    else if (this.#ranges.push([from, to]) > 1000)
      throw new ExcessiveWork("at most 1000 runs of needed chunks", "more");
  }

  /** Joins the ranges. If they are one, because all of the file or all but its end was kept, nothing is copied. */
  join(): Buffer {
    const parts = this.#ranges.map(([from, to]) => this.#bytes.subarray(from, to));
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }
}
