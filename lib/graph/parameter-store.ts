// Parameters on a device, by name: packed once, read by one or more graphs.
import { checkInteger, checkOneOf, formatShape, rangeError, typeError } from "../check.js";
import { Device } from "../device.js";
import { type Precision, precisions } from "../diagnosis.js";
import { awaitNative, callNative } from "../errors.js";
import type { NativeParameters } from "../native.js";
import { markCopy } from "../realm.js";
import {
  arrayTypeOf,
  checkFloatTensor,
  checkShape,
  type DType,
  nativeData,
  Tensor,
} from "../tensor.js";
import { Gate } from "./gate.js";
import type { ParameterRecord } from "./ops.js";

/** The parameters of one or more graphs on one device, by name. */
export class ParameterStore {
  static {
    markCopy(ParameterStore);
  }

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
