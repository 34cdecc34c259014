// The confusion matrix as a table of text and as CSV. Rows are true classes, columns are first answers.
import { csvLine } from "../../csv.js";
import type { ClassReport, ValidationSummary } from "../../vgg/validation.js";
import { cut, textTable } from "../table.js";

export interface Matrix {
  readonly classes: readonly ClassReport[];
  /** Returns the numbers of images of one true class. Only this row is in memory as a whole. */
  readonly rowOf: (place: number) => number[];
}

/** Makes the matrix of the classes that have images or are predicted. */
export function matrixOf({ classes, confusion }: ValidationSummary): Matrix {
  const places = new Map(classes.map(({ index }, place) => [index, place]));
  const cells = classes.map((): { place: number; images: number }[] => []);
  for (const { truth, prediction, images } of confusion)
    cells[places.get(truth)!]!.push({ place: places.get(prediction)!, images });
  return {
    classes,
    rowOf(at) {
      const row = new Array<number>(classes.length).fill(0);
      for (const { place, images } of cells[at]!) row[place] = images;
      return row;
    },
  };
}

/** Yields the lines of the matrix as CSV. */
export function* matrixCsv({ classes, rowOf }: Matrix): Generator<string> {
  yield csvLine(["truth \\ prediction", ...classes.map(({ label }) => label)]);
  for (const [place, { label }] of classes.entries()) yield csvLine([label, ...rowOf(place)]);
}

/** Formats the matrix as lines, or returns undefined if it does not fit into the columns. */
export function matrixTable({ classes, rowOf }: Matrix, columns: number): string[] | undefined {
  if (classes.length === 0 || 3 * classes.length > columns) return undefined;
  const labels = classes.map(({ label }) => label);
  const numbers = classes.map(({ index }) => String(index));
  // If the labels are too long as heads of the columns, they are cut, or the classes' numbers are the heads.
  const cutLabels = labels.map((label) => cut(label, 8));
  const numbered = labels.map((label, i) =>
    label === numbers[i] ? label : `${numbers[i]} ${label}`,
  );
  for (const { heads, names } of [
    { heads: labels, names: labels },
    { heads: cutLabels, names: labels },
    { heads: numbers, names: numbered },
  ]) {
    if (new Set(heads).size < heads.length) continue;
    const rows = names.map((name, place) => [cut(name, 24), ...rowOf(place).map(String)]);
    const lines = textTable(["", ...heads], rows, 1);
    if (lines.every((line) => line.length <= columns)) return lines;
  }
  return undefined;
}
