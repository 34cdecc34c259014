// The state dict and the labels in an unpickled object, and the contents that they make.
import { describe } from "../../check.js";
import type { DType } from "../../dtype.js";
import { onCommandLine } from "../../errors.js";
import {
  type Contents,
  checkView,
  type ReadOptions,
  type Storage,
  type StoredTensor,
} from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import { isLabelKey, type LabelSource, labelProblem, labelsBeside } from "../labels.js";
import { stateDictAdvice } from "./pickle-reader.js";
import {
  Dict,
  describeValue,
  Inert,
  type PickleValue,
  Tuple,
  UnsupportedTensor,
} from "./pickle-values.js";
import { type StorageReference, TensorReference } from "./references.js";

const maxTensors = 100_000;
const usualKeys = ["state_dict", "model_state_dict", "model", "net", "weights"];

/** Whether a dictionary is one of tensors, whether or not this package can read each. */
function hasTensors(value: PickleValue): boolean {
  if (!(value instanceof Dict)) return false;
  for (const [key, item] of value.entries)
    if (typeof key === "string" && isTensor(item)) return true;
  return false;
}

const isTensor = (value: PickleValue) =>
  value instanceof TensorReference || value instanceof UnsupportedTensor;

/** A dictionary of tensors, and the key under which it lies. */
interface Found {
  readonly dict: Dict;
  readonly key: string | undefined;
}

/**
 * Finds the dictionary of tensors in a pickled object.
 * @throws {VggError} CHECKPOINT_FORMAT no dictionary, several, or no tensors under `key`; CHECKPOINT_UNSAFE the whole
 * file, or what lies under `key`, is an object of a class
 */
function findStateDict(file: CheckpointFile, root: PickleValue, { key }: ReadOptions): Found {
  const format = (message: string) => checkpointError(file, "CHECKPOINT_FORMAT", message);
  if (isObject(root)) throw unsafe(file, "a dictionary of tensors", root);
  if (!(root instanceof Dict))
    throw format(
      `Expected a dictionary of tensors but received ${kindOf(root)}; save model.state_dict()`,
    );
  // Visit each value once: a dictionary may stand under many names.
  const withTensors = new Set([...new Set(root.entries.values())].filter(hasTensors));
  const inner = [...root.entries].flatMap(([name, value]) =>
    typeof name === "string" && withTensors.has(value) ? [name] : [],
  );
  if (key !== undefined) {
    const found = root.entries.get(key) ?? null;
    if (hasTensors(found)) return { dict: found as Dict, key };
    if (isObject(found)) throw unsafe(file, `tensors under the key ${describe(key)}`, found);
    throw format(
      `Expected tensors under the key ${describe(key)} but they are under ${describe(inner)}`,
    );
  }
  const usual = inner.filter((name) => usualKeys.includes(name));
  const candidates = usual.length > 0 ? usual : inner;
  if (candidates.length > 1) {
    const choose = (by: string) =>
      `Expected one dictionary of tensors but found ${describe(candidates)}; choose with ${by}`;
    const error = format(choose("the option key"));
    throw onCommandLine(error, `${file.path}: ${choose("--key")}`);
  }
  const hasOwn = hasTensors(root);
  // A checkpoint may store a number as a tensor beside its state dict. A state dict contains no dictionary.
  if (candidates.length === 1 && (usual.length === 1 || !hasOwn))
    return { dict: root.entries.get(candidates[0]!) as Dict, key: candidates[0]! };
  if (hasOwn) return { dict: root, key: undefined };
  // There are no tensors. An object under a usual key is most likely what was meant to hold them.
  for (const name of usualKeys) {
    const value = root.entries.get(name) ?? null;
    if (isObject(value)) throw unsafe(file, `tensors under the key ${describe(name)}`, value);
    if (value instanceof Dict) return { dict: value, key: name };
  }
  return { dict: root, key: undefined };
}

function kindOf(value: PickleValue): string {
  if (value instanceof TensorReference || value instanceof UnsupportedTensor) return "a tensor";
  return value instanceof Tuple ? `a tuple of ${value.items.length}` : describeValue(value);
}

/** Whether a value is an object of a class, or a function, that only running code could make. */
function isObject(value: PickleValue): value is Inert {
  return value instanceof Inert && !isTensor(value);
}

function unsafe(file: CheckpointFile, expected: string, value: Inert) {
  const advice = value.name.startsWith("numpy.")
    ? "save tensors: torch.from_numpy(array)"
    : stateDictAdvice;
  return checkpointError(
    file,
    "CHECKPOINT_UNSAFE",
    `Expected ${expected} but received ${value.description}, whose code is never run here; ${advice}`,
  );
}

