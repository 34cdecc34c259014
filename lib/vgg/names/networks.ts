// Finds the networks of the VGG family in a file's tensors: which tensor is which parameter, and what does not fit.
import { formatShape } from "../../check.js";
import type { StoredTensor } from "../../checkpoint/checkpoint.js";
import { elementCount } from "../../tensor.js";
import { type ParameterEntry, parameterTable } from "../parameters.js";
import { type Architecture, topology } from "../topology.js";
import { type Position, positionOf, type Scheme, shownName } from "./positions.js";

/** A tensor of the file with the position of its name. */
export interface Candidate {
  readonly name: string;
  readonly tensor: StoredTensor;
  readonly position: Position;
}

/** How well the tensors under one prefix, or under all prefixes together, fit an architecture. */
export interface Fit {
  readonly arch: Architecture;
  /** The prefix that all names share; undefined if the groups lie under several. */
  readonly prefix: string | undefined;
  readonly scheme: Scheme;
  /** The chosen tensors by torchvision's names, in the order of the file. */
  readonly chosen: ReadonlyMap<string, Candidate>;
  /** torchvision's names of required parameters for which no tensor was found. */
  readonly missing: readonly string[];
  /** Names in the file that lie in the network's own groups and are none of its parameters. */
  readonly unexpected: readonly string[];
  /** Sentences about tensors of another shape. */
  readonly misshapen: readonly string[];
  /** Pairs of names in the file that may be the same parameter. */
  readonly clashes: readonly (readonly [string, string])[];
}

export const faults = ({ missing, unexpected, misshapen, clashes }: Fit): number =>
  missing.length + unexpected.length + misshapen.length + clashes.length;

/** Leaves that profilers (thop) add to each layer. */
const harmless = new Set(["total_ops", "total_params"]);
/** Prefixes with fewer parameters are not tried on their own: VGG11 has 22. */
const minParameters = 8;
/** Prefixes that are tried: the ones with the most parameters. More are in no honest file, and would take long. */
const maxPrefixes = 256;

/** The candidates of a file, in its order. `prefix`, if given, selects names: "" those without anything before them. */
export function candidatesIn(
  tensors: ReadonlyMap<string, StoredTensor>,
  prefix: string | undefined,
): Candidate[] {
  const found: Candidate[] = [];
  for (const [name, tensor] of tensors) {
    if (prefix !== undefined && !name.startsWith(prefix)) continue;
    const position = positionOf(name);
    const isWanted = prefix !== "" || position?.groups.some((group) => !group.includes("."));
    if (position !== undefined && isWanted) found.push({ name, tensor, position });
  }
  return found;
}

/** Fits each architecture to the candidates under each prefix, and to all candidates together. */
export function fitAll(archs: readonly Architecture[], candidates: readonly Candidate[]): Fit[] {
  const byPrefix = new Map<string, Candidate[]>();
  const inside = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const { prefix, group, groups } = candidate.position;
    add(byPrefix, prefix, candidate);
    for (const outer of groups) if (outer !== group) add(inside, outer, candidate);
  }
  const single = [...byPrefix]
    .filter(([, own]) => own.length >= minParameters)
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, maxPrefixes);
  return archs.flatMap((arch) => {
    const table = parameterTable(topology(arch));
    const fits = single.map(([prefix, own]) => fitOne(arch, table, own, prefix, inside));
    return byPrefix.size > 1 ? [...fits, fitOne(arch, table, candidates, undefined)] : fits;
  });
}

function add(lists: Map<string, Candidate[]>, key: string, candidate: Candidate): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [candidate]);
  else list.push(candidate);
}

/**
 * @param candidates those under the prefix, or all
 * @param inside those under longer prefixes, by the groups in which they lie
 */
function fitOne(
  arch: Architecture,
  table: readonly ParameterEntry[],
  candidates: readonly Candidate[],
  prefix: string | undefined,
  inside: ReadonlyMap<string, readonly Candidate[]> = new Map(),
): Fit {
  const byParameter = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const { parameter } = candidate.position;
    if (parameter !== undefined) add(byParameter, parameter, candidate);
  }
  const picked = new Map<string, Candidate>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  const clashes: [string, string][] = [];
  for (const entry of table) {
    const expected = expectedShape(entry, picked);
    const named = byParameter.get(entry.name) ?? [];
    const fitting = named.filter(({ tensor }) => isOfShape(tensor.shape, expected));
    const [first] = fitting;
    if (first === undefined) {
      if (named.length > 0) misshapen.push(otherShape(named[0]!, expected));
      else if (!entry.isOptional) missing.push(entry.name);
      continue;
    }
    const other = fitting.find(({ tensor }) => !isSameView(tensor, first.tensor));
    if (other !== undefined) clashes.push([first.name, other.name]);
    picked.set(entry.name, first);
  }
  const inOrder = candidates.filter((each) => picked.get(each.position.parameter ?? "") === each);
  return {
    ...{ arch, prefix, missing, misshapen, clashes },
    chosen: new Map(inOrder.map((candidate) => [candidate.position.parameter!, candidate])),
    unexpected: unexpectedIn(candidates, inside, table, picked),
    scheme:
      schemes.find((each) => inOrder.some(({ position }) => position.scheme === each)) ??
      "torchvision",
  };
}

