// Parameters on a device, by name. They are packed once and read by one or more graphs.
import { types } from "node:util";
import {
  checkInteger,
  checkOneOf,
  checkSignal,
  formatShape,
  optionOf,
  rangeError,
  readOptions,
  typeError,
} from "../check.js";
import { Device } from "../device/device.js";
import { arrayTypeOf, type DType, type Precision, precisions, type TensorData } from "../dtype.js";
import { awaitNative, callNative } from "../errors.js";
import type { NativeDevice, NativeParameters, NativeReservation } from "../native/addon.js";
import { asOneStep, inTurn, Line, mustWait, waitWithCopies } from "../order.js";
import { markCopy } from "../realm.js";
import { unlessAborted } from "../signal.js";
import {
  checkFloatTensor,
  checkShape,
  elementCount,
  nativeData,
  parameterDtypes,
  Tensor,
  tensorEntries,
} from "../tensor.js";
import { HeldParameters } from "./held-parameters.js";
import type { ParameterRecord } from "./ops.js";

/**
 * The parameters of one or more graphs on one device, by name.
 * @example
 * const parameters = new ParameterStore(device, record.parameters, "float16");
 * const graph = Graph.compile(device, record, parameters);
 */
export class ParameterStore {
  static {
    markCopy(ParameterStore);
  }

  /** The device that has the parameters. */
  readonly device: Device;
  /** The arithmetic of the graphs that read them. */
  readonly precision: Precision;
  /** The names and shapes. */
  readonly records: readonly ParameterRecord[];
  /** @internal The queue of calls that read or write the parameters. */
  readonly line = new Line();
  readonly #device: NativeDevice;
  #native: NativeParameters;
  #held = new Set<HeldParameters>();
  #indices: ReadonlyMap<string, number>;

  /**
   * @throws {TypeError|RangeError} no Device, no array of names and shapes, an unknown precision
   * @throws {VggError} UNSUPPORTED precision, DISPOSED device
   */
  constructor(
    device: Device,
    records: readonly ParameterRecord[],
    precision: Precision = "float32",
  ) {
    if (!(device instanceof Device)) throw typeError("a Device", "device", device);
    this.device = device;
    this.precision = checkOneOf(precision, "precision", precisions);
    this.records = checkRecords(records);
    this.#indices = new Map(this.records.map(({ name }, index) => [name, index]));
    this.#device = device.native;
    this.#native = callNative(() => this.#device.createParameters(this.records, precision));
  }

  /** @internal */
  get native(): NativeParameters {
    return this.#native;
  }

  /**
   * Returns the index of a parameter in `records`.
   * @throws {RangeError} no such parameter
   * @example const { shape } = parameters.records[parameters.index("weight")]!;
   */
  index(name: string): number {
    const index = typeof name === "string" ? this.#indices.get(name) : undefined;
    if (index === undefined) throw rangeError("the name of a parameter", "name", name);
    return index;
  }

  /**
   * Sets a parameter. Its numbers are copied before this returns.
   * @param tensor float32; or float64, float16 or bfloat16, which are converted to float32
   * @throws {TypeError|RangeError} unknown name, another dtype or shape
   * @throws {VggError} OUT_OF_MEMORY, QUEUE_FULL, DISPOSED
   * @example await parameters.set("bias", Tensor.zeros([64]));
   */
  async set(name: string, tensor: Tensor<DType>): Promise<void> {
    await this.write([[name, tensor]]);
  }

  /**
   * Sets several parameters in one step: no other call sees some new and some old.
   * @param tensors a Map or an object
   * @throws {TypeError|RangeError} as `set` @throws {VggError} as `set`; nothing was written
   * @example await parameters.setAll({ weight: Tensor.randn([10, 64]), bias: Tensor.zeros([10]) });
   */
  async setAll(
    tensors: ReadonlyMap<string, Tensor<DType>> | Readonly<Record<string, Tensor<DType>>>,
  ): Promise<void> {
    await this.write([...tensorEntries(tensors, "tensors")]);
  }

