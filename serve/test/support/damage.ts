// Random damage to bytes, decided by a seed: for tests of what a server does with it.

/** The number of damaged requests of each test; `VGG_MUTATIONS=40000` for a long run. */
export const count = Number(process.env.VGG_MUTATIONS ?? 2000);

/** Decides the damage. */
export const seed = Number(process.env.VGG_SEED ?? 1);

/** Numbers 0 … 1 that a seed decides (mulberry32). */
export function randomOf(start: number): () => number {
  let state = start | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Words that break parsers: of JSON, of numbers, of forms and of HTTP. */
const words = ["{", "[", "]", '"', "\\", "null", "1e999", "-1", "99999999999999999999", "NaN", "\0"]
  .concat(["__proto__", "4294967295", "\r\n", "\r\n\r\n", "--b", ":", ",", "\xff\xfe", "true", "0"])
  .map((word) => Buffer.from(word, "latin1"));

/** Damages bytes at one to four places. */
export function damaged(bytes: Buffer, random: () => number): Buffer {
  let result = Buffer.from(bytes);
  const pick = (below: number) => Math.floor(random() * below);
  for (let times = 1 + pick(4); times > 0; times--) {
    const at = pick(result.length + 1);
    const [before, after] = [result.subarray(0, at), result.subarray(at)];
    const middle = words[pick(words.length)]!;
    const size = pick(16);
    result = [
      () => Buffer.concat([before, Buffer.of(pick(256)), after.subarray(1)]),
      () => Buffer.concat([before, after.subarray(size)]),
      () => Buffer.concat([before, middle, after]),
      () => Buffer.concat([before, middle, after.subarray(middle.length)]),
      () => Buffer.concat([before, after.subarray(0, size), after]),
      () => before,
    ][pick(6)]!();
  }
  return result;
}

/** Does a task for each number below a number, eight at a time. */
export async function forEach(
  times: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < times) await task(next++);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}
