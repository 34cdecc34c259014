// A share of a list of images, such as 3/16: each image belongs to one of 16 shares, by the hash of its name.
import { createHash } from "node:crypto";
import { rangeError } from "../../check.js";

const maxShares = 65_536;

/** A share: `index` of `count`, from 0 on. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Parses "3/16", where the first share is 1. @throws {RangeError} another form */
export function parseShard(text: string): Shard {
  const [, number, count] = /^(\d{1,5})\/(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (
    number === undefined ||
    count === undefined ||
    number < 1 ||
    number > count ||
    count > maxShares
  )
    throw rangeError(`a share such as 3/16, of at most ${maxShares},`, "--shard", text);
  return { index: number - 1, count };
}

/** Whether an image belongs to the share. The answer is the same on each machine and for each order of the list. */
export function isInShard(file: string, { index, count }: Shard): boolean {
  const hash = createHash("sha256").update(file).digest().readUInt32BE();
  return hash % count === index;
}
