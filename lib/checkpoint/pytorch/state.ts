// The state dict and the labels in an unpickled object, and the contents that they make.
import { describe } from "../../check.js";
import type { DType } from "../../dtype.js";
import {
  type Contents,
  checkView,
  type ReadOptions,
  type Storage,
  type StoredTensor,
} from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import { type LabelSource, labelsBeside } from "../labels.js";
import { Dict, type PickleValue, Tuple } from "./pickle-values.js";
import { type StorageReference, TensorReference } from "./references.js";

const maxTensors = 100_000;
const usualKeys = ["state_dict", "model_state_dict", "model", "net", "weights"];

function tensorsIn(value: PickleValue | undefined): [string, TensorReference][] {
  if (!(value instanceof Dict)) return [];
  return [...value.entries].filter(
    (entry): entry is [string, TensorReference] =>
      typeof entry[0] === "string" && entry[1] instanceof TensorReference,
  );
}

/**
 * Finds the dictionary of tensors in a pickled object.
 * @throws {VggError} CHECKPOINT_FORMAT no dictionary, several, or no tensors under `key`
 */
function findStateDict(
  file: CheckpointFile,
  root: PickleValue,
  { key }: ReadOptions,
): [string, TensorReference][] {
  const format = (message: string) => checkpointError(file, "CHECKPOINT_FORMAT", message);
  if (!(root instanceof Dict))
    throw format("Expected a dictionary of tensors; save model.state_dict(), not the model");
  // Visit each value once: a dictionary may stand under many names.
  const withTensors = new Set(
    [...new Set(root.entries.values())].filter((value) => tensorsIn(value).length > 0),
  );
  const inner = [...root.entries].flatMap(([name, value]) =>
    typeof name === "string" && withTensors.has(value) ? [name] : [],
  );
  if (key !== undefined) {
    const found = tensorsIn(root.entries.get(key));
    if (found.length === 0)
      throw format(
        `Expected tensors under the key ${describe(key)} but they are under ${describe(inner)}`,
      );
    return found;
  }
  const usual = inner.filter((name) => usualKeys.includes(name));
  const candidates = usual.length > 0 ? usual : inner;
  if (candidates.length > 1) {
    throw format(
      `Expected one dictionary of tensors but found ${candidates.join(", ")}; choose with the option key`,
    );
  }
  const own = tensorsIn(root);
  // A checkpoint may store a number as a tensor beside its state dict. A state dict contains no dictionary.
  if (candidates.length === 1 && (usual.length === 1 || own.length === 0))
    return tensorsIn(root.entries.get(candidates[0]!));
  return own;
}

/** How labels.ts takes a pickle's values apart. */
const pickled: LabelSource = {
  entries: (value) => (value instanceof Dict ? value.entries : undefined),
  items: (value) =>
    value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined,
};

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
  const found = findStateDict(file, root, options);
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
  return { format, tensors, metadata: new Map(), labels: labelsBeside(root, pickled) };
}