  /** @internal Does what `setAll` does, but throws synchronously if the work cannot be submitted. */
  write(entries: readonly (readonly [string, Tensor<DType>])[]): Promise<void> {
    const indices = entries.map(([name]) => this.index(name));
    const tensors = entries.map(([name, given]) => checkFloatTensor(given, name));
    const arrays = entries.map(([name], entry) => {
      this.checkShape(name, tensors[entry]!.shape);
      return nativeData(tensors[entry]!, name);
    });
    const dtypes = tensors.map(({ dtype }) => dtype);
    const start = (data: readonly NodeJS.TypedArray[], reservation: NativeReservation | null) =>
      this.#native.write(indices, data, dtypes, 0, true, reservation);
    if (!mustWait([this.line])) {
      const written = callNative(() => start(arrays, null));
      return awaitNative(() => written);
    }
    return waitWithCopies([this.line], this.#device, arrays, (copies, reservation) =>
      awaitNative(() => start(copies, reservation)),
    );
  }

  /**
   * Sets a parameter from the tensor's bytes, piece by piece. It reads the first piece when all earlier calls have been
   * submitted. Later calls of these parameters wait until the last piece is written. It holds two pieces at a time,
   * which do not count towards the queue's limit. If it fails, the pieces before the failure stay written.
   * @param pieces Uint8Arrays of whole elements; together they are all elements of the parameter
   * @throws {TypeError|RangeError} unknown name, another dtype, not an iterable, pieces of another type or size
   * @throws {VggError} OUT_OF_MEMORY, DISPOSED; what `pieces` throws; or the reason of `signal`
   * @example await parameters.setPieces("weight", "float32", createReadStream("weight.bin"));
   */
  async setPieces(
    name: string,
    dtype: DType,
    pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: {
      /** Ends the wait for a piece. The call rejects with the signal's reason. */
      signal?: AbortSignal | undefined;
    } = {},
  ): Promise<void> {
    const index = this.index(name);
    checkOneOf(dtype, "dtype", parameterDtypes);
    const { signal } = readOptions(options, "options", ["signal"]);
    checkSignal(signal);
    const isIterable = typeof pieces === "object" && pieces !== null;
    if (!isIterable || !(Symbol.asyncIterator in pieces || Symbol.iterator in pieces))
      throw typeError("an iterable of Uint8Arrays", "pieces", pieces);
    await asOneStep(this.line, () => this.#writePieces(index, dtype, pieces, signal));
  }

  async #writePieces(
    index: number,
    dtype: DType,
    pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { shape } = this.records[index]!;
    const total = elementCount(shape);
    let first = 0;
    let writing: Promise<void> = Promise.resolve();
    try {
      for await (const piece of untilAborted(pieces, signal)) {
        const data = elementsOf(piece, dtype);
        if (data.length > total - first)
          throw rangeError(`${total} elements in all`, "pieces", first + data.length);
        await writing;
        const at = first;
        writing = awaitNative(() => this.#native.write([index], [data], [dtype], at, false, null));
        writing.catch(() => {}); // awaited by the next piece or below
        first += data.length;
      }
      if (first < total) throw rangeError(`${total} elements in all`, "pieces", first);
    } finally {
      await writing;
    }
  }

  /**
   * Checks a parameter's shape.
   * @throws {RangeError} unknown name, or it has another shape
   * @example parameters.checkShape("bias", [64]);
   */
  checkShape(name: string, shape: readonly number[]): void {
    const expected = formatShape(this.records[this.index(name)]!.shape);
    if (formatShape(shape) !== expected)
      throw new RangeError(
        `Expected shape ${expected} for ${name} but received ${formatShape(shape)}`,
      );
  }

  /**
   * Copies a parameter, as float32.
   * @throws {RangeError} unknown name @throws {VggError} MISSING_PARAMETER, OUT_OF_MEMORY, DISPOSED
   * @example const { data } = await parameters.get("bias");
   */
  async get(name: string): Promise<Tensor> {
    const index = this.index(name);
    const bytes = await inTurn(this.line, () => awaitNative(() => this.#native.read(index)));
    return new Tensor(this.records[index]!.shape, new Float32Array(bytes));
  }

  /**
   * Copies all parameters, as they are after all earlier calls and before all later ones.
   * @throws {VggError} MISSING_PARAMETER, OUT_OF_MEMORY, DISPOSED
   * @example await writeSafetensors("weights.safetensors", await parameters.getAll());
   */
  async getAll(): Promise<Map<string, Tensor>> {
    const held = this.hold();
    try {
      const tensors = new Map<string, Tensor>();
      for (const { name } of this.records) tensors.set(name, await this.readHeld(held, name));
      return tensors;
    } finally {
      await held.dispose();
    }
  }

  /** @internal Takes a snapshot at this point in the order of calls; the caller disposes it. */
  hold(): HeldParameters {
    const held = new HeldParameters(
      inTurn(this.line, async () => callNative(() => this.#native.hold())),
    );
    this.#held.add(held);
    void held.ended.then(() => this.#held.delete(held));
    return held;
  }

  /** @internal Reads a parameter of a snapshot; call it once for each name. */
  async readHeld(held: HeldParameters, name: string): Promise<Tensor> {
    const index = this.index(name);
    const { shape } = this.records[index]!;
    return new Tensor(shape, await held.read(index, elementCount(shape)));
  }

  /**
   * Sets every element to one value.
   * @throws {TypeError|RangeError} unknown name, not a number
   * @example await parameters.fill("bias", 0);
   */
  async fill(name: string, value: number): Promise<void> {
    const index = this.index(name);
    if (typeof value !== "number") throw typeError("a number", "value", value);
    await inTurn(this.line, () => awaitNative(() => this.#native.fill(index, value)));
  }

  /**
   * Fills a parameter with numbers of N(0, standardDeviation²). Streams of one seed give different numbers.
   * @throws {TypeError|RangeError} unknown name; the deviation is not finite; the seed or stream is not an integer ≥ 0
   * @example await parameters.fillNormal("weight", Math.sqrt(2 / 576), 1);
   */
  async fillNormal(name: string, standardDeviation: number, seed = 0, stream = 0): Promise<void> {
    const index = this.index(name);
    if (!Number.isFinite(standardDeviation)) {
      throw rangeError("a finite number", "standardDeviation", standardDeviation);
    }
    checkInteger(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    checkInteger(stream, "stream", 0, 2 ** 32 - 1);
    await inTurn(this.line, () =>
      awaitNative(() => this.#native.fillNormal(index, standardDeviation, seed, stream)),
    );
  }

  /**
   * Frees the parameters when earlier calls have ended.
   * @example await parameters.dispose();
   */
  async dispose(): Promise<void> {
    const ended = [...this.#held].map((held) => held.ended);
    await inTurn(this.line, () => awaitNative(() => this.#native.dispose()));
    await Promise.all(ended);
  }
}

/** Checks and copies records. @throws {TypeError|RangeError} not an array of names and shapes, or a duplicate name */
function checkRecords(records: unknown): readonly ParameterRecord[] {
  if (!Array.isArray(records)) throw typeError("an array of parameters", "records", records);
  const names = new Set<string>();
  const checked = records.map((record, index): ParameterRecord => {
    const own = `records[${index}]`;
    if (typeof record !== "object" || record === null) throw typeError("an object", own, record);
    const name = optionOf(record as ParameterRecord, "name");
    const shape = optionOf(record as ParameterRecord, "shape");
    if (typeof name !== "string" || name === "") throw typeError("a name", `${own}.name`, name);
    if (names.has(name)) throw rangeError("a name not yet in use", `${own}.name`, name);
    names.add(name);
    return Object.freeze({ name, shape: checkShape(shape, `the shape of ${name}`) });
  });
  return Object.freeze(checked);
}

/** Yields the items of an iterable until the signal aborts; it then does not wait for a pending item. */
async function* untilAborted<T>(
  items: AsyncIterable<T> | Iterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  const iterator =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let isPending = false;
  try {
    for (;;) {
      isPending = true;
      const { done, value } = await unlessAborted(Promise.resolve(iterator.next()), signal);
      isPending = false;
      if (done === true) return;
      yield value;
    }
  } finally {
    const returned = Promise.resolve(iterator.return?.());
    if (isPending) returned.catch(() => {});
    else await returned;
  }
}

/** Views bytes as elements of a dtype; copies them if they are shared, or not aligned to its size. */
function elementsOf(piece: Uint8Array, dtype: DType): TensorData {
  if (!types.isUint8Array(piece)) throw typeError("a Uint8Array", "a piece", piece);
  const type = arrayTypeOf(dtype);
  const size = type.BYTES_PER_ELEMENT;
  if (piece.byteLength % size !== 0)
    throw rangeError(`a multiple of ${size} bytes`, "a piece", piece.byteLength);
  const isUsable = piece.byteOffset % size === 0 && !types.isSharedArrayBuffer(piece.buffer);
  const { buffer, byteOffset, byteLength } = isUsable ? piece : new Uint8Array(piece);
  return new type(buffer as ArrayBuffer, byteOffset, byteLength / size);
}
