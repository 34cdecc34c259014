// The meaning of PyTorch's pickles: the allowed names, the storages and tensors behind them, and the place of the state
// dict in the pickled object.
import { describe } from "../../check.js";
import { arrayTypeOf, type DType } from "../../dtype.js";
import {
  type Contents,
  checkView,
  maxDimensions,
  type ReadOptions,
  type Storage,
  type StoredTensor,
} from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import {
  Dict,
  describeValue,
  isHashable,
  Name,
  Opaque,
  type PickleHandler,
  type PickleValue,
  Tuple,
} from "./pickle.js";

/** The dtypes of torch.FloatStorage and the other typed storages. */
const storageTypes: Readonly<Record<string, DType>> = {
  "torch.FloatStorage": "float32",
  "torch.DoubleStorage": "float64",
  "torch.HalfStorage": "float16",
  "torch.BFloat16Storage": "bfloat16",
  "torch.CharStorage": "int8",
  "torch.ByteStorage": "uint8",
  "torch.ShortStorage": "int16",
  "torch.IntStorage": "int32",
  "torch.LongStorage": "int64",
  "torch.BoolStorage": "bool",
};

const untypedStorage = "torch.storage.UntypedStorage";

const dtypeNames: Readonly<Record<string, DType>> = Object.fromEntries(
  (
    [
      ["float32", "float"],
      ["float64", "double"],
      ["float16", "half"],
      ["bfloat16"],
      ["float8_e4m3fn"],
      ["float8_e5m2"],
      ["int8"],
      ["uint8"],
      ["int16", "short"],
      ["uint16"],
      ["int32", "int"],
      ["uint32"],
      ["int64", "long"],
      ["uint64"],
      ["bool"],
    ] as [DType, string?][]
  ).flatMap(([dtype, alias]) => [dtype, alias ?? dtype].map((name) => [`torch.${name}`, dtype])),
);

/** The names of PyTorch's data types that this package does not support. Their errors name them. */
const unsupportedTypes =
  /^torch\.(Complex(Float|Double)|Q(U?Int8|Int32|UInt4x2|UInt2x4)|complex(32|64|128)|c(float|double|half)|q(u?int8|int32)|float8_\w+)(Storage)?$/;

/** A storage as the pickle names it. The position of its bytes is known only after the pickle was read. */
export class StorageReference extends Opaque {
  readonly key: string;
  /** Undefined if the storage is untyped. Then its elements are bytes. */
  readonly dtype: DType | undefined;
  readonly elements: number;
  /** Elements to skip, in legacy files. */
  readonly viewOffset: number;

  constructor(key: string, dtype: DType | undefined, elements: number, viewOffset: number) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.elements = elements;
    this.viewOffset = viewOffset;
  }
}

export function referencedBytes({ dtype, elements }: StorageReference): number {
  return elements * (dtype === undefined ? 1 : arrayTypeOf(dtype).BYTES_PER_ELEMENT);
}

/** Returns how many elements of `dtype` a storage holds. @throws {VggError} CHECKPOINT_CORRUPT not a whole number */
export function elementsAs(file: CheckpointFile, storage: StorageReference, dtype: DType): number {
  const elements = referencedBytes(storage) / arrayTypeOf(dtype).BYTES_PER_ELEMENT;
  if (!Number.isInteger(elements))
    throw file.corrupt(`Expected whole elements of ${dtype} in storage ${storage.key}`);
  return elements;
}

/** A tensor as the pickle describes it. Its numbers are not checked yet. */
export class TensorReference extends Opaque {
  readonly storage: StorageReference;
  readonly dtype: DType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: StorageReference,
    dtype: DType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    super();
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** The minimum and maximum number of arguments of PyTorch's functions. */
const arities: Readonly<Record<string, readonly [least: number, most: number]>> = {
  "collections.OrderedDict": [0, 1],
  "torch._utils._rebuild_tensor": [4, 4],
  "torch._utils._rebuild_tensor_v2": [6, 7],
  "torch._utils._rebuild_tensor_v3": [7, 8],
  "torch._utils._rebuild_parameter": [3, 3],
  "torch._utils._rebuild_parameter_with_state": [4, 4],
  "torch.Size": [0, 1],
  "torch.device": [1, 2],
  "builtins.set": [0, 1],
  "__builtin__.set": [0, 1],
};

/**
 * Makes the handler of PyTorch's names. It adds each storage that the pickle refers to to `storages`, by key.
 * @param itemCount the number of items of a persistent id
 */
export function torchHandler(
  file: CheckpointFile,
  storages: Map<string, StorageReference>,
  itemCount: number,
): PickleHandler {
  const claim = (value: PickleValue | undefined, what: string): number => {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
      throw file.corrupt(
        `Expected an integer ≥ 0 for ${what} but received ${describeValue(value)}`,
      );
    }
    return value;
  };
  const claims = (value: PickleValue | undefined, what: string): number[] => {
    if (!(value instanceof Tuple)) throw file.corrupt(`Expected a tuple for ${what}`);
    // Check before copying: many tensors may name the same long tuple.
    if (value.items.length > maxDimensions) {
      throw checkpointError(
        file,
        "CHECKPOINT_LIMIT",
        `Expected at most ${maxDimensions} dimensions for ${what} but received ${value.items.length}`,
      );
    }
    return value.items.map((item) => claim(item, what));
  };

