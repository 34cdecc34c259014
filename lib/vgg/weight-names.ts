// Converts other programs' names of VGG's parameters to torchvision's.
import { optionOf } from "../check.js";
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import { VggError } from "../errors.js";
import { elementCount } from "../tensor.js";
import { type ParameterEntry, parameterTable } from "./parameters.js";
import { type Architecture, architectures, topology } from "./topology.js";

/** Prefixes that wrappers put before every name. */
const prefixes = ["module.", "_orig_mod."];

type Rename = (name: string) => string;

const timmLayers: Readonly<Record<string, string>> = {
  "pre_logits.fc1": "classifier.0",
  "pre_logits.fc2": "classifier.3",
  "head.fc": "classifier.6",
};

/** Each scheme converts its names to torchvision's and keeps unknown names. */
const schemes: Readonly<Record<string, Rename>> = {
  torchvision: (name) => name,
  // timm's linear layers are convolutions (4096, 512, 7, 7) and (4096, 4096, 1, 1): the same values in the same order.
  timm: (name) => {
    const at = name.lastIndexOf(".");
    const layer = optionOf(timmLayers, name.slice(0, at));
    return layer === undefined ? name : layer + name.slice(at);
  },
  tutorial: (name) =>
    name.replace(/^conv_layers\./, "features.").replace(/^linear_layers\./, "classifier."),
};

/** Tensors under torchvision's names, and the sizes of the network that follow from their shapes. */
export interface IdentifiedWeights {
  readonly scheme: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly inChannels: number;
  readonly numClasses: number;
}

function withoutPrefixes(names: readonly string[]): Rename {
  let cut = 0;
  for (;;) {
    const prefix = prefixes.find(
      (p) => names.length > 0 && names.every((name) => name.startsWith(p, cut)),
    );
    if (prefix === undefined) return (name) => name.slice(cut);
    cut += prefix.length;
  }
}

function difference(table: readonly ParameterEntry[], names: ReadonlySet<string>) {
  const known = new Set(table.map(({ name }) => name));
  return {
    missing: table
      .filter(({ name, isOptional }) => !isOptional && !names.has(name))
      .map(({ name }) => name),
    unexpected: [...names].filter((name) => !known.has(name)),
  };
}

/**
 * Finds the scheme of the names and converts them to torchvision's.
 * @throws {VggError} STATE_DICT_MISMATCH with every missing, unexpected and misshapen name of the scheme that fits best
 */
export function identifyWeights(
  path: string,
  arch: Architecture,
  tensors: ReadonlyMap<string, StoredTensor>,
): IdentifiedWeights {
  const stripped = withoutPrefixes([...tensors.keys()]);
  const table = parameterTable(topology(arch));
  const tries = Object.entries(schemes).map(([scheme, rename]) => {
    const renamed = new Map([...tensors].map(([name, tensor]) => [rename(stripped(name)), tensor]));
    return { scheme, renamed, ...difference(table, new Set(renamed.keys())) };
  });
  const best = tries.reduce((a, b) =>
    b.missing.length + b.unexpected.length < a.missing.length + a.unexpected.length ? b : a,
  );
  const { scheme, renamed, missing, unexpected } = best;
  if (missing.length > 0 || unexpected.length > 0) {
    const lines = [
      `${path}: Expected the parameters of ${arch} but the file has others.`,
      ...hints(new Set(renamed.keys())),
    ];
    if (missing.length > 0) lines.push(`Missing keys: ${missing.join(", ")}`);
    if (unexpected.length > 0) lines.push(`Unexpected keys: ${unexpected.join(", ")}`);
    throw new VggError("STATE_DICT_MISMATCH", lines.join("\n"));
  }

  const inChannels = renamed.get("features.0.weight")!.shape[1] ?? 0;
  const numClasses = renamed.get("classifier.6.weight")!.shape[0] ?? 0;
  const shapes = new Map(
    parameterTable(checkedTopology(path, arch, inChannels, numClasses)).map((entry) => [
      entry.name,
      entry.shape,
    ]),
  );
  const misshapen = [...renamed].filter(
    ([name, { shape }]) => !isSameLayer(shape, shapes.get(name)!),
  );
  if (misshapen.length > 0) {
    const list = misshapen.map(
      ([name, { shape }]) =>
        `${name} (expected (${shapes.get(name)!.join(", ")}), received (${shape.join(", ")}))`,
    );
    throw new VggError(
      "STATE_DICT_MISMATCH",
      `${path}: Expected the shapes of ${arch} but received others.\nOther shapes: ${list.join(", ")}`,
    );
  }
  return { scheme, tensors: renamed, inChannels, numClasses };
}

function checkedTopology(path: string, arch: Architecture, inChannels: number, numClasses: number) {
  try {
    return topology(arch, { inChannels, numClasses });
  } catch (cause) {
    throw new VggError(
      "STATE_DICT_MISMATCH",
      `${path}: ${(cause as Error).message}, from the shapes in the file`,
      { cause },
    );
  }
}

/** Whether the shapes are equal, or `shape` is timm's convolution over the whole input for a linear layer. */
function isSameLayer(shape: readonly number[], expected: readonly number[]): boolean {
  const isConvolution = shape.length === 4 && expected.length === 2;
  const actual = isConvolution ? [shape[0]!, elementCount(shape.slice(1))] : shape;
  return (
    actual.length === expected.length &&
    actual.every((dimension, axis) => dimension === expected[axis])
  );
}

/** Returns a sentence about the architecture whose names these are, if it is known. */
function hints(names: ReadonlySet<string>): string[] {
  if (names.has("classifier.1.weight") && names.has("classifier.4.weight")) {
    return [
      "They are the names of torchvision before March 2017 (classifier.1, .4, .6), whose images were BGR from 0 to 255.",
    ];
  }
  const other = architectures.find((candidate) => {
    const { missing, unexpected } = difference(parameterTable(topology(candidate)), names);
    return missing.length === 0 && unexpected.length === 0;
  });
  return other === undefined ? [] : [`They are the names of ${other}.`];
}
