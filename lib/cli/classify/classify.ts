// `vgg classify`: prints the best classes of images, or appends them to a file that a later run resumes.
import { type Command, Option } from "commander";
import { checkInteger } from "../../check.js";
import type { Vgg } from "../../vgg/model.js";
import { visible } from "../../visible.js";
import { expandImages, sourceOf } from "../images/expand.js";
import type { Found } from "../images/walk.js";
import { loadModel, type WeightsOptions, withWeights } from "../model.js";
import { command, integer, withQuiet } from "../options.js";
import { type Run, type RunOptions, startRun } from "../run.js";
import { writeError, writeOut } from "../text.js";
import { Attempts } from "./attempts.js";
import { type Format, formats, linesFormat, type Result } from "./formats.js";
import { ResultsFile } from "./results-file.js";
import { isInShard, parseShard } from "./shard.js";

interface ClassifyOptions extends WeightsOptions, RunOptions {
  top: number;
  format: string;
  json: boolean;
  list?: string;
  resume?: string;
  shard?: string;
  retries: number;
}

export function classifyCommand(): Command {
  return withWeights(withQuiet(command("classify", "say what images show")))
    .argument("[images...]", "files, folders, patterns or URLs; - is an image on standard input")
    .option("--list <file>", "a file with one path or URL per line; - is standard input")
    .option(
      "--top <count>",
      "classes to print for each image (default: 5, or all if there are fewer)",
      integer,
    )
    .option("--shard <share>", "only this share of the images, such as 3/16, by the hash of names")
    .option(
      "--retries <count>",
      "more tries for an image that a server or a disk may give later",
      integer,
      0,
    )
    .option("--resume <file>", "append NDJSON to a file, and skip the images that it has")
    .addOption(
      new Option("--format <name>", "how to print").choices(Object.keys(formats)).default("table"),
    )
    .action(classify);
}

/** Counts an image without an answer as failed. */
function sayNaN(run: Run, source: string): void {
  run.fail(
    new Error(
      `${visible(source)}: the network's output is not a number; the weights are damaged or too large for the precision`,
    ),
  );
}

/** @throws {CommanderError} options that exclude each other */
function formatOf(files: readonly string[], options: ClassifyOptions, command: Command): Format {
  const { json, format, top, resume } = options;
  const isNamed = command.getOptionValueSource("format") === "cli";
  if (json && isNamed && format !== "json")
    command.error(`error: Expected --json or --format ${format} but received both`);
  if (resume !== undefined) {
    if (json || (isNamed && format !== "ndjson"))
      command.error("error: Expected --resume FILE without another format than ndjson");
    return formats.ndjson!;
  }
  if (json) return formats.json!;
  return format === "table" && top === 1 && files.length > 1
    ? linesFormat(files)
    : formats[format]!;
}

/** Leaves the images of this share that have no line yet. */
function rest(found: Found, { shard }: ClassifyOptions, results: ResultsFile | undefined): Found {
  const share = shard === undefined ? undefined : parseShard(shard);
  const mine = found.files.filter((file) => share === undefined || isInShard(file, share));
  const files = mine.filter((file) => results?.takeDone(file) !== true);
  const done = mine.length - files.length;
  if (done > 0) writeError(`vgg: ${done} of ${mine.length} images are done\n`);
  return { ...found, files };
}

/** Classifies the images and gives each final result to `write`, with whether another run may have another one. */
async function classifyFiles(
  model: Vgg,
  files: readonly string[],
  { top, batchSize, retries }: ClassifyOptions,
  run: Run,
  write: (result: Result, mayPass: boolean) => void,
): Promise<void> {
  const attempts = new Attempts(files, retries);
  const sources = async function* () {
    for await (const file of attempts.files()) yield sourceOf(file);
  };
  const settings = { batchSize, ...(top === undefined ? {} : { top }) };
  for await (const outcome of model.classifyEach(sources(), settings)) {
    const { file, isFinal, mayPass } = attempts.settle("error" in outcome ? outcome.error : null);
    if (!isFinal) continue;
    const result: Result = { ...outcome, source: file };
    if ("error" in result) run.fail(result.error);
    else if (result.predictions.some(({ probability }) => Number.isNaN(probability)))
      sayNaN(run, result.source);
    else run.advance();
    write(result, mayPass);
  }
}

/** Prints all results. */
async function printResults(
  model: Vgg,
  files: readonly string[],
  format: Format,
  options: ClassifyOptions,
  run: Run,
): Promise<void> {
  // CSV in a pipe or a file keeps names as they are.
  const isData = format === formats.csv && !process.stdout.isTTY;
  const write = isData ? (each: string) => void process.stdout.write(each) : writeOut;
  let isFirst = true;
  let text = format.begin(); // written with the first result, so that a wrong option prints nothing on stdout
  await classifyFiles(model, files, options, run, (result) => {
    const one = format.one(result, isFirst);
    if (one !== "") isFirst = false;
    write(text + one);
    text = "";
  });
  write(text + format.end());
}

/** Does `work` with the file of `--resume`, if it is given, and closes the file. */
async function withResults(
  path: string | undefined,
  work: (results: ResultsFile | undefined) => Promise<void>,
): Promise<void> {
  const results = path === undefined ? undefined : await ResultsFile.open(path);
  try {
    await work(results);
  } finally {
    await results?.close();
  }
}

async function classify(
  words: string[],
  options: ClassifyOptions,
  command: Command,
): Promise<void> {
  if (options.top !== undefined) checkInteger(options.top, "--top", 1, 1_000_000);
  checkInteger(options.retries, "--retries", 0, 100);
  if (options.shard !== undefined) parseShard(options.shard);
  const all = await expandImages(words, options.list);
  const format = formatOf(all.files, options, command);
  await withResults(options.resume, async (results) => {
    const found = rest(all, options, results);
    const model = await loadModel(options);
    const run = startRun(found, options);
    try {
      if (results === undefined) await printResults(model, found.files, format, options, run);
      else
        await classifyFiles(model, found.files, options, run, (result, mayPass) => {
          if (!mayPass) results.append(format.one(result, false));
        });
      run.end();
    } finally {
      run.stop();
      await model.dispose();
    }
  });
}
