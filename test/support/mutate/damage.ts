// Seeded random numbers, and random damage to bytes of any format.

/** Mulberry32. Draws integers below a bound, equal for equal seeds on every machine. */
export class Random {
  #state: number;

  constructor(seed: number, iteration: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(iteration + 1, 0x85ebca6b)) >>> 0;
  }

  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Returns true once in `n` times on average. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }
}

const wide = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];

/** A number that programs often get wrong, in `width` bytes. */
export function interesting(random: Random, width: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(random.pick(wide));
  return bytes.subarray(0, width);
}

export function splice(bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

export const noise = (random: Random, length: number) =>
  Buffer.from(Array.from({ length }, () => random.below(256)));

/** Damages bytes without knowledge of their format. */
export function damage(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(random.below(random.pick([2, 9, 65, 1025])) + 1, bytes.length - at);
  const elsewhere = random.below(bytes.length + 1);
  const range = bytes.subarray(elsewhere, elsewhere + length);
  switch (random.below(8)) {
    case 0: {
      for (let i = random.below(8); i >= 0 && bytes.length > 0; i--)
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      return bytes;
    }
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return splice(bytes, at, 0, noise(random, length));
    case 3:
      return splice(bytes, at, length, Buffer.alloc(0));
    case 4:
      return splice(bytes, at, 0, range);
    case 5:
      return splice(bytes, at, length, range);
    case 6: {
      const value = interesting(random, random.pick([1, 2, 4, 8]));
      return splice(bytes, at, value.length, value);
    }
    default:
      return splice(bytes, at, length, Buffer.alloc(length, random.pick([0, 0xff, 0x20])));
  }
}
