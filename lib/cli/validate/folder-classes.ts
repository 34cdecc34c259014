// Maps the folders of a data set to classes: by the model's labels, by number, or by ImageFolder's order of names.
import { rangeError } from "../../check.js";
import { cut } from "../table.js";

/** The rules by which a folder's name gives its class. */
export const folderOrders = ["labels", "numbers", "names"] as const;
export type FolderOrder = (typeof folderOrders)[number];

/** The class that another rule gives a folder. */
export interface OtherReading {
  readonly order: FolderOrder;
  readonly folder: string;
  readonly index: number;
}

export interface FolderClasses {
  /** The rule that gave the classes. */
  readonly order: FolderOrder;
  /** The class of each folder, in the order of names. */
  readonly classes: ReadonlyMap<string, number>;
  /** Another rule that fits numbers as names, and the first folder for which it gives another class. */
  readonly other?: OtherReading;
}

/** Sorts names by code points as Python's `sorted` does. UTF-8 has the same order; UTF-16 has another beyond U+FFFF. */
export function sortNames(names: readonly string[]): string[] {
  return names
    .map((name) => [name, Buffer.from(name)] as const)
    .sort(([, a], [, b]) => Buffer.compare(a, b))
    .map(([name]) => name);
}

/** Lists names up to about 160 characters: `a, b, c and 7 more`. */
export function listNames(names: readonly string[], most = 160): string {
  const shown: string[] = [];
  let length = 0;
  for (const name of names) {
    const text = cut(name, 40);
    length += text.length + 2;
    if (shown.length > 0 && length > most) break;
    shown.push(text);
  }
  const more = names.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** A folder's class, or why it has none. */
type Reading = number | "none" | "several";

/** Reads all folders by one rule. */
type Rule = (
  folders: readonly string[],
  numClasses: number,
  labels: readonly string[] | undefined,
) => Reading[];

/** A name that is the label of two classes, as "crane" of ImageNet, decides nothing. */
const byLabel: Rule = (folders, _, labels = []) => {
  const classes = new Map<string, Reading>();
  for (const [index, label] of labels.entries())
    classes.set(label, classes.has(label) ? "several" : index);
  return folders.map((folder) => classes.get(folder) ?? "none");
};

/** Numbers count from 0, or from 1 if the highest is the number of classes and none is 0. */
const byNumber: Rule = (folders, numClasses) => {
  const numbers = folders.map((folder) => (/^\d+$/.test(folder) ? Number(folder) : Number.NaN));
  const first = numbers.includes(numClasses) && !numbers.includes(0) ? 1 : 0;
  return numbers.map((number) =>
    number >= first && number < numClasses + first ? number - first : "none",
  );
};

const byName: Rule = (folders, numClasses) =>
  folders.map((_, index) => (index < numClasses ? index : "none"));

const rules: Readonly<Record<FolderOrder, Rule>> = {
  labels: byLabel,
  numbers: byNumber,
  names: byName,
};

/** Says what a rule expects of the folders' names. */
const expected: Readonly<Record<FolderOrder, (numClasses: number) => string>> = {
  labels: () => "the label of one class as each folder's name",
  numbers: (numClasses) => `a number from 0 to ${numClasses - 1}, each once, as each folder's name`,
  names: (numClasses) => `at most ${numClasses} folders, one for each class,`,
};

/** The folders that a rule gives no class, or a class that an earlier folder has. */
function wrongFolders(folders: readonly string[], readings: readonly Reading[]): string[] {
  const taken = new Set<Reading>();
  return folders.filter((_, i) => {
    const reading = readings[i]!;
    const isWrong = typeof reading !== "number" || taken.has(reading);
    taken.add(reading);
    return isWrong;
  });
}

function refusal(wanted: string, received: string): RangeError {
  return new RangeError(`Expected ${wanted} for DIR but received ${received}`);
}

/** Returns the first numeric folder to which another rule gives another class. */
function otherReading(
  sorted: readonly string[],
  numClasses: number,
  { order, classes }: FolderClasses,
): OtherReading | undefined {
  if (order === "labels" || sorted.length !== numClasses) return undefined;
  const other = order === "numbers" ? "names" : "numbers";
  const readings = rules[other](sorted, numClasses, undefined);
  if (wrongFolders(sorted, readings).length > 0) return undefined;
  const at = sorted.findIndex((folder, i) => classes.get(folder) !== readings[i]);
  return at < 0 ? undefined : { order: other, folder: sorted[at]!, index: readings[at] as number };
}

/** The names of the parts of a data set. They are no classes unless `--order` says so. */
const partOfData = /^(train|val|valid|test|training|validation|testing|eval|dev)$/i;

/** Chooses a rule. Labels come first, because they are the only ones that the model itself knows. */
function chooseOrder(
  sorted: readonly string[],
  numClasses: number,
  labels: readonly string[] | undefined,
): FolderOrder {
  const wrong = wrongFolders(sorted, byLabel(sorted, numClasses, labels));
  if (wrong.length === 0) return "labels";
  if (sorted.every((folder) => partOfData.test(folder)))
    throw refusal(
      "class folders",
      `${listNames(sorted)}, which are parts of a data set; pass one of them`,
    );
  const numbers = byNumber(sorted, numClasses, labels);
  // Numbers from 1 to N are ImageFolder's names more often than they are numbers.
  const isFromZero = sorted.every((folder) => Number(folder) < numClasses);
  if (isFromZero && wrongFolders(sorted, numbers).length === 0) return "numbers";
  if (wrong.length < sorted.length)
    throw refusal(
      expected.labels(numClasses),
      sorted.length > numClasses
        ? `${listNames(wrong)} among ${sorted.length} folders for ${numClasses} classes`
        : `${listNames(wrong)}; --order names takes ImageFolder's order instead`,
    );
  if (sorted.length === numClasses) return "names";
  throw refusal(
    `${numClasses} folders, one for each class, or folders named by a class's number or label`,
    `${sorted.length}: ${listNames(sorted)}`,
  );
}

/**
 * Returns the class of each folder.
 *
 * - `labels`: the folder's name is the label of a class.
 * - `numbers`: the folder's name is the number of a class. Numbers from 1 to the number of classes count from 1.
 * - `names`: the folders are numbered in the order of their names, as in torchvision's ImageFolder.
 *
 * Without `order` the first that fits all folders is taken, but numbers from 1 on are read as names.
 * @throws {RangeError} no rule fits, or not the one that is asked for
 */
export function folderClasses(
  folders: readonly string[],
  numClasses: number,
  labels: readonly string[] | undefined,
  order?: FolderOrder,
): FolderClasses {
  const sorted = sortNames(folders);
  const chosen = order ?? chooseOrder(sorted, numClasses, labels);
  if (chosen === "labels" && labels === undefined)
    throw rangeError("numbers or names, because the model has no labels,", "--order", chosen);
  const readings = rules[chosen](sorted, numClasses, labels);
  const wrong = wrongFolders(sorted, readings);
  if (wrong.length > 0) {
    const received =
      chosen === "names" ? `${sorted.length}: ${listNames(sorted)}` : listNames(wrong);
    throw refusal(expected[chosen](numClasses), received);
  }
  const classes = new Map(sorted.map((folder, i) => [folder, readings[i] as number]));
  const other = otherReading(sorted, numClasses, { order: chosen, classes });
  return { order: chosen, classes, ...(other === undefined ? {} : { other }) };
}

const ruleTexts: Readonly<Record<FolderOrder, string>> = {
  labels: "by label",
  numbers: "by number",
  names: "as in ImageFolder",
};

/** Says in one line how folders became classes, with an example, and which option changes it if there is a choice. */
export function describeOrder({ order, classes, other }: FolderClasses): string {
  const folder = other?.folder ?? [...classes.keys()][0] ?? "";
  const says = `folders ${ruleTexts[order]}: ${listNames([folder])} is class ${classes.get(folder)}`;
  if (other === undefined) return says;
  return `${says}; ${ruleTexts[other.order]} it is ${other.index}: --order ${other.order}`;
}
