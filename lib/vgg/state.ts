// The state of a model under torchvision's names: the parameters on the device, and the counters that are not there.
import { formatShape, rangeError, typeError } from "../check.js";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { LazyTensor } from "../checkpoint/safetensors.js";
import type { Device } from "../device/device.js";
import type { Progress } from "../download/download.js";
import { arrayTypeOf, type DType, type Precision } from "../dtype.js";
import { VggError } from "../errors.js";
import { ParameterStore } from "../graph/parameter-store.js";
import { nearest } from "../suggestion.js";
import { elementCount, parameterDtypes, Tensor } from "../tensor.js";
import { type ParameterEntry, type ParameterInfo, parameterTable } from "./parameters.js";
import {
  checkParameter,
  matchStateDict,
  type ParameterTensor,
  type StateDict,
  type StateDictDifference,
} from "./state-dict.js";
import type { Topology } from "./topology.js";
import type { IdentifiedWeights } from "./weight-names.js";

/** Returns a function that passes pieces on and reports how many bytes of all tensors have passed. */
function readingProgress(
  tensors: readonly StoredTensor[],
  onProgress: (progress: Progress) => void,
): (pieces: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> {
  const bytes = ({ shape, dtype }: StoredTensor) =>
    elementCount(shape) * arrayTypeOf(dtype).BYTES_PER_ELEMENT;
  const totalBytes = tensors.reduce((sum, tensor) => sum + bytes(tensor), 0);
  let receivedBytes = 0;
  return async function* (pieces) {
    for await (const piece of pieces) {
      yield piece;
      receivedBytes += piece.byteLength;
      onProgress({ receivedBytes, totalBytes, isReading: true });
    }
  };
}

export class ModelState {
  readonly store: ParameterStore;
  readonly #arch: string;
  readonly #table: ReadonlyMap<string, ParameterEntry>;
  /** The entries that no layer reads (num_batches_tracked). An array is replaced, never changed. */
  readonly #counters = new Map<string, BigInt64Array<ArrayBuffer>>();

  constructor(device: Device, topology: Topology, precision: Precision) {
    const table = parameterTable(topology);
    this.#arch = topology.arch;
    this.#table = new Map(table.map((entry) => [entry.name, entry]));
    for (const { name, dtype } of table)
      if (dtype === "int64") this.#counters.set(name, BigInt64Array.of(0n));
    this.store = new ParameterStore(
      device,
      table.filter(({ dtype }) => dtype === "float32"),
      precision,
    );
  }

  /** Initialises all parameters. Entry i of the table is drawn from stream i of the seed. */
  async initialize(seed: number): Promise<void> {
    const entries = [...this.#table.values()];
    await Promise.all(
      entries.map(({ name, dtype, initialization }, stream) => {
        if (dtype !== "float32") return undefined;
        if (initialization.kind === "constant") return this.store.fill(name, initialization.value);
        return this.store.fillNormal(name, initialization.standardDeviation, seed, stream);
      }),
    );
  }

  /**
   * Reads and packs a checkpoint piece by piece.
   * @param onProgress hears how many bytes of the parameters were read
   * @throws {VggError} CHECKPOINT_, OUT_OF_MEMORY, DISPOSED; what `onProgress` throws
   */
  async loadCheckpoint(
    checkpoint: Checkpoint,
    { tensors }: IdentifiedWeights,
    onProgress: ((progress: Progress) => void) | undefined,
  ): Promise<void> {
    const read = [...tensors].flatMap(([name, stored]) =>
      this.#counters.has(name) ? [] : [stored],
    );
    const counted = onProgress && readingProgress(read, onProgress);
    for (const [name, stored] of tensors) {
      if (this.#counters.has(name)) {
        const { data, dtype } = await checkpoint.read(stored);
        if (dtype === "int64" && data.length === 1)
          this.#counters.set(name, BigInt64Array.of(data[0]!));
        continue;
      }
      if (!parameterDtypes.includes(stored.dtype)) {
        throw new VggError(
          "CHECKPOINT_UNSUPPORTED",
          `${checkpoint.file.path}: Expected dtype ${parameterDtypes.join(", ")} for ${name} but received ${stored.dtype}`,
        );
      }
      const pieces = checkpoint.chunks(stored);
      await this.store.setPieces(name, stored.dtype, counted?.(pieces) ?? pieces);
    }
    await checkpoint.file.checkUnchanged();
  }

  get parameterCount(): number {
    let count = 0;
    for (const { isTrainable, shape } of this.#table.values())
      if (isTrainable) count += elementCount(shape);
    return count;
  }

  *infos(): IterableIterator<ParameterInfo> {
    for (const { name, shape, dtype, isTrainable } of this.#table.values())
      yield { name, shape, dtype, isTrainable };
  }

  async get(name: string): Promise<ParameterTensor> {
    const { dtype } = this.#entry(name);
    if (dtype === "int64") return new Tensor([], this.#counters.get(name)!.slice());
    return this.store.get(name);
  }

  async set(name: string, given: unknown): Promise<void> {
    const entry = this.#entry(name);
    const tensor = checkParameter(entry, given);
    if (formatShape(tensor.shape) !== formatShape(entry.shape)) {
      throw new RangeError(
        `Expected shape ${formatShape(entry.shape)} for ${name} but received ${formatShape(tensor.shape)}`,
      );
    }
    await this.#write([[name, tensor]]);
  }

  /** Replaces all parameters in one step. */
  async load(tensors: StateDict, strict: boolean): Promise<StateDictDifference> {
    const { fitting, difference } = matchStateDict(this.#arch, this.#table, tensors, strict);
    await this.#write(fitting);
    return difference;
  }

  /**
   * Calls `use` with a snapshot of every entry. It includes the writes of earlier calls and of no later ones. Each
   * entry can be read once, until `use` has ended.
   */
  async hold<T>(use: (entries: ReadonlyMap<string, LazyTensor>) => Promise<T>): Promise<T> {
    const counters = new Map(this.#counters);
    const held = this.store.hold();
    const read = async (name: string): Promise<ParameterTensor> => {
      const counter = counters.get(name);
      return counter === undefined
        ? this.store.readHeld(held, name)
        : new Tensor([], counter.slice());
    };
    try {
      const entries = [...this.#table.values()].map(
        ({ name, shape, dtype }) => [name, { shape, dtype, read: () => read(name) }] as const,
      );
      return await use(new Map(entries));
    } finally {
      await held.dispose();
    }
  }

  /** Copies every entry, as `hold` gives it. */
  async tensors(): Promise<Map<string, ParameterTensor>> {
    return this.hold(async (entries) => {
      const tensors = new Map<string, ParameterTensor>();
      for (const [name, entry] of entries)
        tensors.set(name, (await entry.read()) as ParameterTensor);
      return tensors;
    });
  }

  async dispose(): Promise<void> {
    await this.store.dispose();
  }

  async #write(entries: readonly (readonly [string, Tensor<DType>])[]): Promise<void> {
    const isCounter = ([name]: readonly [string, Tensor<DType>]) => this.#counters.has(name);
    const written = this.store.write(entries.filter((entry) => !isCounter(entry)));
    const replaced = entries.filter(isCounter).map(([name, { data }]) => {
      const before = this.#counters.get(name)!;
      const now = BigInt64Array.of((data as BigInt64Array)[0]!);
      this.#counters.set(name, now);
      return { name, before, now };
    });
    try {
      await written;
    } catch (error) {
      // Nothing was written, so restore the counters that no later call has replaced.
      for (const { name, before, now } of replaced)
        if (this.#counters.get(name) === now) this.#counters.set(name, before);
      throw error;
    }
  }

  #entry(name: string): ParameterEntry {
    if (typeof name !== "string") throw typeError("the name of a parameter", "name", name);
    const entry = this.#table.get(name);
    if (entry === undefined) {
      const { message } = rangeError(`the name of a parameter of ${this.#arch}`, "name", name);
      // A layer's number is no slip of the finger.
      const isFormed = /^\w+\.\d+\.(weight|bias|running_mean|running_var)$/.test(name);
      const close = isFormed ? undefined : nearest(name, [...this.#table.keys()]);
      throw new RangeError(close === undefined ? message : `${message}; did you mean "${close}"?`);
    }
    return entry;
  }
}
