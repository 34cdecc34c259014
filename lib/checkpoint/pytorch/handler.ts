// The names that PyTorch's pickles may use, and the values of their calls and of their persistent ids.
import { describe } from "../../check.js";
import type { DType } from "../../dtype.js";
import { maxDimensions } from "../checkpoint.js";
import { type CheckpointFile, checkpointError } from "../file.js";
import type { PickleHandler } from "./pickle.js";
import { Dict, describeValue, isHashable, Name, type PickleValue, Tuple } from "./pickle-values.js";
import { StorageReference, TensorReference } from "./references.js";

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

  isAllowed(name: string): boolean {
    if (unsupportedTypes.test(name) && !Object.hasOwn(dtypeNames, name)) {
      throw checkpointError(
        this.#file,
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
  }

  reduce(name: string, args: readonly PickleValue[]): PickleValue | undefined {
    const file = this.#file;
    const [least, most] = Object.hasOwn(arities, name) ? arities[name]! : [0, args.length];
    if (args.length < least || args.length > most)
      throw file.corrupt(`Expected ${least} to ${most} arguments of ${name}`);
    switch (name) {
      case "collections.OrderedDict":
        return this.#orderedDict(args[0]);
      case "torch._utils._rebuild_tensor":
      case "torch._utils._rebuild_tensor_v2":
        this.#checkGradient(args[4]);
        return this.#tensor(args);
      case "torch._utils._rebuild_tensor_v3": {
        this.#checkGradient(args[4]);
        const dtype = args[6] instanceof Name ? dtypeNames[args[6].name] : undefined;
        if (dtype === undefined) throw file.corrupt("Expected a dtype for a tensor");
        return this.#tensor(args, dtype);
      }
      case "torch._utils._rebuild_parameter":
      case "torch._utils._rebuild_parameter_with_state":
        if (!(args[0] instanceof TensorReference))
          throw file.corrupt("Expected a tensor for a parameter");
        return args[0];
      case "torch.Size":
        if (args[0] !== undefined) this.#claims(args[0], "a Size");
        return args[0] ?? new Tuple([]);
      case "torch.device":
      case "builtins.set":
      case "__builtin__.set":
        return args[0] ?? new Tuple([]);
      default:
        return undefined;
    }
  }

  persistent(id: PickleValue): StorageReference {
    const file = this.#file;
    const items = id instanceof Tuple ? id.items : [];
    const [kind, type, key, device, elements, view] = items;
    if (kind !== "storage" || !(type instanceof Name) || typeof key !== "string") {
      throw checkpointError(
        file,
        "CHECKPOINT_UNSAFE",
        `Expected a storage for a persistent id but received ${describeValue(kind)}`,
      );
    }
    if (items.length !== this.#itemCount || typeof device !== "string")
      throw file.corrupt(
        `Expected ${this.#itemCount} items, a device with them, for storage ${key}`,
      );
    if (!/^\d{1,20}$/.test(key))
      throw file.corrupt(`Expected a number for a storage's key but received ${describe(key)}`);
    const dtype = storageTypes[type.name];
    if (dtype === undefined && type.name !== untypedStorage) {
      throw file.corrupt(`Expected a storage's type but received ${type.name}`);
    }
    const count = this.#claim(elements, `the elements of storage ${key}`);
    let viewOffset = 0;
    if (view !== undefined && view !== null) {
      if (!(view instanceof Tuple) || view.items.length !== 3)
        throw file.corrupt(`Expected a key, an offset and a size for a view of storage ${key}`);
      viewOffset = this.#claim(view.items[1], `the offset of storage ${key}`);
    }
    const before = this.storages.get(key);
    if (before !== undefined && (before.dtype !== dtype || before.elements !== count)) {
      throw file.corrupt(`Expected storage ${key} to be the same each time it is named`);
    }
    const reference = new StorageReference(key, dtype, count, viewOffset);
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

  #tensor(args: readonly PickleValue[], dtype?: DType): TensorReference {
    const file = this.#file;
    const [storage, offset, shape, strides] = args;
    if (!(storage instanceof StorageReference))
      throw file.corrupt("Expected a storage for a tensor");
    const own = dtype ?? storage.dtype;
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
