// The names that PyTorch's pickles may use, and the values of their calls and of their persistent ids.
import { describe } from "../../check.js";
import type { DType } from "../../dtype.js";
import { maxDimensions } from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import type { PickleHandler } from "./pickle.js";
import {
  Dict,
  describeValue,
  Inert,
  InertData,
  isHashable,
  Name,
  type PickleValue,
  Tuple,
  UnsupportedTensor,
} from "./pickle-values.js";
import { StorageReference, TensorReference } from "./references.js";
import { dtypes, isUnsupportedDtype, storageTypes } from "./torch-types.js";

/** The minimum and maximum number of arguments of PyTorch's functions. */
const arities: Readonly<Record<string, readonly [least: number, most: number]>> = {
  "collections.OrderedDict": [0, 1],
  "collections.defaultdict": [0, 2],
  "collections.Counter": [0, 1],
  "torch._utils._rebuild_tensor": [4, 4],
  "torch._utils._rebuild_tensor_v2": [6, 7],
  "torch._utils._rebuild_tensor_v3": [7, 8],
  "torch._utils._rebuild_parameter": [3, 3],
  "torch._utils._rebuild_parameter_with_state": [4, 4],
  "torch._tensor._rebuild_from_type_v2": [4, 4],
  "torch.nn.parameter.Parameter": [0, 2],
  "torch.Size": [0, 1],
  "torch.device": [1, 2],
  "builtins.set": [0, 1],
  "__builtin__.set": [0, 1],
  "builtins.frozenset": [0, 1],
  "__builtin__.frozenset": [0, 1],
};

/** The functions that make tensors which this package cannot read: quantised, sparse, without data. */
const otherTensors = /^torch\._utils\._rebuild_\w{1,64}$/;
/** The classes of tensors that are their data alone. */
const plainClasses = ["torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"];

/** The handler of PyTorch's names. */
export class TorchHandler implements PickleHandler {
  /** Each storage that the pickle refers to, by key. */
  readonly storages = new Map<string, StorageReference>();
  #file: CheckpointFile;
  #itemCount: number;

  /** @param itemCount the number of items of a persistent id */
  constructor(file: CheckpointFile, itemCount: number) {
    this.#file = file;
    this.#itemCount = itemCount;
  }

  isKnown(name: string): boolean {
    return (
      Object.hasOwn(arities, name) ||
      storageTypes.has(name) ||
      dtypes.has(name) ||
      isUnsupportedDtype(name) ||
      plainClasses.includes(name) ||
      otherTensors.test(name)
    );
  }

  reduce(name: string, args: readonly PickleValue[]): PickleValue | undefined {
    const file = this.#file;
    const [least, most] = Object.hasOwn(arities, name) ? arities[name]! : [0, args.length];
    if (args.length < least || args.length > most)
      throw file.corrupt(`Expected ${least} to ${most} arguments of ${name}`);
    switch (name) {
      case "collections.OrderedDict":
        return this.#orderedDict(args[0]);
      case "collections.defaultdict":
        return copyOf(args[1]);
      case "collections.Counter":
        return copyOf(args[0]);
      case "torch._utils._rebuild_tensor":
      case "torch._utils._rebuild_tensor_v2":
        this.#checkGradient(args[4]);
        return this.#tensor(args);
      case "torch._utils._rebuild_tensor_v3": {
        this.#checkGradient(args[4]);
        const dtype = args[6] instanceof Name ? args[6].name : "";
        if (isUnsupportedDtype(dtype)) return new UnsupportedTensor(dtype);
        if (!dtypes.has(dtype)) throw file.corrupt("Expected a dtype for a tensor");
        return this.#tensor(args, dtypes.get(dtype));
      }
      case "torch._tensor._rebuild_from_type_v2":
        return this.#fromType(args);
      case "torch.nn.parameter.Parameter":
        return args[0] instanceof TensorReference ? args[0] : undefined;
      case "torch._utils._rebuild_parameter":
      case "torch._utils._rebuild_parameter_with_state":
        if (!(args[0] instanceof TensorReference || args[0] instanceof Inert))
          throw file.corrupt("Expected a tensor for a parameter");
        return args[0];
      case "torch.Size":
        if (args[0] !== undefined) this.#claims(args[0], "a Size");
        return args[0] ?? new Tuple([]);
      case "torch.device":
      case "builtins.set":
      case "__builtin__.set":
        return args[0] ?? new Tuple([]);
      case "builtins.frozenset":
      case "__builtin__.frozenset":
        return Array.isArray(args[0]) ? new Tuple([...args[0]]) : (args[0] ?? new Tuple([]));
      default:
        return otherTensors.test(name) ? unsupported(name, args[0]) : undefined;
    }
  }

  isNeedless(target: PickleValue, state: PickleValue): boolean {
    // PyTorch before 0.2 could set a tensor's storage by its state.
    const isStorage = state instanceof Tuple && state.items[0] instanceof StorageReference;
    return target instanceof TensorReference && !isStorage;
  }

