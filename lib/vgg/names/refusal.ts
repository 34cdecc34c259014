// The errors for weights that are no single VGG: what the file is and what to do, in at most ten lines.
import { formatShape } from "../../check.js";
import type { StoredTensor } from "../../checkpoint/checkpoint.js";
import { onCommandLine, VggError } from "../../errors.js";
import { parameterTable } from "../parameters.js";
import { type Architecture, architectures, topology } from "../topology.js";
import { type Candidate, type Fit, faults } from "./networks.js";
import { networkOf } from "./others.js";
import { positionOf, shownName } from "./positions.js";

/** What a caller does about a refusal: in a program, or on the command line. */
interface Words {
  readonly arch: (arch: Architecture) => string;
  readonly prefix: (prefix: string) => string;
  readonly featuresOnly: (arch: Architecture) => string;
}

const inPrograms: Words = {
  arch: (arch) => `load it with "${arch}" or without an architecture`,
  prefix: (prefix) => `prefix: "${shownName(prefix)}"`,
  featuresOnly: (arch) =>
    `Vgg.create("${arch}") makes a classifier, and loadStateDict with strict: false writes these parameters`,
};

const onTheCommandLine: Words = {
  arch: (arch) => `pass --arch ${arch} or leave --arch out`,
  prefix: (prefix) => `--prefix ${prefix === "" ? '""' : shownName(prefix)}`,
  featuresOnly: () => "the commands need a whole network",
};

/** What was looked for in a file. */
export interface Wanted {
  readonly path: string;
  /** Undefined: any architecture. */
  readonly arch: Architecture | undefined;
  readonly prefix: string | undefined;
}

const maxListed = 6;
/** Joins the first few items, and says how many more there are. */
function listItems(items: readonly string[]): string {
  const more = items.length - maxListed;
  if (more <= 1) return items.join(", ");
  return `${items.slice(0, maxListed).join(", ")} and ${more} more`;
}

/** Joins the first few names of a file, and says how many more there are. */
export function listNames(names: readonly string[]): string {
  return listItems(names.map(shownName));
}

function mismatch(path: string, message: (words: Words) => string): VggError {
  const error = new VggError("STATE_DICT_MISMATCH", `${path}: ${message(inPrograms)}`);
  return onCommandLine(error, `${path}: ${message(onTheCommandLine)}`);
}

const wantedName = ({ arch }: Wanted) =>
  arch === undefined ? "the parameters of a VGG" : `a ${arch}`;

/** The error for several networks in one file. */
export function severalNetworks(wanted: Wanted, complete: readonly Fit[]): VggError {
  const shown = complete.slice(0, 4);
  const first = ({ chosen }: Fit) => chosen.values().next().value!.name;
  const more = complete.length > shown.length ? ` and ${complete.length - shown.length} more` : "";
  return mismatch(wanted.path, (words) => {
    const choices = shown.map(({ prefix = "" }) => words.prefix(prefix)).join(" or ");
    const found = shown.map((fit) => `a ${fit.arch} (${shownName(first(fit))})`).join(", ");
    return `Expected one network but the file has ${complete.length}: ${found}${more}; choose one with ${choices}`;
  });
}

/** The error for an architecture that the file does not have, although it has another one. */
export function otherArchitecture(wanted: Wanted, { arch }: Fit): VggError {
  return mismatch(
    wanted.path,
    (words) => `Expected ${wantedName(wanted)} but the file is a ${arch}; ${words.arch(arch)}`,
  );
}

/** The error for a file without a whole VGG. `fits` are all architectures' attempts. */
export function noNetwork(
  wanted: Wanted,
  tensors: ReadonlyMap<string, StoredTensor>,
  candidates: readonly Candidate[],
  fits: readonly Fit[],
): VggError {
  const { path, prefix } = wanted;
  const names = [...tensors.keys()];
  const expected = `Expected ${wantedName(wanted)} but`;
  if (names.length === 0) return mismatch(path, () => `${expected} the file has no tensors`);
  if (prefix !== undefined && prefix !== "" && !names.some((name) => name.startsWith(prefix))) {
    return mismatch(
      path,
      (words) =>
        `Expected names that begin with the prefix for ${words.prefix(prefix)} but they are ${listNames(names)}`,
    );
  }
  const best = bestFit(fits, wanted.arch);
  if (best !== undefined) return partialNetwork(wanted, best, candidates, tensors);
  const alone = bareFeatures(names);
  if (alone !== undefined) {
    return mismatch(
      path,
      (words) =>
        `${expected} these are the features of a ${alone} only: no classifier; ${words.featuresOnly(alone)}`,
    );
  }
  const other = networkOf(names, (name) => tensors.get(name)?.shape);
  const what =
    other === undefined
      ? "its names are not the names of a VGG"
      : `these are the names of ${other}`;
  return mismatch(
    path,
    () =>
      `${expected} ${what}; ${architectures[0]} to ${architectures.at(-1)} can be loaded.\nNames: ${listNames(names)}`,
  );
}

