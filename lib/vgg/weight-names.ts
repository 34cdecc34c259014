// Finds the network in a file's tensors: its architecture, which tensor is which parameter, and what lies beside it.
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import { VggError } from "../errors.js";
import {
  type Candidate,
  candidatesIn,
  type Fit,
  faults,
  fitAll,
  isSameView,
} from "./names/networks.js";
import type { Scheme } from "./names/positions.js";
import { noNetwork, otherArchitecture, severalNetworks, type Wanted } from "./names/refusal.js";
import { type Architecture, architectures, type TopologyOptions, topology } from "./topology.js";

/** Tensors under torchvision's names, and the sizes of the network that follow from their shapes. */
export interface IdentifiedWeights {
  readonly arch: Architecture;
  readonly scheme: Scheme;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly inChannels: number;
  readonly numClasses: number;
  readonly hiddenFeatures: number;
  /** The names in the file that are no parameters of the network, in the file's order. */
  readonly ignored: readonly string[];
}

/**
 * Finds the one network of the wanted architecture, or of any. Segments that wrappers put before and between the parts
 * of torchvision's, timm's and the tutorials' names are skipped. Names beside the network are listed; names inside it
 * that are none of its parameters are refused.
 * @throws {VggError} STATE_DICT_MISMATCH no such network, or several
 */
export function identifyWeights(
  wanted: Wanted,
  tensors: ReadonlyMap<string, StoredTensor>,
): IdentifiedWeights {
  const { path, arch, prefix } = wanted;
  const candidates = candidatesIn(tensors, prefix);
  const fits = fitAll(arch === undefined ? architectures : [arch], candidates);
  const complete = completeNetworks(fits, prefix);
  if (complete.length > 1) throw severalNetworks(wanted, complete);
  const [found] = complete;
  if (found === undefined) {
    const all = arch === undefined ? fits : fitAll(architectures, candidates);
    const [other] = completeNetworks(all);
    throw other === undefined
      ? noNetwork(wanted, tensors, candidates, all)
      : otherArchitecture(wanted, other);
  }
  const chosen = new Map([...found.chosen].map(([name, { tensor }]) => [name, tensor]));
  const inChannels = chosen.get("features.0.weight")!.shape[1]!;
  const numClasses = chosen.get("classifier.6.weight")!.shape[0]!;
  const hiddenFeatures = chosen.get("classifier.0.weight")!.shape[0]!;
  const sizes = { inChannels, numClasses, hiddenFeatures };
  checkSizes(path, found.arch, sizes);
  return {
    ...{ arch: found.arch, scheme: found.scheme, ...sizes },
    tensors: chosen,
    ignored: beside(tensors, candidates, found),
  };
}

/**
 * Returns the fits without a fault, each network once. A network under several prefixes counts if none is under one.
 * @param prefix what was asked for: a network under just this one counts before those under longer ones
 */
function completeNetworks(fits: readonly Fit[], prefix?: string): Fit[] {
  const complete = fits.filter((fit) => faults(fit) === 0);
  const single = complete.filter(({ prefix }) => prefix !== undefined);
  const networks: Fit[] = [];
  for (const fit of single.length > 0 ? single : complete)
    if (!networks.some((other) => isSameNetwork(fit, other))) networks.push(fit);
  const exact = networks.filter((fit) => prefix !== undefined && fit.prefix === prefix);
  return exact.length > 0 ? exact : networks;
}

/** Whether two fits have the same tensors, as a module that is a part of two others has. */
function isSameNetwork(a: Fit, b: Fit): boolean {
  return (
    a.arch === b.arch &&
    [...a.chosen].every(([name, { tensor }]) => {
      const other = b.chosen.get(name);
      return other === undefined ? false : isSameView(tensor, other.tensor);
    })
  );
}

/** Lists the names of the file that are neither chosen nor a second name of a chosen tensor. */
function beside(
  tensors: ReadonlyMap<string, StoredTensor>,
  candidates: readonly Candidate[],
  { chosen }: Fit,
): string[] {
  const taken = new Set<string>();
  for (const { name, position, tensor } of candidates) {
    const choice = chosen.get(position.parameter ?? "");
    if (choice !== undefined && isSameView(tensor, choice.tensor)) taken.add(name);
  }
  return [...tensors.keys()].filter((name) => !taken.has(name));
}

/** @throws {VggError} STATE_DICT_MISMATCH sizes that no model can have */
function checkSizes(path: string, arch: Architecture, sizes: TopologyOptions): void {
  try {
    topology(arch, sizes);
  } catch (cause) {
    throw new VggError(
      "STATE_DICT_MISMATCH",
      `${path}: ${(cause as Error).message}, from the shapes in the file`,
      { cause },
    );
  }
}
