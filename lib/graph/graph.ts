// A record on a device: parameters that are packed once, and one executable for each batch size asked for.
import {
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  formatShape,
  rangeError,
  typeError,
} from "../check.js";
import { Device, DeviceTensor } from "../device.js";
import { type Precision, precisions } from "../diagnosis.js";
import { awaitNative, callNative, VggError } from "../errors.js";
import { type NativeGraph, type NativeMemory, type NativeParameters, native } from "../native.js";
import {
  arrayTypeOf,
  checkFloatTensor,
  checkShape,
  type DType,
  nativeData,
  Tensor,
} from "../tensor.js";
import { checkRecord } from "./builder.js";
import { Gate } from "./gate.js";
import type { GraphRecord, ParameterRecord } from "./ops.js";

/** The parameters of one or more graphs on one device, by name. */
export class ParameterStore {
  readonly device: Device;
  /** How the graphs that read them compute. */
  readonly precision: Precision;
  readonly records: readonly ParameterRecord[];
  /** @internal What reads or writes the parameters passes through here. */
  readonly gate = new Gate();
  #native: NativeParameters;
  #indices: ReadonlyMap<string, number>;

  /**
   * @throws {TypeError|RangeError} no Device, an invalid shape, an unknown precision
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
    this.records = records.map(({ name, shape }) => ({
      name,
      shape: checkShape(shape, `the shape of ${name}`),
    }));
    this.#indices = new Map(this.records.map(({ name }, index) => [name, index]));
    this.#native = callNative(() => device.native.createParameters(this.records, precision));
  }

  /** @internal */
  get native(): NativeParameters {
    return this.#native;
  }

  /** @throws {RangeError} no such parameter */
  index(name: string): number {
    const index = typeof name === "string" ? this.#indices.get(name) : undefined;
    if (index === undefined) throw rangeError("the name of a parameter", "name", name);
    return index;
  }

  /**
   * The numbers are read before this returns.
   * @param tensor float32, or float64, float16 or bfloat16, which become float32
   * @throws {TypeError|RangeError} unknown name, another dtype or shape @throws {VggError} OUT_OF_MEMORY, DISPOSED
   */
  async set(name: string, tensor: Tensor): Promise<void> {
    const index = this.index(name);
    checkFloatTensor(tensor, name);
    this.checkShape(name, tensor.shape);
    const write = () => this.#native.write(index, nativeData(tensor, name), tensor.dtype, 0);
    await this.gate.after(() => awaitNative(write));
  }

