// `vgg validate`: measures accuracy over a folder with one folder for each class.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { checkInteger, rangeError } from "../check.js";
import { folderClasses, Validation } from "../vgg/validation.js";
import { loadModel, type WeightsOptions, withWeights } from "./model.js";
import { command, integer, type OutputOptions, print, withQuiet } from "./options.js";
import { startRun } from "./run.js";
import { imagesBelow, type LeftOut } from "./walk.js";

interface ValidateOptions extends WeightsOptions, OutputOptions {
  worst: number;
  quiet?: boolean;
}

export function validateCommand(): Command {
  return withWeights(
    withQuiet(
      command("validate", "measure accuracy on a folder that has one folder for each class"),
    ),
  )
    .argument(
      "<dir>",
      "holds CLASS/image.jpg; a folder's class is its number, its label, or its place in the order of names",
    )
    .option("--worst <count>", "how many of the worst classes to print", integer, 5)
    .action(validate);
}

async function validate(dir: string, options: ValidateOptions): Promise<void> {
  checkInteger(options.worst, "--worst", 0, 1_000_000);
  const names = await readdir(dir).catch((cause: NodeJS.ErrnoException) => {
    throw rangeError("a folder", "DIR", `${dir} (${cause.code})`);
  });
  // Links to folders count as folders.
  const isFolder = await Promise.all(
    names.map((name) =>
      stat(join(dir, name)).then(
        (stats) => stats.isDirectory(),
        () => false,
      ),
    ),
  );
  const folders = names.filter((_, index) => isFolder[index]);
  if (folders.length === 0) throw rangeError("a folder with a folder for each class", "DIR", dir);
  const model = await loadModel(options);
  try {
    const classes = folderClasses(folders, model.numClasses, model.labels);
    const truth = new Map<string, number>();
    const leftOut: LeftOut[] = [];
    for (const [folder, index] of classes) {
      const found = await imagesBelow(join(dir, folder));
      for (const file of found.files) truth.set(file, index);
      leftOut.push(...found.leftOut);
    }
    if (truth.size === 0) throw rangeError("a folder with images", "DIR", dir);
    const label = (index: number) => model.labels?.[index] ?? String(index);
    const validation = new Validation(label);
    const run = startRun({ files: [...truth.keys()], leftOut }, options);
    const start = performance.now();
    try {
      for await (const result of model.classifyEach(truth.keys(), {
        batchSize: options.batchSize,
      })) {
        if ("error" in result) run.fail(result.error);
        else {
          run.advance();
          validation.add(truth.get(result.source)!, result.predictions);
        }
      }
      run.end();
    } finally {
      run.stop();
    }
    const { failed } = run;
    const seconds = (performance.now() - start) / 1000;
    const summary = {
      ...validation.summary(options.worst),
      failed,
      seconds,
      imagesPerSecond: truth.size / seconds,
    };
    const percent = (share: number) => `${(share * 100).toFixed(3)} %`;
    print(options, summary, () =>
      [
        `acc@1 ${percent(summary.top1)}, acc@5 ${percent(summary.top5)} of ${summary.images} images`,
        ...(failed > 0 ? [`${failed} images could not be read`] : []),
        `${summary.imagesPerSecond.toFixed(1)} images/s on ${model.device}`,
        "worst classes:",
        ...summary.worst.map(
          ({ label: name, accuracy, images, confusedWith }) =>
            `  ${percent(accuracy).padStart(9)} of ${images} ${name}${confusedWith === undefined ? "" : `; ${confusedWith.images} taken for ${confusedWith.label}`}`,
        ),
      ].join("\n"),
    );
  } finally {
    await model.dispose();
  }
}
