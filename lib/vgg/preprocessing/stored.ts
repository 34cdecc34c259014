// Preprocessing in and beside files of weights: what `save` stores, and the JSON that other programs leave beside it.

import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, isPlainObject } from "../../check.js";
import type { Contents } from "../../checkpoint/checkpoint.js";
import { labelsFrom } from "../../checkpoint/labels.js";
import { VggError } from "../../errors.js";
import { isMissing } from "../../files/errors.js";
import { jsonOf } from "../../files/json.js";
import { readWhole } from "../../files/read-whole.js";
import type { Preprocessing } from "../../image/preprocessing.js";
import { type Architecture, isImageSize } from "../topology.js";
import { field, stated } from "./fields.js";
import { readHuggingFace } from "./hugging-face.js";
import type { Part, StatedPart, Statement } from "./statement.js";
import { isOfTimm, readTimm } from "./timm.js";

/** The key of safetensors' metadata. */
const key = "preprocessing";
const storedParts: readonly Part[] = ["mean", "std", "resize", "interpolation", "orientation"];

/** Returns the metadata that `readMetadata` reads. The limit of pixels belongs to a machine, not to a file. */
export function toMetadata(
  preprocessing: Preprocessing | undefined,
): Readonly<Record<string, string>> {
  if (preprocessing === undefined) return {};
  const { maxPixels: _, ...stored } = preprocessing;
  return { [key]: JSON.stringify(stored) };
}

/** Reads what `save` stored. Another program's text under this key counts as none. */
export function readMetadata(
  metadata: ReadonlyMap<string, string>,
  path: string,
): Statement | undefined {
  const stored = jsonOf(metadata.get(key) ?? "");
  if (!isPlainObject(stored)) return undefined;
  const parts = new Map<Part, StatedPart>();
  for (const part of storedParts) {
    const value = field(stored, part);
    if (value !== undefined) parts.set(part, stated(`metadata ${key}.${part}`, value));
  }
  const crop = field(stored, "crop");
  return { path, parts, crop: typeof crop === "number" ? crop : undefined };
}

/** Returns the first image size that is stated and that a network can have. */
export function statedImageSize(statements: readonly Statement[]): number | undefined {
  return statements.map(({ crop }) => crop).find(isImageSize);
}

/** What a file of weights and the JSON beside it state. */
export interface Stated {
  /** The first one decides. */
  readonly statements: readonly Statement[];
  /** Class names in the JSON. */
  readonly labels: readonly string[] | undefined;
  /** The paths of the JSON files. */
  readonly configs: readonly string[];
  /** Sentences about JSON files that were meant for this network and cannot be used. */
  readonly warnings: readonly string[];
}

/**
 * Says what a file and the JSON beside it have that is not used: class names, another state dict, broken JSON.
 * @param needsLabels the caller gave no class names
 */
export function warningsAbout(
  path: string,
  { labels, labelProblem, choice }: Contents,
  stated: Stated,
  numClasses: number,
  needsLabels: boolean,
): readonly string[] {
  const about: string[] = [];
  const found = [labels, stated.labels].filter((each) => each !== undefined);
  const isUsed = !needsLabels || found.some(({ length }) => length === numClasses);
  if (!isUsed && found[0] !== undefined)
    about.push(
      `Expected ${numClasses} class names but received ${found[0].length}; they are not used`,
    );
  if (!isUsed && labelProblem !== undefined) about.push(labelProblem);
  if (choice !== undefined) {
    const others = choice.others.map((name) => describe(name)).join(", ");
    about.push(
      `the tensors under ${describe(choice.key)} are used; there are others under ${others}, which the option key, or --key, chooses`,
    );
  }
  return [...stated.warnings, ...about.map((sentence) => `${path}: ${sentence}`)];
}

const maxBytes = 16 * 2 ** 20;

/** Reads a regular file of at most 16 MiB. Returns undefined if there is none. */
async function readBeside(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() && stats.size <= maxBytes ? await readWhole(path) : undefined;
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    const { message } = cause as Error;
    throw new VggError(
      "CHECKPOINT_UNREADABLE",
      `${path}: Expected a file that can be read but received: ${message}`,
      { cause },
    );
  }
}

/**
 * Reads what a file of weights and JSON beside it state about images.
 * @param isPublished the file lies in the folder of published weights, in which no JSON belongs to it
 * @throws {VggError} CHECKPOINT_CORRUPT, CHECKPOINT_UNREADABLE
 */
export async function readStated(
  path: string,
  metadata: ReadonlyMap<string, string>,
  arch: Architecture,
  isPublished: boolean,
): Promise<Stated> {
  const own = readMetadata(metadata, path);
  const beside = isPublished ? undefined : await readFilesBeside(path, arch);
  const configs = beside?.statements ?? [];
  return {
    statements: own === undefined ? configs : [own, ...configs],
    labels: beside?.labels,
    configs: configs.map((config) => config.path),
    warnings: beside?.warnings ?? [],
  };
}

/** Says that a config.json is no JSON, or is timm's for this architecture and states nothing that can be read. */
function brokenConfig(config: unknown, path: string, arch: Architecture): string[] {
  const end = "it is not read";
  if (config === undefined) return [`${path}: Expected JSON but received other text; ${end}`];
  if (!isPlainObject(config) || isOfTimm(config)) return [];
  const architecture = field(config, "architecture");
  const isNamed = typeof architecture === "string" && architecture.split(".")[0] === arch;
  if (!isNamed && !Object.hasOwn(config, "pretrained_cfg")) return [];
  return [`${path}: Expected an object for pretrained_cfg as timm writes it; ${end}`];
}

/**
 * Reads the files beside weights: Hugging Face's preprocessor_config.json and timm's config.json. A config.json of
 * another program or of another architecture counts as none, and so does a processor of sound or text.
 * @throws {VggError} CHECKPOINT_CORRUPT preprocessor_config.json is not a JSON object
 * @throws {VggError} CHECKPOINT_UNREADABLE
 */
async function readFilesBeside(
  weights: string,
  arch: Architecture,
): Promise<Omit<Stated, "configs">> {
  const folder = dirname(weights);
  const processorPath = join(folder, "preprocessor_config.json");
  const configPath = join(folder, "config.json");
  const [processorText, configText] = await Promise.all([
    readBeside(processorPath),
    readBeside(configPath),
  ]);
  const config = jsonOf(configText ?? "");
  const timm = readTimm(config, configPath, arch);
  const warnings = configText === undefined ? [] : brokenConfig(config, configPath, arch);
  const statements = timm === undefined ? [] : [timm];
  if (processorText !== undefined) {
    const processor = jsonOf(processorText);
    if (!isPlainObject(processor)) {
      const message = `${processorPath}: Expected a JSON object but received other text`;
      throw new VggError("CHECKPOINT_CORRUPT", message);
    }
    const statement = readHuggingFace(processor, processorPath);
    if (statement !== undefined) statements.unshift(statement);
  }
  return { statements, warnings, labels: timm === undefined ? undefined : labelsFrom(config) };
}
