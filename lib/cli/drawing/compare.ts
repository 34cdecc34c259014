// `vgg compare`: prints the perceptual distance of two images, or of the images of two folders.
import { dirname, join, resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { checkInteger, rangeError } from "../../check.js";
import { withFile } from "../../files/errors.js";
import { makeFolder } from "../../files/make-folder.js";
import { checkPath } from "../../files/replace.js";
import { openSource } from "../../image/source.js";
import { maxRunPixels, type Pair, type PairDistance } from "../../perceptual/compare.js";
import { comparePairwise, type ReadPair } from "../../perceptual/each.js";
import { imagePair, minSide, type PerceptualResize } from "../../perceptual/pairs.js";
import { checkModel, graphsOf } from "../../perceptual/perceptual-distance.js";
import { layers } from "../../perceptual/record.js";
import { isFailure } from "../../vgg/images/each.js";
import type { Vgg } from "../../vgg/model.js";
import { visible } from "../../visible.js";
import { sourceOf } from "../images/expand.js";
import { loadModel, type WeightsOptions, withBatchSize, withWeightsFile } from "../model.js";
import { command, integer, withQuiet } from "../options.js";
import { progressLine } from "../progress.js";
import { countKinds, messageOf, saySkipped } from "../run.js";
import { writeError, writeOut } from "../text.js";
import { overlay } from "./overlay.js";
import { type FoundPairs, findPairs } from "./pair-files.js";
import { checkPng, writePng } from "./png.js";

interface CompareOptions extends Omit<WeightsOptions, "resize"> {
  json: boolean;
  quiet?: boolean;
  verbose?: boolean;
  map?: string;
  threshold?: number;
  resize: boolean;
  size?: number;
}

/** The default of --max-pixels. */
const usualMaxPixels = 100_000_000;

/** Parses a distance. */
function distance(value: string): number {
  if (value.trim() === "" || !(Number(value) >= 0 && Number.isFinite(Number(value))))
    throw new InvalidArgumentError("Expected a number of at least 0.");
  return Number(value);
}

export function compareCommand(): Command {
  return withBatchSize(
    withWeightsFile(
      withQuiet(
        command("compare", "measure how different two images look to people (LPIPS, vgg16)"),
      ),
    ),
    "pairs",
  )
    .argument("<a>", "an image (a file or URL; - is standard input), or a folder")
    .argument("<b>", "an image, or a folder with images of the same names")
    .option("--threshold <distance>", "fail if a pair is farther apart than this", distance)
    .option(
      "--map <path>",
      "draw where the images differ: a PNG; for folders, a folder for the pairs above the threshold",
    )
    .option("--resize", "resize B to the size of A; without it, two sizes are an error", false)
    .option(
      "--size <pixels>",
      "resize both, so that the shorter side of A has this length",
      integer,
    )
    .option("--max-pixels <count>", `limit of an image (default: ${usualMaxPixels})`, integer)
    .action(compare);
}

type Result =
  | { readonly name: string; readonly distance: PairDistance; readonly isAbove: boolean }
  | { readonly name: string; readonly error: unknown };

async function compare(a: string, b: string, options: CompareOptions): Promise<void> {
  const { map, size, threshold, maxPixels = usualMaxPixels } = options;
  checkInteger(maxPixels, "--max-pixels", 1, 2 ** 31 - 1);
  if (size !== undefined) checkInteger(size, "--size", minSide, 16_384);
  if (a === "-" && b === "-") throw rangeError("standard input once", "B", b);
  const found = await findPairs(a, b);
  if (map !== undefined) {
    if (found.isFolders) checkPath(map, "--map");
    else checkPng(map, "--map");
    // A map has the name of an image.
    if ([a, b].some((path) => resolve(path) === resolve(map)))
      throw rangeError("another path than A and B", "--map", map);
  }
  if (options.verbose === true) saySkipped(found.leftOut);
  const start = performance.now();
  // --resize and --max-pixels are of the pairs, not of the preprocessing.
  const { resize: _, maxPixels: __, ...loading } = options;
  const model = await loadModel({ ...loading, arch: "vgg16" });
  const progress = options.quiet ? undefined : progressLine("pairs", found.pairs.length);
  const results: Result[] = [];
  try {
    checkModel(model, "--weights");
    if (!options.json && found.isFolders) writeOut(header());
    for await (const result of measure(model, found, options)) {
      progress?.advance();
      results.push(result);
      if (isFailure(result)) writeError(`vgg: ${messageOf(result.error)}\n`);
      else if (!options.json) writeOut(found.isFolders ? row(result) : table(result.distance));
      if (!isFailure(result) && result.isAbove)
        writeError(
          `vgg: ${visible(result.name)}: the distance ${shown(result.distance.total)} is above ${threshold}\n`,
        );
    }
  } finally {
    progress?.stop();
    await model.dispose();
  }
  for (const path of found.unpaired)
    writeError(`vgg: ${visible(path)}: only one of the folders has it\n`);
  const seconds = (performance.now() - start) / 1000;
  const isBad = results.some((result) => isFailure(result) || result.isAbove);
  if (isBad || found.unpaired.length > 0) process.exitCode = 1;
  if (options.json) writeOut(`${JSON.stringify(toObject(found, results, seconds))}\n`);
  if (found.isFolders && options.quiet !== true)
    writeError(`${lastLine(found, results, seconds, threshold)}\n`);
}

/** Measures each pair, and draws its map. */
async function* measure(
  model: Vgg,
  { pairs, isFolders }: FoundPairs,
  { map, threshold, resize, size, batchSize, maxPixels = usualMaxPixels }: CompareOptions,
): AsyncGenerator<Result> {
  const to: PerceptualResize | undefined = size ?? (resize ? "a" : undefined);
  const orientation = model.preprocessing?.orientation ?? true;
  const reading = { resize: to, maxPixels, orientation, resizeName: "--resize" };
  const call = {};
  /** The pixels of pairs under way, for their maps. */
  const pixels = new Map<number, Pair>();
  const reads = pairs.map((pair, index): ReadPair => {
    const [first, second] = [pair.a, pair.b].map((path) => ({
      source: openSource(sourceOf(path), "IMAGE"),
      name: path,
    }));
    const read = imagePair([first!, second!], reading, call);
    return async (signal) => {
      const opened = await read(signal);
      if (map !== undefined) pixels.set(index, opened);
      return opened;
    };
  });
  const options = {
    batchSize,
    signal: undefined,
    maxPixels: maxRunPixels,
    wantsMap: map !== undefined,
  };
  let index = 0;
  for await (const outcome of comparePairwise(graphsOf(model), reads, options)) {
    const { name } = pairs[index]!;
    if (isFailure(outcome)) yield { name, error: outcome.error };
    else {
      const { distance: measured, width, height } = outcome;
      // A distance that is no number, as after an overflow of float16, is no success.
      const isAbove = threshold !== undefined && !(measured.total <= threshold);
      const isDifferent = threshold === undefined ? measured.total > 0 : isAbove;
      if (map !== undefined && (!isFolders || isDifferent)) {
        const path = isFolders ? join(map, /\.png$/i.test(name) ? name : `${name}.png`) : map;
        if (isFolders) await withFile(dirname(path), () => makeFolder(dirname(path)));
        const { a } = pixels.get(index)!;
        await writePng(path, overlay(measured.map!, a as Uint8Array, width, height));
      }
      yield { name, distance: { ...measured, map: null }, isAbove }; // all results are kept
    }
    pixels.delete(index++);
  }
}

const shown = (value: number) => value.toFixed(5);

const header = () => `${["  total", ...layers.map(({ name }) => name), "image"].join("  ")}\n`;

function row({
  name,
  distance: { total, layers: shares },
}: Extract<Result, { distance: unknown }>) {
  return `${[total, ...shares].map(shown).join("  ")}  ${visible(name)}\n`;
}

function table({ total, layers: shares }: PairDistance): string {
  const lines = shares.map((share, index) => `${shown(share)}  ${layers[index]!.name}\n`);
  return `${shown(total)}  total\n${lines.join("")}`;
}

function toObject(
  { isFolders, unpaired }: FoundPairs,
  results: readonly Result[],
  seconds: number,
) {
  const one = (result: Result) =>
    isFailure(result)
      ? { name: result.name, error: { message: messageOf(result.error) } }
      : {
          name: result.name,
          total: result.distance.total,
          layers: Object.fromEntries(
            layers.map(({ name }, index) => [name, result.distance.layers[index]!]),
          ),
          isAbove: result.isAbove,
        };
  return isFolders ? { pairs: results.map(one), unpaired, seconds } : one(results[0]!);
}

function lastLine(
  { pairs, unpaired, leftOut }: FoundPairs,
  results: readonly Result[],
  seconds: number,
  threshold: number | undefined,
): string {
  const failed = results.filter(isFailure).length;
  const above = results.filter((result) => !isFailure(result) && result.isAbove).length;
  return [
    `${pairs.length} ${pairs.length === 1 ? "pair" : "pairs"}`,
    ...(threshold === undefined ? [] : [`${above} above ${threshold}`]),
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(unpaired.length > 0 ? [`${unpaired.length} in one folder only`] : []),
    ...(leftOut.length > 0 ? [`${leftOut.length} skipped (${countKinds(leftOut)})`] : []),
    `${seconds.toFixed(1)} s`,
  ].join(", ");
}