/** The scheme of a network is the first one that any of its names has. */
const schemes: readonly Scheme[] = ["timm", "tutorial", "torchvision"];

/**
 * Returns the names that lie beside the picked tensors, in the same groups, and are no parameter of the network. A
 * network with such names computes something else, so they are never skipped.
 */
function unexpectedIn(
  candidates: readonly Candidate[],
  inside: ReadonlyMap<string, readonly Candidate[]>,
  table: readonly ParameterEntry[],
  picked: ReadonlyMap<string, Candidate>,
): string[] {
  const entries = new Map(table.map((entry) => [entry.name, entry]));
  const used = new Set([...picked.values()].map(({ position }) => position.group));
  const isUnexpected = ({ name, position, tensor }: Candidate, isInner: boolean) => {
    if (harmless.has(name.slice(name.lastIndexOf(".") + 1))) return false;
    const entry = entries.get(position.parameter ?? "");
    if (entry === undefined) return true;
    const choice = picked.get(entry.name);
    // Without a choice its shape is reported, and one that fits too is reported as a clash.
    return (
      choice !== undefined &&
      (isInner || !isOfShape(tensor.shape, expectedShape(entry, picked))) &&
      !isSameView(tensor, choice.tensor)
    );
  };
  const own = candidates.filter(
    (candidate) =>
      candidate.position.groups.some((group) => used.has(group)) && isUnexpected(candidate, false),
  );
  const inner = [...used].flatMap((group) => inside.get(group) ?? []);
  return [...own, ...inner.filter((candidate) => isUnexpected(candidate, true))].map(
    ({ name }) => name,
  );
}

/** Whether two names stand for one tensor, as the names of a module that is a part of two others do. */
export function isSameView(a: StoredTensor, b: StoredTensor): boolean {
  return (
    a === b ||
    (a.storage.offset === b.storage.offset &&
      a.dtype === b.dtype &&
      a.offset === b.offset &&
      a.shape.join() === b.shape.join() &&
      a.strides.join() === b.strides.join())
  );
}

/** A shape in which undefined stands for a dimension that the file decides: channels of images, hidden features, and classes. */
type ExpectedShape = readonly (number | undefined)[];

/** @param picked the tensors that were picked for earlier parameters: the first and the last linear weight decide sizes of others */
function expectedShape(
  { name, shape }: ParameterEntry,
  picked: ReadonlyMap<string, Candidate>,
): ExpectedShape {
  const rows = (weight: string) => picked.get(weight)?.tensor.shape[0];
  const hidden = rows("classifier.0.weight");
  switch (name) {
    case "features.0.weight":
      return shape.map((size, axis) => (axis === 1 ? undefined : size));
    case "classifier.0.weight":
      return [undefined, shape[1]];
    case "classifier.0.bias":
    case "classifier.3.bias":
      return [hidden];
    case "classifier.3.weight":
      return [hidden, hidden];
    case "classifier.6.weight":
      return [undefined, hidden];
    case "classifier.6.bias":
      return [rows("classifier.6.weight")];
    default:
      return shape;
  }
}

/** Whether a shape fits. timm's convolution over the whole input fits a linear layer. */
function isOfShape(shape: readonly number[], expected: ExpectedShape): boolean {
  const isConvolution = shape.length === 4 && expected.length === 2;
  const actual = isConvolution ? [shape[0]!, elementCount(shape.slice(1))] : shape;
  return (
    actual.length === expected.length &&
    actual.every((size, axis) => size === (expected[axis] ?? size))
  );
}

function otherShape({ name, tensor }: Candidate, expected: ExpectedShape): string {
  const sizes = expected.map((size) => size ?? "any").join(", ");
  return `${shownName(name)} (expected (${sizes}), received ${formatShape(tensor.shape)})`;
}
