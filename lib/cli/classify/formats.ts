// How `vgg classify` writes results: a table, JSON, NDJSON or CSV.
import { csvLine } from "../../csv.js";
import type { Classification, Prediction } from "../../vgg/images/classify.js";
import { visible } from "../../visible.js";
import { messageOf } from "../run.js";

export type Result = Classification<string>;

/** How results are written. */
export interface Format {
  begin(): string;
  one(result: Result, isFirst: boolean): string;
  end(): string;
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
export function linesFormat(files: readonly string[]): Format {
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

export const formats: Readonly<Record<string, Format>> = {
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
