// Damaged checkpoints for the fuzz test. They are seeded and know the formats, so that mutants pass checksums and lengths.
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

/** The iteration's format and file. They depend only on the corpus, the seed and the iteration. */
export function mutant(
  corpus: Corpus,
  seed: number,
  iteration: number,
): { format: Format; bytes: Buffer } {
  const random = new Random(seed, iteration);
  const format = formats[iteration % formats.length]!;
  // A third have random bytes damaged, the others known parts of the format. Some have both.
  const isBlind = random.once(3);
  // The entries of a plain zip file are changed, then zipped in the format.
  const isZip = format !== "legacy" && format !== "safetensors";
  let bytes: Buffer = Buffer.from(random.pick(corpus[!isBlind && isZip ? "zip" : format]));
  if (!isBlind) bytes = structured[format](random, bytes);
  if (isBlind || random.once(20))
    for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--) bytes = damage(random, bytes);
  return { format, bytes };
}
