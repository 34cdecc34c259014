// `vgg validate`: measures accuracy over a folder with one folder for each class.
import { type Command, Option } from "commander";
import { checkInteger } from "../../check.js";
import type { Vgg } from "../../vgg/model.js";
import { Validation, worstClasses } from "../../vgg/validation.js";
import { loadModel, type WeightsOptions, withWeights } from "../model.js";
import { command, integer, type OutputOptions, print, withQuiet } from "../options.js";
import { messageOf, type RunOptions, startRun } from "../run.js";
import { writeError } from "../text.js";
import { type ClassImages, classFoldersOf, classImagesOf } from "./class-folders.js";
import { checkOutput, withImageRows, writeConfusion, writeLines } from "./files.js";
import {
  describeOrder,
  type FolderClasses,
  type FolderOrder,
  folderClasses,
  folderOrders,
} from "./folder-classes.js";
import { classesCsv, reportText } from "./report.js";
import type { Report } from "./types.js";

interface ValidateOptions extends WeightsOptions, OutputOptions, RunOptions {
  worst: number;
  order?: FolderOrder;
  report?: boolean;
  out?: string;
  classes?: string;
  confusion?: string;
}

export function validateCommand(): Command {
  return withWeights(
    withQuiet(
      command("validate", "measure accuracy on a folder that has one folder for each class"),
    ),
  )
    .argument("<dir>", "holds CLASS/image.jpg")
    .addOption(
      new Option(
        "--order <rule>",
        "what makes folders classes: labels of the model, numbers, or the order of names as in torchvision's ImageFolder (default: the first that fits)",
      ).choices(folderOrders),
    )
    .option("--worst <count>", "how many of the worst classes to print", integer, 5)
    .option("--report", "print precision, recall and F1 of every class")
    .option("--classes <file.csv>", "write precision, recall and F1 of every class")
    .option("--confusion <file>", "write the confusion matrix as .csv, .svg or .png")
    .option("--out <file.csv>", "write the answer for every image")
    .action(validate);
}

/** The names of classes: the model's labels, else the folders' names. */
function namesOf(model: Vgg, { classes }: FolderClasses) {
  const folders = new Map([...classes].map(([folder, index]) => [index, folder]));
  const folderOf = (index: number) => folders.get(index);
  const labelOf = (index: number) => model.labels?.[index] ?? folderOf(index) ?? String(index);
  return { folderOf, labelOf };
}

/** Classifies the images and counts the answers. */
async function measure(
  model: Vgg,
  classes: FolderClasses,
  { truth, leftOut, empty }: ClassImages,
  options: ValidateOptions,
): Promise<Report> {
  const names = namesOf(model, classes);
  const { labelOf } = names;
  const validation = new Validation(model.numClasses, labelOf);
  const start = performance.now();
  const run = startRun({ files: [...truth.keys()], leftOut: [...leftOut] }, options);
  try {
    await withImageRows(options.out, async (add) => {
      const { batchSize } = options;
      for await (const result of model.classifyEach(truth.keys(), { batchSize })) {
        const { source: file } = result;
        const index = truth.get(file)!;
        if ("error" in result) {
          run.fail(result.error);
          await add({ file, truth: labelOf(index), error: messageOf(result.error) });
          continue;
        }
        run.advance();
        validation.add(index, result.predictions);
        const { index: answer, probability } = result.predictions[0]!;
        const prediction = { label: labelOf(answer), probability };
        await add({ file, truth: labelOf(index), prediction, isCorrect: answer === index });
      }
    });
    run.end();
  } finally {
    run.stop();
  }
  const seconds = (performance.now() - start) / 1000;
  const all = Array.from({ length: model.numClasses }, (_, index) => index);
  return {
    ...names,
    summary: validation.summary(),
    failed: run.failed,
    folders: classes,
    classesWithoutFolder: all.filter((index) => names.folderOf(index) === undefined),
    foldersWithoutImages: empty,
    seconds,
    imagesPerSecond: truth.size / seconds,
    device: String(model.device),
  };
}

/** The report as an object for JSON. */
function reportObject({ folders, folderOf, labelOf: _, ...report }: Report, worst: number) {
  const { summary, ...rest } = report;
  const { order, other } = folders;
  return {
    ...summary,
    classes: summary.classes.map((each) => ({ ...each, folder: folderOf(each.index) })),
    worst: worstClasses(summary.classes, worst),
    order,
    ...(other === undefined ? {} : { other }),
    ...rest,
  };
}

async function validate(dir: string, options: ValidateOptions): Promise<void> {
  checkInteger(options.worst, "--worst", 0, 1_000_000);
  await checkOutput(options.out, "--out", [".csv"]);
  await checkOutput(options.classes, "--classes", [".csv"]);
  await checkOutput(options.confusion, "--confusion", [".csv", ".svg", ".png"]);
  const { folders, leftOut } = await classFoldersOf(dir);
  const model = await loadModel(options);
  try {
    const classes = folderClasses(folders, model.numClasses, model.labels, options.order);
    const images = await classImagesOf(dir, classes.classes);
    if (options.quiet !== true) writeError(`${describeOrder(classes)}\n`);
    const found = { ...images, leftOut: [...leftOut, ...images.leftOut] };
    const report = await measure(model, classes, found, options);
    print(options, reportObject(report, options.worst), () =>
      reportText(report, options.worst, options.report === true),
    );
    if (options.confusion !== undefined) await writeConfusion(options.confusion, report);
    if (options.classes !== undefined)
      await writeLines(options.classes, classesCsv(report.summary.classes, report.folderOf));
  } finally {
    await model.dispose();
  }
}
