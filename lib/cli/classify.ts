// `vgg classify`: prints the best classes of images.
import { type Command, Option } from "commander";
import { checkInteger } from "../check.js";
import { csvLine } from "../csv.js";
import type { Classification, Prediction } from "../vgg/classify.js";
import { visible } from "../visible.js";
import { expandImages, sourceOf } from "./images/expand.js";
import { loadModel, type WeightsOptions, withWeights } from "./model.js";
import { command, integer, withQuiet } from "./options.js";
import { messageOf, type Run, type RunOptions, startRun } from "./run.js";
import { writeOut } from "./text.js";

type Result = Classification<string>;

/** How results are written. */
interface Format {
  begin(): string;
  one(result: Result, isFirst: boolean): string;
  end(): string;
}

interface ClassifyOptions extends WeightsOptions, RunOptions {
  top: number;
  format: string;
  json: boolean;
  list?: string;
}

const codeOf = (error: unknown) =>
  error instanceof Error && "code" in error ? String(error.code) : "INTERNAL";

function toObject(result: Result) {
  return "error" in result
    ? {
        file: result.source,
        error: { code: codeOf(result.error), message: messageOf(result.error) },
      }
    : { file: result.source, predictions: result.predictions };
}

const nothing = () => "";

const predictionText = ({ label, probability, index }: Prediction) =>
  `${(probability * 100).toFixed(2).padStart(7)} %  ${visible(label)} (${index})`;

/** The columns at most that a table keeps for files. A longer path moves the rest of its line to the right. */
const fileColumns = 40;

/** Makes a table of one line for each image: the file, the probability, the class. */
function linesFormat(files: readonly string[]): Format {
  const width = files.reduce((most, file) => Math.max(most, visible(file).length), 0);
  return {
    begin: nothing,
    one(result) {
      if ("error" in result) return "";
      const file = visible(result.source).padEnd(Math.min(width, fileColumns));
      return `${file}  ${result.predictions.map(predictionText).join("")}\n`;
    },
    end: nothing,
  };
}

const formats: Readonly<Record<string, Format>> = {
  table: {
    begin: nothing,
    one(result, isFirst) {
      if ("error" in result) return "";
      const lines = result.predictions.map(predictionText);
      return `${isFirst ? "" : "\n"}${[visible(result.source), ...lines].join("\n")}\n`;
    },
    end: nothing,
  },
  json: {
    begin: () => "[",
    one: (result, isFirst) => `${isFirst ? "" : ","}\n${JSON.stringify(toObject(result))}`,
    end: () => "\n]\n",
  },
  ndjson: {
    begin: nothing,
    one: (result) => `${JSON.stringify(toObject(result))}\n`,
    end: nothing,
  },
  csv: {
    begin: () => csvLine(["file", "rank", "index", "label", "probability", "error"]),
    one(result) {
      if ("error" in result)
        return csvLine([result.source, "", "", "", "", messageOf(result.error)]);
      return result.predictions
        .map(({ index, label, probability }, rank) =>
          csvLine([result.source, rank + 1, index, label, probability, ""]),
        )
        .join("");
    },
    end: nothing,
  },
};

export function classifyCommand(): Command {
  return withWeights(withQuiet(command("classify", "say what images show")))
    .argument("[images...]", "files, folders, patterns or URLs; - is an image on standard input")
    .option("--list <file>", "a file with one path or URL per line; - is standard input")
    .option(
      "--top <count>",
      "classes to print for each image (default: 5, or all if there are fewer)",
      integer,
    )
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

/** @throws {CommanderError} `--json` and another format */
function formatOf(files: readonly string[], options: ClassifyOptions, command: Command): Format {
  const { json, format, top } = options;
  const isNamed = command.getOptionValueSource("format") === "cli";
  if (json && isNamed && format !== "json")
    command.error(`error: Expected --json or --format ${format} but received both`);
  if (json) return formats.json!;
  return format === "table" && top === 1 && files.length > 1
    ? linesFormat(files)
    : formats[format]!;
}

async function classify(
  words: string[],
  options: ClassifyOptions,
  command: Command,
): Promise<void> {
  if (options.top !== undefined) checkInteger(options.top, "--top", 1, 1_000_000);
  const found = await expandImages(words, options.list);
  const format = formatOf(found.files, options, command);
  const model = await loadModel(options);
  const run = startRun(found, options);
  // CSV in a pipe or a file keeps names as they are.
  const isData = format === formats.csv && !process.stdout.isTTY;
  const write = isData ? (each: string) => void process.stdout.write(each) : writeOut;
  const { top, batchSize } = options;
  try {
    let isFirst = true;
    let text = format.begin(); // written with the first result, so that a wrong option prints nothing on stdout
    const sources = found.files.map(sourceOf);
    const names = found.files.values();
    for await (const outcome of model.classifyEach(sources, {
      batchSize,
      ...(top === undefined ? {} : { top }),
    })) {
      const result: Result = { ...outcome, source: names.next().value! };
      if ("error" in result) run.fail(result.error);
      else if (result.predictions.some(({ probability }) => Number.isNaN(probability)))
        sayNaN(run, result.source);
      else run.advance();
      const one = format.one(result, isFirst);
      if (one !== "") isFirst = false;
      write(text + one);
      text = "";
    }
    write(text + format.end());
    run.end();
  } finally {
    run.stop();
    await model.dispose();
  }
}
