// Damaged checkpoints for the fuzz test: seeded, and aware of the formats, so that mutants get past sums and lengths.
import { damage, Random } from "./damage.ts";
import { mutateLegacy } from "./legacy.ts";
import { mutateSafetensors } from "./safetensors.ts";
import { mutateZip } from "./zip.ts";

export const formats = ["zip", "deflated", "zip64", "legacy", "safetensors"] as const;
export type Format = (typeof formats)[number];

/** Well-formed files by format. */
export type Corpus = Readonly<Record<Format, readonly Buffer[]>>;

const structured: Readonly<Record<Format, (random: Random, bytes: Buffer) => Buffer>> = {
  zip: (random, bytes) => mutateZip(random, bytes, {}),
  deflated: (random, bytes) => mutateZip(random, bytes, { deflate: true }),
  zip64: (random, bytes) => mutateZip(random, bytes, { zip64: true }),
  legacy: mutateLegacy,
  safetensors: mutateSafetensors,
};

/** The iteration's format and file: they depend on nothing but the corpus, the seed and the number. */
export function mutant(
  corpus: Corpus,
  seed: number,
  iteration: number,
): { format: Format; bytes: Buffer } {
  const random = new Random(seed, iteration);
  const format = formats[iteration % formats.length]!;
  // A third are damaged bytes of any place, the others knowing what they damage; some both.
  const isBlind = random.once(3);
  // Entries are changed in a plain zip file, then zipped in the format.
  const isZip = format !== "legacy" && format !== "safetensors";
  let bytes: Buffer = Buffer.from(random.pick(corpus[!isBlind && isZip ? "zip" : format]));
  if (!isBlind) bytes = structured[format](random, bytes);
  if (isBlind || random.once(20))
    for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--) bytes = damage(random, bytes);
  return { format, bytes };
}
