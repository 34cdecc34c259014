// `vgg embed`: writes the embeddings of images to a file or to stdout.
import { basename, extname } from "node:path";
import { type Command, Option } from "commander";
import { rangeError } from "../../check.js";
import { VggError } from "../../errors.js";
import { replaceFile } from "../../files/replace.js";
import type { EmbedOptions } from "../../vgg/images/embed.js";
import type { LayerName } from "../../vgg/layers.js";
import type { Vgg } from "../../vgg/model.js";
import { expandImages, sourceOf } from "../images/expand.js";
import type { Found } from "../images/walk.js";
import { loadModel, type WeightsOptions, withImages } from "../model.js";
import { command, type OutputOptions, print, withQuiet } from "../options.js";
import { type Run, startRun } from "../run.js";
import { type RowWriter, stdoutWriter, textFormats, writers } from "./writers.js";

interface EmbedCommandOptions extends WeightsOptions, OutputOptions {
  layer: LayerName;
  pool?: "mean" | "max";
  normalize?: boolean;
  out?: string;
  format?: (typeof textFormats)[number];
  quiet?: boolean;
  list?: string;
}

export const poolOption = () =>
  new Option("--pool <name>", "mean or maximum of each channel of a layer with height and width");

export function embedCommand(): Command {
  return withImages(withQuiet(command("embed", "turn images into vectors: the output of a layer")))
    .argument("[images...]", "files, folders, patterns or URLs; - is an image on standard input")
    .option("--list <file>", "a file with one path or URL per line; - is standard input")
    .option("--layer <name>", "torchvision's name of the layer, or features", "classifier.4")
    .addOption(poolOption().choices(["mean", "max"]))
    .option("--normalize", "divide each vector by its L2 norm")
    .option("--out <file>", `a name that ends in ${Object.keys(writers).join(", ")}`)
    .addOption(
      new Option("--format <name>", "how to print without --out (default: jsonl)").choices(
        textFormats,
      ),
    )
    .action(embed);
}

/** Checks --out, --format and --json together. @throws {RangeError} */
function checkOutput({ out, format, json }: EmbedCommandOptions): void {
  if (out === undefined) {
    if (json && format === "csv")
      throw rangeError("one of --json and --format csv", "--format", format);
    return;
  }
  const extension = extname(out).toLowerCase();
  if (!Object.hasOwn(writers, extension))
    throw rangeError(`a name that ends in ${Object.keys(writers).join(", ")}`, "--out", out);
  if (format !== undefined)
    throw rangeError("no --format beside --out, whose name decides,", "--format", format);
}

async function embed(words: string[], options: EmbedCommandOptions): Promise<void> {
  checkOutput(options);
  const { out, layer, pool, normalize = false, batchSize } = options;
  const found = await expandImages(words, options.list);
  const model = await loadModel(options);
  try {
    const settings: EmbedOptions = {
      ...{ layer, normalize, batchSize },
      ...(pool === undefined ? {} : { pool }),
    };
    const { shape } = await model.embed([], settings); // checks the options before anything is written
    const plan = {
      ...{ arch: model.arch, weights: basename(options.weights), layer },
      ...{ pool: pool ?? null, normalize, preprocessing: model.preprocessing },
      ...{ files: found.files, length: shape[1]! },
    };
    const run = startRun(found, options);
    try {
      if (out === undefined) {
        await writeRows(model, found, settings, stdoutWriter(options.format ?? "jsonl", plan), run);
      } else {
        const make = writers[extname(out).toLowerCase()]!;
        await replaceFile(out, (file) =>
          writeRows(model, found, settings, make(file, plan, out), run),
        );
        const images = found.files.length - run.failed;
        const report = { out, images, failed: run.failed, length: plan.length };
        run.end();
        print(options, report, () => `${out}: ${images} × ${plan.length} float32`);
        return;
      }
      run.end();
    } finally {
      run.stop();
    }
  } finally {
    await model.dispose();
  }
}

/** Writes a row for each image that succeeds. @throws {VggError} IMAGE_UNREADABLE no image did */
async function writeRows(
  model: Vgg,
  { files }: Found,
  settings: EmbedOptions,
  writer: RowWriter,
  run: Run,
): Promise<void> {
  const names = files.values();
  for await (const result of model.embedEach(files.map(sourceOf), settings)) {
    const file = names.next().value!;
    if ("error" in result) run.fail(result.error);
    else {
      await writer.row(file, result.embedding);
      run.advance();
    }
  }
  if (run.failed === files.length)
    throw new VggError("IMAGE_UNREADABLE", "no image could be embedded, so nothing was written");
  await writer.end();
}