  /**
   * Like `set`, with the tensor's bytes piece by piece, each of whole elements: one is packed while the next is read.
   * @throws {VggError} OUT_OF_MEMORY, DISPOSED; and what `pieces` throws
   */
  async setPieces(
    name: string,
    dtype: DType,
    pieces: AsyncIterable<Uint8Array<ArrayBuffer>>,
  ): Promise<void> {
    const index = this.index(name);
    let first = 0;
    let writing: Promise<void> = Promise.resolve();
    try {
      for await (const { buffer, byteOffset, byteLength } of pieces) {
        const type = arrayTypeOf(dtype);
        const data = new type(buffer, byteOffset, byteLength / type.BYTES_PER_ELEMENT);
        await writing;
        const at = first;
        writing = this.gate.after(() =>
          awaitNative(() => this.#native.write(index, data, dtype, at)),
        );
        writing.catch(() => {}); // awaited by the next piece or below
        first += data.length;
      }
    } finally {
      await writing;
    }
  }

  /** @throws {RangeError} unknown name, or it has another shape */
  checkShape(name: string, shape: readonly number[]): void {
    const expected = formatShape(this.records[this.index(name)]!.shape);
    if (formatShape(shape) !== expected)
      throw new RangeError(
        `Expected shape ${expected} for ${name} but received ${formatShape(shape)}`,
      );
  }

  /** @throws {RangeError} unknown name @throws {VggError} MISSING_PARAMETER, OUT_OF_MEMORY, DISPOSED */
  async get(name: string): Promise<Tensor> {
    const index = this.index(name);
    const bytes = await this.gate.after(() => awaitNative(() => this.#native.read(index)));
    return new Tensor(this.records[index]!.shape, new Float32Array(bytes));
  }

  /** Every element the same. @throws {TypeError|RangeError} unknown name, not a number */
  async fill(name: string, value: number): Promise<void> {
    const index = this.index(name);
    if (typeof value !== "number") throw typeError("a number", "value", value);
    await this.gate.after(() => awaitNative(() => this.#native.fill(index, value)));
  }

  /**
   * N(0, standardDeviation²) from a seed; `stream` tells parameters of one seed apart.
   * @throws {TypeError|RangeError} unknown name, a deviation that is not finite, a seed or stream that is no integer ≥ 0
   */
  async fillNormal(name: string, standardDeviation: number, seed = 0, stream = 0): Promise<void> {
    const index = this.index(name);
    if (!Number.isFinite(standardDeviation)) {
      throw rangeError("a finite number", "standardDeviation", standardDeviation);
    }
    checkInteger(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    checkInteger(stream, "stream", 0, 2 ** 32 - 1);
    await this.gate.after(() =>
      awaitNative(() => this.#native.fillNormal(index, standardDeviation, seed, stream)),
    );
  }

  async dispose(): Promise<void> {
    await this.gate.after(() => awaitNative(() => this.#native.dispose()));
  }
}

export interface RunOptions {
  /** Drops the run if it has not started, stops it between two layers if it has; it then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Outputs that go into memory of the device instead of a new Tensor, by name. */
  into?: Readonly<Record<string, DeviceTensor>>;
}

export class Graph {
  readonly device: Device;
  readonly record: GraphRecord;
  readonly parameters: ParameterStore;
  #native: NativeGraph;
  #disposal: Promise<void> | null = null;
  #ownsParameters: boolean;

  /** Makes a record ready for a device. @throws {VggError} DISPOSED */
  static compile(device: Device, record: GraphRecord, parameters?: ParameterStore): Graph {
    if (!(device instanceof Device)) throw typeError("a Device", "device", device);
    checkRecord(record);
    if (parameters !== undefined) {
      if (!(parameters instanceof ParameterStore))
        throw typeError("a ParameterStore", "parameters", parameters);
      if (!parameters.device.isSameAs(device)) {
        throw rangeError(`parameters on ${device}`, "parameters", `${parameters.device}`);
      }
      for (const { name, shape } of record.parameters) parameters.checkShape(name, shape);
    }
    return new Graph(device, record, parameters);
  }

  private constructor(device: Device, record: GraphRecord, parameters: ParameterStore | undefined) {
    this.device = device;
    this.record = record;
    this.#ownsParameters = parameters === undefined;
    this.parameters = parameters ?? new ParameterStore(device, record.parameters);
    const { values, rows } = record;
    const nativeRecord = {
      values,
      rows: this.#rows(rows),
      inputs: Object.values(record.inputs),
      outputs: Object.values(record.outputs),
    };
    this.#native = callNative(() =>
      device.native.createGraph(nativeRecord, this.parameters.native),
    );
  }

  /** Where the parameters are shared, a record's own numbering of them becomes that of the shared ones. */
  #rows(rows: GraphRecord["rows"]): GraphRecord["rows"] {
    if (this.#ownsParameters) return rows;
    const shared = this.record.parameters.map(({ name }) => this.parameters.index(name));
    const keys = ["weight", "bias", "mean", "variance"] as const;
    return rows.map((row) => {
      if (row.kind !== "conv2d" && row.kind !== "gemm" && row.kind !== "batchNorm") return row;
      const ids = keys.flatMap((key) => {
        const id = (row as Partial<Record<typeof key, number>>)[key];
        return id === undefined ? [] : [[key, shared[id]!] as const];
      });
      return { ...row, ...Object.fromEntries(ids) };
    });
  }

  /** Plans the memory and packs the weights for a batch size now rather than at its first run. */
  async prepare(batch: number): Promise<void> {
    checkInteger(batch, "batch", 1, 2 ** 31 - 1);
    this.#checkLive();
    await this.parameters.gate.after(() => awaitNative(() => this.#native.prepare(batch)));
  }

  /**
   * Runs the graph on the device's thread. Inputs in JavaScript's memory are copied before this returns, unless
   * 8 runs are under way: then it waits for its turn before it copies anything.
   * @param inputs by name, each (N, …) with the same N ≥ 1
   * @returns each output by name: a new Tensor, or the DeviceTensor of `into`
   * @throws {TypeError|RangeError} a missing or unknown input or output, another shape, dtype or device
   * @throws {VggError} DISPOSED, OUT_OF_MEMORY, MISSING_PARAMETER; or the reason of `signal`
   */
  async run(
    inputs: Readonly<Record<string, Tensor | DeviceTensor>>,
    options: RunOptions = {},
  ): Promise<Record<string, Tensor | DeviceTensor>> {
    this.#checkLive();
    checkOptions(options, "options", ["signal", "into"]);
    const { signal, into = {} } = options;
    checkSignal(signal);
    checkOptions(inputs, "inputs", Object.keys(this.record.inputs));
    let batch: number | undefined;
    const bound = Object.entries(this.record.inputs).map(([name, id]) => {
      const value = inputs[name];
      const { shape, dtype } = this.record.values[id]!;
      if (!(value instanceof Tensor) && !(value instanceof DeviceTensor)) {
        throw typeError("a Tensor or DeviceTensor", name, value);
      }
      batch ??= value.shape[0] ?? 0;
      return this.#bind(value, name, shape, dtype, batch);
    });
    checkOptions(into, "options.into", Object.keys(this.record.outputs));
    const targets = Object.entries(this.record.outputs).map(([name, id]) => {
      const target = into[name];
      if (target === undefined) return null;
      if (!(target instanceof DeviceTensor))
        throw typeError("a DeviceTensor", `options.into.${name}`, target);
      const { shape, dtype } = this.record.values[id]!;
      return this.#bind(target, `options.into.${name}`, shape, dtype, batch!) as NativeMemory;
    });
    signal?.throwIfAborted();
    const bind = () =>
      Object.entries(this.record.inputs).map(([name, id]) => {
        const { shape, dtype } = this.record.values[id]!;
        return this.#bind(inputs[name]!, name, shape, dtype, batch!);
      });
    // A run that had to wait looks at its inputs again: they may have been disposed or transferred meanwhile.
    let isNow = true;
    const running = this.parameters.gate.run(
      () => this.#await(batch!, isNow ? bound : bind(), targets, signal),
      signal,
    );
    isNow = false;
    const results = await running;
    return Object.fromEntries(
      Object.entries(this.record.outputs).map(([name, id], index) => {
        const bytes = results[index];
        if (!bytes) return [name, into[name]!];
        const { shape, dtype } = this.record.values[id]!;
        return [name, new Tensor([batch!, ...shape], new (arrayTypeOf(dtype))(bytes), dtype)];
      }),
    );
  }

  async #await(
    batch: number,
    inputs: readonly (NodeJS.TypedArray | NativeMemory)[],
    outputs: readonly (NativeMemory | null)[],
    signal: AbortSignal | undefined,
  ): Promise<(ArrayBuffer | null)[]> {
    if (signal === undefined)
      return awaitNative(() => this.#native.run(batch, inputs, outputs, null));
    const cancellation = new (native().Cancellation)();
    const abort = () => cancellation.cancel();
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await awaitNative(() => this.#native.run(batch, inputs, outputs, cancellation));
    } catch (error) {
      if (signal.aborted && error instanceof VggError && error.code === "ABORTED")
        throw signal.reason;
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  #bind(
    value: Tensor | DeviceTensor,
    name: string,
    shape: readonly number[],
    dtype: string,
    batch: number,
  ): NodeJS.TypedArray | NativeMemory {
    if (value.dtype !== dtype)
      throw new TypeError(`Expected dtype ${dtype} for ${name} but received ${value.dtype}`);
    const isFit =
      value.shape.length === shape.length + 1 &&
      value.shape.slice(1).every((d, axis) => d === shape[axis]);
    if (!isFit)
      throw new RangeError(
        `Expected shape ${formatShape(shape, "N")} for ${name} but received ${formatShape(value.shape)}`,
      );
    if (batch < 1)
      throw new RangeError(
        `Expected a batch of at least 1 image for ${name} but received ${formatShape(value.shape)}`,
      );
    if (value.shape[0] !== batch) throw rangeError(`a batch of ${batch}`, name, value.shape);
    if (value instanceof Tensor) return nativeData(value, name);
    if (!value.device.isSameAs(this.device))
      throw rangeError(`a DeviceTensor on ${this.device}`, name, `${value.device}`);
    return value.memory;
  }

  #checkLive(): void {
    if (this.#disposal !== null)
      throw new VggError("DISPOSED", "Expected a live graph but it was disposed");
  }

  /** Frees the graph when the runs asked for before have ended. Twice is nothing. */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await this.parameters.gate.after(() => awaitNative(() => this.#native.dispose()));
      if (this.#ownsParameters) await this.parameters.dispose();
    })();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