/** Returns the attempt with the fewest faults, if at least half of the convolutions were found. */
function bestFit(fits: readonly Fit[], arch: Architecture | undefined): Fit | undefined {
  const isClose = ({ chosen, missing }: Fit) => {
    const isFeature = (name: string) => name.startsWith("features.");
    const found = [...chosen.keys()].filter(isFeature).length;
    return found > 0 && found >= missing.filter(isFeature).length;
  };
  const rank = (fit: Fit) => faults(fit) * 2 - (fit.arch === arch ? 1 : 0);
  return fits
    .filter(isClose)
    .reduce<Fit | undefined>(
      (best, fit) => (best === undefined || rank(fit) < rank(best) ? fit : best),
      undefined,
    );
}

/** Lists the weights of linear layers that are not the network's: "fc.weight (10, 512)". */
function otherClassifier(tensors: ReadonlyMap<string, StoredTensor>, { chosen }: Fit): string[] {
  const taken = new Set([...chosen.values()].map(({ name }) => name));
  return [...tensors]
    .filter(([name, { shape }]) => /weight$/.test(name) && shape.length === 2 && !taken.has(name))
    .map(([name, { shape }]) => `${shownName(name)} ${formatShape(shape)}`);
}

function partialNetwork(
  wanted: Wanted,
  fit: Fit,
  candidates: readonly Candidate[],
  tensors: ReadonlyMap<string, StoredTensor>,
): VggError {
  const { arch, chosen, missing, unexpected, misshapen, clashes } = fit;
  const expected = `Expected ${wanted.arch === undefined ? `a whole ${arch}, which the file is most like,` : wantedName(wanted)} but`;
  const hasClassifier = candidates.some(({ position }) =>
    position.parameter?.startsWith("classifier."),
  );
  const isIn = (name: string) => unexpected.some((each) => each.endsWith(name));
  if (isIn("classifier.1.weight") && isIn("classifier.4.weight")) {
    return mismatch(
      wanted.path,
      () =>
        `${expected} these are the names of torchvision before March 2017 (classifier.1, .4, .6), whose images were BGR from 0 to 255; they cannot be loaded`,
    );
  }
  if (!hasClassifier && missing.every((name) => name.startsWith("classifier."))) {
    const layers = otherClassifier(tensors, fit);
    const classifier =
      layers.length === 0
        ? "only: no classifier"
        : `with another classifier than its own: ${listItems(layers)}`;
    const others = unexpected.length > 0 ? `\nNot in ${arch}: ${listNames(unexpected)}` : "";
    return mismatch(
      wanted.path,
      (words) =>
        `Expected ${wantedName(wanted)} but the file has the features of a ${arch} ${classifier}; ${words.featuresOnly(arch)}${others}`,
    );
  }
  const counts = [
    [missing.length, "missing"],
    [unexpected.length, `not in ${arch}`],
    [misshapen.length, "of another shape"],
    [clashes.length, "there twice"],
  ] as const;
  const summary = counts.flatMap(([count, what]) =>
    count > 0 ? [`${count} ${count === 1 ? "is" : "are"} ${what}`] : [],
  );
  const lists = {
    "Missing keys": missing,
    [`Not in ${arch}`]: unexpected.map(shownName),
    "Other shapes": misshapen,
    "Two for one parameter": clashes.map(([a, b]) => `${shownName(a)} and ${shownName(b)}`),
  };
  const lines = Object.entries(lists).flatMap(([title, items]) =>
    items.length > 0 ? [`${title}: ${listItems(items)}`] : [],
  );
  return mismatch(wanted.path, (words) => {
    const isOther = wanted.arch !== undefined && wanted.arch !== arch;
    const advice = isOther ? ` The file is like a ${arch}; ${words.arch(arch)}.` : "";
    const found = `${chosen.size} of its names fit, and ${summary.join(", ")}`;
    return [
      `${expected} ${found}.${advice}`,
      ...lines,
      ...hintsAbout(unexpected, clashes, words),
    ].join("\n");
  });
}

/** Sentences about names that a known tool makes. */
function hintsAbout(
  unexpected: readonly string[],
  clashes: Fit["clashes"],
  words: Words,
): string[] {
  const has = (pattern: RegExp) => unexpected.some((name) => pattern.test(name));
  const hints: string[] = [];
  if (has(/_(orig|mask)$/))
    hints.push(
      "They come from torch.nn.utils.prune: call prune.remove before the weights are saved.",
    );
  if (has(/weight_[guv]$|\.parametrizations\./))
    hints.push("They come from a parametrization: remove it before the weights are saved.");
  if (clashes.some(([a, b]) => positionOf(a)?.prefix !== positionOf(b)?.prefix))
    hints.push(
      `Choose one of two networks with ${words.prefix("NAME.")}, which keeps the names that begin so.`,
    );
  return hints;
}

/** Returns the architecture whose convolutions have these names without a group: "0.weight", "2.weight", …. */
function bareFeatures(names: readonly string[]): Architecture | undefined {
  const found = new Set<string>();
  let before: string | undefined;
  for (const name of names) {
    const [, prefix, position] = /^(|.*\.)(\d{1,3}\.\w+)$/.exec(name) ?? [];
    if (position === undefined || (before ?? prefix) !== prefix) return undefined;
    before = prefix;
    found.add(`features.${position}`);
  }
  return architectures.find((arch) => {
    const table = parameterTable(topology(arch)).filter(({ name }) => name.startsWith("features."));
    const known = new Set(table.map(({ name }) => name));
    return (
      table.every(({ name, isOptional }) => isOptional || found.has(name)) &&
      [...found].every((name) => known.has(name))
    );
  });
}
