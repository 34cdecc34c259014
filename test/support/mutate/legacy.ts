// Damages PyTorch's legacy files: one of their pickles, or the count before a storage.
import { interesting, noise, type Random, splice } from "./damage.ts";
import { mutatePickle, opcodesOf } from "./pickle.ts";

export function mutateLegacy(random: Random, bytes: Buffer): Buffer {
  // The pickles are magic, protocol, system, object and keys.
  const starts: number[] = [];
  let end = 0;
  for (let i = 0; i < 5; i++) {
    starts.push(end);
    const last = opcodesOf(bytes, end).at(-1);
    if (last === undefined) break;
    end = last.at + last.length;
  }
  if (random.once(5) && end + 8 <= bytes.length) {
    // Replaces the count before a storage.
    const count = random.once(2)
      ? interesting(random, 8)
      : Buffer.from(BigUint64Array.of(BigInt(random.below(200))).buffer);
    return splice(bytes, end, 8, count);
  }
  if (random.once(10)) return splice(bytes, end, 0, noise(random, 1 + random.below(16)));
  let mutated = bytes;
  // Mostly damages the object. The offsets before the chosen pickle stay valid.
  const chosen = random.once(3) ? random.pick(starts.slice(1)) : starts[3]!;
  for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--) {
    const head = mutated.subarray(0, chosen);
    mutated = Buffer.concat([head, mutatePickle(random, Buffer.from(mutated.subarray(chosen)))]);
  }
  return mutated;
}