  persistent(id: PickleValue): StorageReference | Inert {
    const file = this.#file;
    const items = id instanceof Tuple ? id.items : [];
    const [kind, type, key, device, elements, view] = items;
    // A legacy file names a module's class with its source beside it.
    if (kind !== "storage" || !(type instanceof Name) || typeof key !== "string")
      return type instanceof Inert ? new Inert(type.name) : new InertData("a persistent id");
    if (items.length !== this.#itemCount || typeof device !== "string")
      throw file.corrupt(
        `Expected ${this.#itemCount} items, a device with them, for storage ${key}`,
      );
    if (!/^\d{1,20}$/.test(key))
      throw file.corrupt(`Expected a number for a storage's key but received ${describe(key)}`);
    const storageType = storageTypes.get(type.name);
    if (storageType === undefined)
      throw file.corrupt(`Expected a storage's type but received ${type.name}`);
    const count = this.#claim(elements, `the elements of storage ${key}`);
    let viewOffset = 0;
    if (view !== undefined && view !== null) {
      if (!(view instanceof Tuple) || view.items.length !== 3)
        throw file.corrupt(`Expected a key, an offset and a size for a view of storage ${key}`);
      viewOffset = this.#claim(view.items[1], `the offset of storage ${key}`);
    }
    const before = this.storages.get(key);
    if (before !== undefined && (before.type !== storageType || before.elements !== count)) {
      throw file.corrupt(`Expected storage ${key} to be the same each time it is named`);
    }
    const reference = new StorageReference(key, storageType, count, viewOffset);
    if (before === undefined) this.storages.set(key, reference);
    return reference;
  }

  #orderedDict(pairs: PickleValue | undefined): Dict {
    const file = this.#file;
    const dict = new Dict(true);
    if (pairs === undefined) return dict;
    if (!Array.isArray(pairs)) throw file.corrupt("Expected a list of pairs for an OrderedDict");
    for (const pair of pairs) {
      const items = pair instanceof Tuple ? pair.items : pair;
      const [key, value] = Array.isArray(items) && items.length === 2 ? items : [];
      if (key === undefined || value === undefined)
        throw file.corrupt("Expected a pair for an OrderedDict");
      if (!isHashable(key))
        throw file.corrupt("Expected a key that is neither a list nor a dictionary");
      dict.entries.set(key, value);
    }
    return dict;
  }

  /** Makes a tensor that has attributes or a class of its own. */
  #fromType([make, type, args]: readonly PickleValue[]): PickleValue | undefined {
    if (!(make instanceof Name && type instanceof Name && args instanceof Tuple)) return undefined;
    const isPlain = plainClasses.includes(type.name) && make.name.startsWith("torch._utils.");
    return isPlain ? this.reduce(make.name, args.items) : undefined;
  }

  #tensor(args: readonly PickleValue[], dtype?: DType): TensorReference | UnsupportedTensor {
    const file = this.#file;
    const [storage, offset, shape, strides] = args;
    if (!(storage instanceof StorageReference))
      throw file.corrupt("Expected a storage for a tensor");
    const { type } = storage;
    const own = dtype ?? type.dtype;
    if (own === undefined && !type.isUntyped) return new UnsupportedTensor(type.name);
    if (own === undefined)
      throw file.corrupt("Expected a dtype for a tensor of an untyped storage");
    return new TensorReference(
      storage,
      own,
      this.#claim(offset, "a tensor's offset") + storage.viewOffset,
      this.#claims(shape, "a tensor's sizes"),
      this.#claims(strides, "a tensor's strides"),
    );
  }

  #claim(value: PickleValue | undefined, what: string): number {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
      throw this.#file.corrupt(
        `Expected an integer ≥ 0 for ${what} but received ${describeValue(value)}`,
      );
    }
    return value;
  }

  #claims(value: PickleValue | undefined, what: string): number[] {
    if (!(value instanceof Tuple)) throw this.#file.corrupt(`Expected a tuple for ${what}`);
    // Check before copying: many tensors may name the same long tuple.
    if (value.items.length > maxDimensions) {
      throw checkpointError(
        this.#file,
        "CHECKPOINT_LIMIT",
        `Expected at most ${maxDimensions} dimensions for ${what} but received ${value.items.length}`,
      );
    }
    return value.items.map((item) => this.#claim(item, what));
  }

  #checkGradient(value: PickleValue | undefined): void {
    if (value !== undefined && typeof value !== "boolean")
      throw this.#file.corrupt(
        `Expected a boolean for a tensor's requires_grad but received ${describeValue(value)}`,
      );
  }
}

/** Copies the items that a defaultdict or a Counter begins with. */
function copyOf(items: PickleValue | undefined): Dict {
  const dict = new Dict(true);
  if (items instanceof Dict) for (const [key, value] of items.entries) dict.entries.set(key, value);
  return dict;
}

/** Names an unsupported tensor by its storage's type if it has one, else by its function. */
function unsupported(name: string, storage: PickleValue | undefined): UnsupportedTensor {
  return new UnsupportedTensor(storage instanceof StorageReference ? storage.type.name : name);
}