/** Returns an unsupported tensor: the value itself, or one in the pair of weight and bias of a quantised layer. */
function unsupportedIn(value: PickleValue): UnsupportedTensor | undefined {
  const items = value instanceof Tuple && value.items.length <= 4 ? value.items : [value];
  return items.find((item) => item instanceof UnsupportedTensor);
}

/**
 * Returns the tensors of the chosen dictionary. Plain data beside them is ignored.
 * @throws {VggError} CHECKPOINT_UNSAFE, CHECKPOINT_UNSUPPORTED with the name of what is no tensor that can be read
 */
function tensorsIn(file: CheckpointFile, { dict, key }: Found): [string, TensorReference][] {
  const found: [string, TensorReference][] = [];
  for (const [name, value] of dict.entries) {
    const place = `${typeof name === "string" ? describe(name) : describeValue(name)}${key === undefined ? "" : ` of ${describe(key)}`}`;
    if (isObject(value)) throw unsafe(file, `a tensor for ${place}`, value);
    const unsupported = unsupportedIn(value);
    if (unsupported !== undefined) {
      const message = `Expected a dense tensor of real numbers for ${place} but received ${unsupported.description}`;
      throw checkpointError(file, "CHECKPOINT_UNSUPPORTED", message);
    }
    if (!(value instanceof TensorReference)) continue;
    if (name instanceof Inert) throw unsafe(file, "a text for a tensor's name", name);
    if (typeof name === "string") found.push([name, value]);
  }
  return found;
}

function* entriesOf({ attributes, items }: Inert) {
  yield* attributes?.entries ?? [];
  yield* items?.entries ?? [];
}

/** How labels.ts takes a pickle's values apart. */
const pickled: LabelSource = {
  entries: (value) => {
    if (value instanceof Inert) return entriesOf(value);
    return value instanceof Dict ? value.entries : undefined;
  },
  items: (value) =>
    value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined,
};

function countTensors({ entries }: Dict): number {
  let count = 0;
  for (const value of entries.values()) if (isTensor(value)) count++;
  return count;
}

/** Returns the other keys under which a network of about this size may lie. */
function choiceOf(root: PickleValue, { dict, key }: Found): Contents["choice"] {
  if (key === undefined || !(root instanceof Dict)) return undefined;
  const least = Math.max(2, countTensors(dict) / 2);
  const isOther = (value: PickleValue) =>
    value instanceof Dict && value !== dict && countTensors(value) >= least;
  // Count each dictionary once: a hostile file may give one long dictionary to many names.
  const large = new Set([...new Set(root.entries.values())].filter(isOther));
  const others: string[] = [];
  for (const [name, value] of root.entries)
    if (typeof name === "string" && others.length < maxOthers && large.has(value))
      others.push(name);
  return others.length === 0 ? undefined : { key, others };
}

/** Names of other entries that are kept. A hostile file may have millions. */
const maxOthers = 100;

/** Lists what is none of the tensors: the entries beside the state dict, and those in it that are no tensors. */
function othersThan(root: PickleValue, { dict, key }: Found, hasLabels: boolean): string[] {
  const others: string[] = [];
  const add = (name: PickleValue) => {
    if (others.length < maxOthers && !(hasLabels && isLabelKey(name)))
      others.push(typeof name === "string" ? name : describeValue(name));
  };
  if (dict !== root && root instanceof Dict)
    for (const name of root.entries.keys()) if (name !== key) add(name);
  for (const [name, value] of dict.entries) if (!isTensor(value)) add(name);
  return others;
}

/** Collects the contents of a pickled object. Checks each tensor's view of its storage. */
export function torchContents(
  file: CheckpointFile,
  format: Contents["format"],
  root: PickleValue,
  options: ReadOptions,
  locate: (reference: StorageReference, dtype: DType) => Storage,
): Contents {
  const storages = new Map<string, Storage>();
  const tensors = new Map<string, StoredTensor>();
  const stateDict = findStateDict(file, root, options);
  const found = tensorsIn(file, stateDict);
  if (found.length > maxTensors) {
    throw checkpointError(
      file,
      "CHECKPOINT_LIMIT",
      `Expected at most ${maxTensors} tensors but received ${found.length}`,
    );
  }
  for (const [name, { storage, dtype, offset, shape, strides }] of found) {
    const key = `${storage.key} ${dtype}`;
    const located = storages.get(key) ?? locate(storage, dtype);
    storages.set(key, located);
    tensors.set(name, checkView(file, name, { dtype, shape, strides, offset, storage: located }));
  }
  const labels = labelsBeside(root, pickled);
  const others = othersThan(root, stateDict, labels !== undefined);
  return {
    ...{ format, tensors, metadata: new Map(), labels, others },
    labelProblem: labels === undefined ? labelProblem(root, pickled) : undefined,
    choice: options.key === undefined ? choiceOf(root, stateDict) : undefined,
  };
}
