// Reads class names from a text: one a line, numbered lines, two columns, JSON, or a Python literal.
import { rangeError, typeError } from "../check.js";
import { labelsFrom } from "../checkpoint/labels.js";
import { readNamedFile } from "../files/read-whole.js";

/** A number and a name. `isClear`: a character that no name begins with stands between them. */
interface Numbered {
  readonly number: number;
  readonly name: string;
  readonly isClear: boolean;
}

/** "0: tench", "0,tench", "0 tench", "0. tench", "0) tench". */
const numberFirst = /^(\d{1,7})(\s*[:;,\t=|]|[.)](?=\s)|(?=\s))\s*(\S.*)$/;
/** "tench,0". */
const numberLast = /^(.*\S)\s*[:;,\t|]\s*(\d{1,7})$/;
/** "n01440764 tench, Tinca tinca", as in ImageNet's own lists. */
const afterSynset = /^n\d{8}[\s,]+(\S.*)$/;

function unquoted(name: string): string {
  const [, double, single] = /^"((?:[^"]|"")*)",?$|^'([^']*)',?$/.exec(name) ?? [];
  return double?.replaceAll('""', '"') ?? single ?? name;
}

function firstNumber(line: string): Numbered | undefined {
  const [, number, between, name] = numberFirst.exec(line) ?? [];
  if (name === undefined) return undefined;
  return { number: Number(number), name: unquoted(name), isClear: between !== "" };
}

function lastNumber(line: string): Numbered | undefined {
  const [, name, number] = numberLast.exec(line) ?? [];
  return name === undefined
    ? undefined
    : { number: Number(number), name: unquoted(name), isClear: true };
}

/** Reads a number in each line, or in each but the first, which is then a table's head. */
function numberedLines(
  lines: readonly string[],
  read: (line: string) => Numbered | undefined,
): readonly Numbered[] | undefined {
  for (const rows of [lines, lines.slice(1)]) {
    const numbered = rows.map(read).filter((row) => row !== undefined);
    const isHeaded = rows !== lines;
    if (numbered.length !== rows.length || rows.length < 2) continue;
    if (!isHeaded || numbered.every(({ isClear }) => isClear)) return numbered;
  }
  return undefined;
}

/** Puts names in the order of their numbers, which begin with 0 or 1. Undefined if a number is missing or occurs twice. */
function inOrder(rows: readonly Numbered[]): string[] | undefined {
  const first = Math.min(...[0, 1].filter((start) => rows.some(({ number }) => number === start)));
  const names = new Map(rows.map(({ number, name }) => [number - first, name]));
  const labels = rows.map((_, index) => names.get(index));
  return labels.includes(undefined) ? undefined : (labels as string[]);
}

/** Returns the names of a text with one class a line. @throws {RangeError} a number that is missing */
function labelsOfLines(lines: readonly string[], source: string): readonly string[] {
  const synsets = lines.map((line) => afterSynset.exec(line)?.[1]);
  if (lines.length > 0 && !synsets.includes(undefined)) return synsets as string[];
  for (const read of [firstNumber, lastNumber]) {
    const rows = numberedLines(lines, read);
    if (rows === undefined) continue;
    const labels = inOrder(rows);
    if (rows.every(({ isClear }) => isClear)) {
      if (labels !== undefined) return labels;
      if (read === lastNumber) continue;
      throw rangeError(
        "each number from 0 on once",
        source,
        rows.map(({ number }) => number),
      );
    }
    // "0 stars", "1 stars", …: names that differ only in their number keep it. So do numbers that begin with 1.
    const isListed = labels !== undefined && new Set(labels).size > labels.length / 2;
    if (isListed && rows.some(({ number }) => number === 0)) return labels;
  }
  return lines;
}

const pythonToken =
  /\s*(?:u?'((?:[^'\\\n]|\\.)*)'|u?"((?:[^"\\\n]|\\.)*)"|(\d{1,9})|([[\]{}(),:]))/y;

/** Converts a Python literal of lists, dictionaries, strings and numbers to JSON. Undefined if it is none. */
function pythonToJson(text: string): string | undefined {
  const parts: string[] = [];
  pythonToken.lastIndex = 0;
  const end = text.trimEnd().length;
  while (pythonToken.lastIndex < end) {
    const [, single, double, number, sign] = pythonToken.exec(text) ?? [];
    const quoted = single ?? double;
    if (quoted !== undefined) parts.push(JSON.stringify(quoted.replace(/\\(.)/g, "$1")));
    else if (number !== undefined) parts.push(number);
    else if (sign === undefined) return undefined;
    else {
      const isEnd = ["]", "}", ")"].includes(sign);
      if (isEnd && parts.at(-1) === ",") parts.pop();
      if (sign === ":" && /^\d/.test(parts.at(-1) ?? "")) parts.push(`"${parts.pop()}"`);
      parts.push(sign === "(" ? "[" : sign === ")" ? "]" : sign);
    }
  }
  return parts.join("");
}

function parsed(text: string): unknown {
  for (const json of [text, pythonToJson(text)]) {
    try {
      if (json !== undefined) return JSON.parse(json);
    } catch {
      // The next form is tried.
    }
  }
  return undefined;
}

/**
 * Returns the class names of a text.
 * @param source the name of the file or flag, for errors
 * @throws {RangeError} JSON without class names, or a number that is missing or occurs twice
 */
export function labelsOfText(text: string, source: string): readonly string[] {
  if (/^\s*[[{]/.test(text)) {
    const labels = labelsFrom(parsed(text));
    if (labels !== undefined) return labels;
    throw new RangeError(
      `Expected a list of class names, or names with the numbers 0 to n - 1, in ${source} but found other JSON`,
    );
  }
  const lines = text.split(/\r\n|[\r\n]/).map((line) => line.trim());
  return labelsOfLines(
    lines.filter((line) => line !== ""),
    source,
  );
}

/**
 * Reads class names from a file, for the option `labels`. The file has a name in each line, in the order of the
 * classes; or `0: tench`, `0 tench`, `0,tench` or `tench,0` in each line; or JSON or a Python literal, such as
 * `class_to_idx`, ImageNet's `{"0": ["n01440764", "tench"]}` or the `id2label` of a config.json.
 * @throws {TypeError} not a path
 * @throws {RangeError} no text, no class names in it, or a number that is missing
 * @throws {VggError} FOLDER_UNUSABLE no such file, or one that cannot be read
 * @example const model = await Vgg.load("pets.pth", { labels: await readLabels("pets.txt") });
 */
export async function readLabels(path: string): Promise<readonly string[]> {
  if (typeof path !== "string") throw typeError("a path", "path", path);
  return labelsOfText(await readNamedFile(path, "path"), path);
}
