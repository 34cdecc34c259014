// The package's random numbers, by their definition in plain TypeScript: Philox 4x32-10, then Box–Muller, in float64.

/** The four words of a counter. */
function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const p = 0xd2511f53n * a;
    const q = 0xcd9e8d57n * c;
    [a, b, c, d] = [(q >> 32n) ^ b ^ k0, q & word, (p >> 32n) ^ d ^ k1, p & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [a, b, c, d].map(Number);
}

/** Element `index` of the stream of a seed. */
export function normalNumber(index: number, seed: number, stream: number): number {
  const counter = Math.floor(index / 4);
  const words = philox(
    [counter % 2 ** 32, Math.floor(counter / 2 ** 32), stream, 0],
    [seed % 2 ** 32, Math.floor(seed / 2 ** 32)],
  );
  const unit = (word: number) => (Math.floor(word / 2) + 0.5) / 2 ** 31;
  const pair = index % 4 < 2 ? 0 : 2;
  const radius = Math.sqrt(-2 * Math.log(unit(words[pair]!)));
  const angle = 2 * Math.PI * unit(words[pair + 1]!);
  return radius * (index % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
}
