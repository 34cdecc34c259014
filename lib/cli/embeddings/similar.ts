// `vgg similar`: finds the images of a file of embeddings that are most similar to one image.
import { basename } from "node:path";
import type { Command } from "commander";
import { checkInteger, rangeError } from "../../check.js";
import type { EmbedOptions } from "../../vgg/images/embed.js";
import { normalizeRows } from "../../vgg/images/embed.js";
import { visible } from "../../visible.js";
import { sourceOf } from "../images/expand.js";
import { loadModel, type WeightsOptions, withImages } from "../model.js";
import { command, integer, type OutputOptions, print, withRequired } from "../options.js";
import { preprocessOf } from "../preprocess.js";
import { textTable } from "../table.js";
import { writeError } from "../text.js";
import { poolOption } from "./embed.js";
import { blocksOf, openStored, type Stored } from "./stored.js";

interface SimilarOptions extends WeightsOptions, OutputOptions {
  in: string;
  top: number;
  layer?: string;
  pool?: "mean" | "max";
}

interface Match {
  readonly file: string;
  /** The cosine of the angle between the embeddings, -1 … 1. */
  readonly similarity: number;
}

export function similarCommand(): Command {
  const of = withImages(
    command("similar", "find the images of a file of embeddings that are most similar to one"),
  )
    .argument("<query>", "an image: a file or URL; - is standard input")
    .option("--in <file>", "what vgg embed wrote: a .npy or .safetensors file")
    .option("--top <count>", "images to print", integer, 10)
    .option("--layer <name>", "torchvision's name of the layer (default: the file says it)")
    .addOption(poolOption().choices(["mean", "max"]))
    .action(similar);
  return withRequired(of, "--in <file>");
}

async function similar(query: string, options: SimilarOptions): Promise<void> {
  checkInteger(options.top, "--top", 1, 1_000_000);
  const stored = await openStored(options.in);
  const { description, length, path } = stored;
  const layer = options.layer ?? description?.layer ?? "classifier.4";
  const pool =
    options.pool ?? (options.layer === undefined ? description?.pool : null) ?? undefined;
  const isGiven = Object.keys(preprocessOf(options)).length > 0;
  const preprocess = isGiven ? undefined : description?.preprocessing;
  const settings: EmbedOptions = { layer, normalize: true, pool, preprocess };
  const weights = basename(options.weights);
  if (description?.weights !== undefined && description.weights !== weights)
    writeError(
      `vgg: ${path} was made with the weights ${description.weights}, and the query with ${weights}\n`,
    );
  const model = await loadModel(options);
  try {
    if (description !== undefined && description.arch !== model.arch)
      throw rangeError(
        `the embeddings of a ${model.arch}`,
        "--in",
        `${path} of a ${description.arch}`,
      );
    const { shape } = await model.embed([], settings);
    if (shape[1] !== length)
      throw rangeError(
        `embeddings of ${shape[1]} values, as ${layer} has,`,
        "--in",
        `${path} with ${length}`,
      );
    const { data } = await model.embed(sourceOf(query), settings);
    const matches = await search(stored, data, options.top);
    print(options, matches, () =>
      textTable(
        ["file", "similarity"],
        matches.map(({ file, similarity }) => [visible(file), similarity.toFixed(4)]),
        1,
      ).join("\n"),
    );
  } finally {
    await model.dispose();
  }
}

/** Compares the query with every row. @param query has the norm 1 @returns the most similar rows, the best first */
async function search(stored: Stored, query: Float32Array, top: number): Promise<Match[]> {
  const { length, description } = stored;
  const best: { row: number; similarity: number }[] = [];
  for await (const { first, values } of blocksOf(stored)) {
    normalizeRows(values, length);
    for (let start = 0; start < values.length; start += length) {
      let similarity = 0;
      for (let i = 0; i < length; i++) similarity += values[start + i]! * query[i]!;
      const worst = best.length < top ? Number.NEGATIVE_INFINITY : best.at(-1)!.similarity;
      if (!(similarity > worst)) continue;
      let place = best.length;
      while (place > 0 && best[place - 1]!.similarity < similarity) place--;
      best.splice(place, 0, { row: first + start / length, similarity });
      if (best.length > top) best.pop();
    }
  }
  return best.map(({ row, similarity }) => ({
    file: description?.files[row] ?? `row ${row}`,
    similarity,
  }));
}
