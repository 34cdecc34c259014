// The report of `vgg validate` as text of 80 width, and its CSV files.
import { csvLine } from "../../csv.js";
import { type ClassReport, worstClasses } from "../../vgg/validation.js";
import { cut, textTable } from "../table.js";
import { width } from "../text.js";
import { describeOrder, listNames } from "./folder-classes.js";
import { matrixOf, matrixTable } from "./matrix.js";
import type { Report } from "./types.js";

const percent = (share: number) => (Number.isNaN(share) ? "-" : `${(share * 100).toFixed(3)} %`);
const counted = (count: number, one: string, several: string) =>
  `${count} ${count === 1 ? one : several}`;

/** Formats a class: `  0.000 %  dogs: 0 of 6 right, 6 taken for cats`. */
function worstLine({ label, images, correct, recall, confusedWith: other }: ClassReport): string {
  const confused = other === undefined ? "" : `, ${other.images} taken for ${cut(other.label, 20)}`;
  return `  ${percent(recall!).padStart(9)}  ${cut(label, 20)}: ${correct} of ${images} right${confused}`;
}

const share = (value: number | null) =>
  value === null || Number.isNaN(value) ? "-" : (value * 100).toFixed(1);

function classTable(classes: readonly ClassReport[]): string[] {
  return textTable(
    ["class", "precision %", "recall %", "F1 %", "images"],
    classes.map(({ label, precision, recall, f1, images }) => [
      cut(label, 30),
      ...[precision, recall, f1].map(share),
      String(images),
    ]),
    1,
  );
}

function gaps({ classesWithoutFolder, foldersWithoutImages, labelOf }: Report): string[] {
  const lines: string[] = [];
  const missing = classesWithoutFolder.length;
  if (missing > 0) {
    const head = `${counted(missing, "class has", "classes have")} no folder: `;
    lines.push(head + listNames(classesWithoutFolder.map(labelOf), width - head.length - 16));
  }
  const empty = foldersWithoutImages.length;
  if (empty > 0) {
    const head = `${counted(empty, "folder has", "folders have")} no images: `;
    lines.push(head + listNames(foldersWithoutImages, width - head.length - 16));
  }
  return lines;
}

/** Formats the report. @param isFull prints precision and recall of every class */
export function reportText(report: Report, worst: number, isFull: boolean): string {
  const { summary, failed, folders, imagesPerSecond, device } = report;
  const { images, top1, top5, macro, classes } = summary;
  const top5Text = top5 === undefined ? "" : `, acc@5 ${percent(top5)}`;
  const lines = [
    `acc@1 ${percent(top1)}${top5Text} of ${counted(images, "image", "images")}`,
    ...(failed > 0 ? [`${counted(failed, "image", "images")} could not be read`] : []),
    `macro averages: precision ${share(macro.precision)} %, recall ${share(macro.recall)} %, F1 ${share(macro.f1)} %`,
    describeOrder(folders),
    ...gaps(report),
    `${imagesPerSecond.toFixed(1)} images/s on ${device}`,
  ];
  const worstOnes = worstClasses(classes, worst);
  if (worstOnes.length > 0) lines.push("worst classes:", ...worstOnes.map(worstLine));
  const table = matrixTable(matrixOf(summary), width);
  if (table !== undefined) lines.push("confusions, a row for each true class:", ...table);
  if (isFull) lines.push(...classTable(classes));
  return lines.join("\n");
}

/** Yields precision, recall, F1 and the number of images of each class as lines of CSV. */
export function* classesCsv(
  classes: readonly ClassReport[],
  folderOf: (index: number) => string | undefined,
): Generator<string> {
  const shares = ["precision", "recall", "f1"];
  yield csvLine(["index", "label", "folder", ...shares, "images", "correct", "predicted"]);
  for (const { index, label, precision, recall, f1, images, correct, predicted } of classes)
    yield csvLine([
      ...[index, label, folderOf(index) ?? ""],
      ...[precision ?? "", recall ?? "", f1 ?? ""],
      ...[images, correct, predicted],
    ]);
}
