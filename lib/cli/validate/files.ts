// The files that `vgg validate` writes: an answer for each image, the confusion matrix, and the classes.
import { access, constants } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { rangeError } from "../../check.js";
import { csvLine } from "../../csv.js";
import { withFile } from "../../files/errors.js";
import { checkPath, replaceFile } from "../../files/replace.js";
import { importSharp } from "../drawing/png.js";
import { confusionFigure } from "./heat-map.js";
import { matrixCsv, matrixOf } from "./matrix.js";
import type { Report } from "./types.js";

/**
 * Checks a file before the work begins.
 * @throws {RangeError} its name does not end as it should
 * @throws {VggError} FOLDER_UNUSABLE
 */
export async function checkOutput(
  path: string | undefined,
  flag: string,
  endings: readonly string[],
): Promise<void> {
  if (path === undefined) return;
  checkPath(path, flag);
  if (!endings.includes(extname(path).toLowerCase()))
    throw rangeError(`a file that ends in ${endings.join(" or ")}`, flag, path);
  await withFile(path, () => access(dirname(path), constants.W_OK | constants.X_OK));
}

/** A line of the file for images. */
export interface ImageRow {
  readonly file: string;
  readonly truth: string;
  readonly prediction?: { readonly label: string; readonly probability: number };
  readonly isCorrect?: boolean;
  readonly error?: string;
}

/** The length at which lines are written, in characters. */
const pieceLength = 2 ** 16;

/**
 * Calls `work` with a function that appends a line for an image. The file appears when `work` is done.
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE; and the errors of `work`
 */
export async function withImageRows(
  path: string | undefined,
  work: (add: (row: ImageRow) => Promise<void>) => Promise<void>,
): Promise<void> {
  if (path === undefined) return work(async () => {});
  await replaceFile(path, async (file) => {
    let text = csvLine(["file", "truth", "prediction", "probability", "correct", "error"]);
    const flush = async () => {
      await file.write(Buffer.from(text));
      text = "";
    };
    await work(async ({ file: name, truth, prediction, isCorrect, error }) => {
      const { label = "", probability = "" } = prediction ?? {};
      text += csvLine([name, truth, label, probability, String(isCorrect ?? ""), error ?? ""]);
      if (text.length > pieceLength) await flush();
    });
    await flush();
  });
}

/**
 * Writes the confusion matrix as CSV, SVG or PNG, by the file's name.
 * @throws {VggError} DISK_FULL, FOLDER_UNUSABLE; ADDON_MISSING for a PNG without sharp
 */
export async function writeConfusion(path: string, { summary }: Report): Promise<void> {
  const ending = extname(path).toLowerCase();
  const matrix = matrixOf(summary);
  if (ending === ".csv") return writeLines(path, matrixCsv(matrix));
  const svg = confusionFigure(matrix, summary);
  if (ending === ".svg") return writeLines(path, [svg]);
  const sharp = await importSharp();
  const png = await sharp(Buffer.from(svg), { density: 144 }).png().toBuffer();
  await replaceFile(path, (file) => file.write(png));
}

/** Writes lines one by one. @throws {VggError} DISK_FULL, FOLDER_UNUSABLE */
export function writeLines(path: string, lines: Iterable<string>): Promise<void> {
  return replaceFile(path, async (file) => {
    for (const line of lines) await file.write(Buffer.from(line));
  });
}