  function persistent(id: PickleValue): StorageReference {
    const items = id instanceof Tuple ? id.items : [];
    const [kind, type, key, device, elements, view] = items;
    if (kind !== "storage" || !(type instanceof Name) || typeof key !== "string") {
      throw checkpointError(
        file,
        "CHECKPOINT_UNSAFE",
        `Expected a storage for a persistent id but received ${describeValue(kind)}`,
      );
    }
    if (items.length !== itemCount || typeof device !== "string")
      throw file.corrupt(`Expected ${itemCount} items, a device with them, for storage ${key}`);
    if (!/^\d{1,20}$/.test(key))
      throw file.corrupt(`Expected a number for a storage's key but received ${describe(key)}`);
    const dtype = storageTypes[type.name];
    if (dtype === undefined && type.name !== untypedStorage) {
      throw file.corrupt(`Expected a storage's type but received ${type.name}`);
    }
    const count = claim(elements, `the elements of storage ${key}`);
    let viewOffset = 0;
    if (view !== undefined && view !== null) {
      if (!(view instanceof Tuple) || view.items.length !== 3)
        throw file.corrupt(`Expected a key, an offset and a size for a view of storage ${key}`);
      viewOffset = claim(view.items[1], `the offset of storage ${key}`);
    }
    const before = storages.get(key);
    if (before !== undefined && (before.dtype !== dtype || before.elements !== count)) {
      throw file.corrupt(`Expected storage ${key} to be one and the same wherever it is named`);
    }
    const reference = new StorageReference(key, dtype, count, viewOffset);
    if (before === undefined) storages.set(key, reference);
    return reference;
  }

  function tensor(args: readonly PickleValue[], dtype?: DType): TensorReference {
    const [storage, offset, shape, strides] = args;
    if (!(storage instanceof StorageReference))
      throw file.corrupt("Expected a storage for a tensor");
    const own = dtype ?? storage.dtype;
    if (own === undefined)
      throw file.corrupt("Expected a dtype for a tensor of an untyped storage");
    return new TensorReference(
      storage,
      own,
      claim(offset, "a tensor's offset") + storage.viewOffset,
      claims(shape, "a tensor's sizes"),
      claims(strides, "a tensor's strides"),
    );
  }

  const checkGradient = (value: PickleValue | undefined) => {
    if (value !== undefined && typeof value !== "boolean")
      throw file.corrupt(
        `Expected a boolean for a tensor's requires_grad but received ${describeValue(value)}`,
      );
  };

  return {
    persistent,
    isAllowed(name) {
      if (unsupportedTypes.test(name) && !Object.hasOwn(dtypeNames, name)) {
        throw checkpointError(
          file,
          "CHECKPOINT_UNSUPPORTED",
          `Expected tensors of real numbers but received ${name}`,
        );
      }
      return (
        Object.hasOwn(arities, name) ||
        Object.hasOwn(storageTypes, name) ||
        Object.hasOwn(dtypeNames, name) ||
        name === untypedStorage
      );
    },
    reduce(name, args) {
      const [least, most] = Object.hasOwn(arities, name) ? arities[name]! : [0, args.length];
      if (args.length < least || args.length > most)
        throw file.corrupt(`Expected ${least} to ${most} arguments of ${name}`);
      switch (name) {
        case "collections.OrderedDict": {
          const dict = new Dict(true);
          const pairs = args[0];
          if (pairs === undefined) return dict;
          if (!Array.isArray(pairs))
            throw file.corrupt("Expected a list of pairs for an OrderedDict");
          for (const pair of pairs) {
            const items = pair instanceof Tuple ? pair.items : pair;
            const [key, value] = Array.isArray(items) && items.length === 2 ? items : [];
            if (key === undefined || value === undefined)
              throw file.corrupt("Expected a pair for an OrderedDict");
            if (!isHashable(key))
              throw file.corrupt("Expected a key that is no list and no dictionary");
            dict.entries.set(key, value);
          }
          return dict;
        }
        case "torch._utils._rebuild_tensor":
        case "torch._utils._rebuild_tensor_v2":
          checkGradient(args[4]);
          return tensor(args);
        case "torch._utils._rebuild_tensor_v3": {
          checkGradient(args[4]);
          const dtype = args[6] instanceof Name ? dtypeNames[args[6].name] : undefined;
          if (dtype === undefined) throw file.corrupt("Expected a dtype for a tensor");
          return tensor(args, dtype);
        }
        case "torch._utils._rebuild_parameter":
        case "torch._utils._rebuild_parameter_with_state":
          if (!(args[0] instanceof TensorReference))
            throw file.corrupt("Expected a tensor for a parameter");
          return args[0];
        case "torch.Size":
          if (args[0] !== undefined) claims(args[0], "a Size");
          return args[0] ?? new Tuple([]);
        case "torch.device":
        case "builtins.set":
        case "__builtin__.set":
          return args[0] ?? new Tuple([]);
        default:
          return undefined;
      }
    },
  };
}

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

function findLabels(root: PickleValue): readonly string[] | undefined {
  if (!(root instanceof Dict)) return undefined;
  for (const key of ["labels", "classes", "class_names", "categories"]) {
    const value = root.entries.get(key);
    const items = value instanceof Tuple ? value.items : value;
    if (Array.isArray(items) && items.length > 0 && items.every((item) => typeof item === "string"))
      return items as string[];
  }
  return undefined;
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
  return { format, tensors, metadata: new Map(), labels: findLabels(root) };
}
