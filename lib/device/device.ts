// Where the work happens: devices, what is known of them, and tensors that live on them.

import { checkInteger, formatShape, rangeError, readOptions, typeError } from "../check.js";
import { arrayTypeOf, type DType, dtypes } from "../dtype.js";
import { awaitNative, callNative, VggError } from "../errors.js";
import { gpuCacheFolder } from "../files/cache-folder.js";
import type { NativeDevice, NativeMemory, NativeReservation } from "../native/addon.js";
import { native } from "../native/load.js";
import { inTurn, Line, mustWait, waitWithCopies } from "../order.js";
import { markCopy } from "../realm.js";
import { byteCount, checkShape, checkTensor, nativeData, Tensor } from "../tensor.js";
import { cpuInfo, type DeviceInfo, gpuInfos } from "./diagnosis.js";

export type DeviceId = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/** Devices opened with the same options are one device: the same memory, the same threads. */
export interface DeviceOptions {
  /** CPU only. Default: the cores that the process may use. */
  threads?: number;
  /** CPU only. Default: the best that the machine has. */
  instructionSet?: "avx512" | "avx2" | "x86-64-v2" | "neon";
  /** GPU only: the same bits in each process, for less speed: algorithms are not chosen by time. Default: false. */
  deterministic?: boolean;
  /**
   * How many bytes calls may copy through this handle and leave waiting. Default: a bound that handles of the device share,
   * a quarter of the memory that is available when it opens.
   */
  maxQueuedBytes?: number;
}

/** Bytes in use on a device by all models of this process. */
export interface MemoryStats {
  readonly parameterBytes: number;
  readonly activationBytes: number;
  readonly tensorBytes: number;
  /** On the host: what calls have copied, through the handles that share this bound, for work that waits or runs. */
  readonly queuedBytes: number;
  /** Beyond it a call that copies rejects with QUEUE_FULL. */
  readonly maxQueuedBytes: number;
}

/**
 * @param id "auto": a GPU that works, else the CPU; also where the GPU was lost earlier in this process
 * @throws {TypeError|RangeError} no such id, thread count or instruction set
 * @throws {VggError} LIBRARY_MISSING, DEVICE_UNAVAILABLE, DEVICE_LOST with the reason; UNSUPPORTED instruction set or GPU;
 * OUT_OF_MEMORY; ADDON_MISSING
 */
export async function openDevice(
  id: DeviceId = "auto",
  options: DeviceOptions = {},
): Promise<Device> {
  const expected = '"auto", "cpu", "cuda" or "cuda:N"';
  if (typeof id !== "string") throw typeError(expected, "device", id);
  if (!/^(auto|cpu|cuda(:\d{1,3})?)$/.test(id)) throw rangeError(expected, "device", id);
  const known = ["threads", "instructionSet", "deterministic", "maxQueuedBytes"];
  const given = readOptions(options, "options", known);
  const { threads, instructionSet, deterministic = false, maxQueuedBytes } = given;
  if (threads !== undefined) checkInteger(threads, "options.threads", 1, 1024);
  if (instructionSet !== undefined && typeof instructionSet !== "string") {
    throw typeError("a string", "options.instructionSet", instructionSet);
  }
  if (typeof deterministic !== "boolean")
    throw typeError("a boolean", "options.deterministic", deterministic);
  if (maxQueuedBytes !== undefined)
    checkInteger(maxQueuedBytes, "options.maxQueuedBytes", 1, Number.MAX_SAFE_INTEGER);
  const openCpu = () =>
    new Device(
      cpuInfo(),
      callNative(() => native().openCpu(threads ?? 0, instructionSet ?? "", maxQueuedBytes ?? 0)),
    );
  if (id === "cpu") return openCpu();
  try {
    return await openGpu(Number(id.split(":")[1] ?? 0), deterministic, maxQueuedBytes ?? 0);
  } catch (error) {
    // Whatever keeps the GPU from working: `diagnose` says it.
    if (id === "auto" && error instanceof VggError && error.code !== "ADDON_MISSING")
      return openCpu();
    throw error;
  }
}

async function openGpu(
  ordinal: number,
  deterministic: boolean,
  maxQueuedBytes: number,
): Promise<Device> {
  const options = { cacheFolder: gpuCacheFolder(), deterministic, maxQueuedBytes };
  const opened = await awaitNative(() => native().openCuda(ordinal, options));
  return new Device(gpuInfos()[ordinal]!, opened, deterministic);
}

/** A place where graphs run. Everything asked of it happens in order on its own thread. */
export class Device {
  static {
    markCopy(Device);
  }

  readonly info: DeviceInfo;
  #native: NativeDevice | null;

  readonly #isDeterministic: boolean;

  /** @internal Use `openDevice`. */
  constructor(info: DeviceInfo, device: NativeDevice, isDeterministic = false) {
    this.#native = device;
    this.#isDeterministic = isDeterministic;
    const { threads, instructionSet, precisions } = callNative(() => device.info());
    this.info =
      info.kind === "cpu"
        ? { ...info, threads, instructionSets: [instructionSet], precisions }
        : info;
  }

  get id(): string {
    return this.info.id;
  }

  get kind(): "cpu" | "cuda" {
    return this.info.kind;
  }

  get name(): string {
    return this.info.name;
  }

  /** Whether two handles stand for one device: the same memory and the same threads. */
  isSameAs(other: Device): boolean {
    return `${this}` === `${other}`;
  }

  toString(): string {
    const { id, threads, instructionSets = [] } = this.info;
    if (this.kind === "cuda") return this.#isDeterministic ? `${id} (deterministic)` : id;
    return `${id} (${threads} threads, ${instructionSets.join(", ")})`;
  }

  /** @internal @throws {VggError} DISPOSED */
  get native(): NativeDevice {
    if (this.#native === null)
      throw new VggError("DISPOSED", `Expected a live device but ${this.id} was disposed`);
    return this.#native;
  }

  /** @throws {VggError} DISPOSED */
  memoryStats(): MemoryStats {
    return callNative(() => this.native.memoryStats());
  }

  /** Lets go of the device. Models and tensors on it go on; nothing new can be made on it. Twice is nothing. */
  dispose(): void {
    this.#native = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A tensor in a device's memory: input or output of `forward` without a copy through JavaScript. */
export class DeviceTensor {
  static {
    markCopy(DeviceTensor);
  }

  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly device: Device;
  /** @internal What reads or writes the memory passes through here. */
  readonly line = new Line();
  #native: NativeDevice;
  #memory: NativeMemory;
  #isDisposed = false;

  private constructor(device: Device, shape: readonly number[], dtype: DType) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.#native = device.native;
    this.#memory = callNative(() => this.#native.allocate(byteCount(shape, dtype)));
  }

  /**
   * Uninitialised memory on the device.
   * @throws {TypeError|RangeError} no Device, invalid shape or dtype
   * @throws {VggError} OUT_OF_MEMORY, DISPOSED
   */
  static allocate(
    device: Device,
    shape: readonly number[],
    dtype: DType = "float32",
  ): DeviceTensor {
    if (!(device instanceof Device)) throw typeError("a Device", "device", device);
    const checked = checkShape(shape, "shape");
    if (!dtypes.includes(dtype)) throw rangeError(`one of ${dtypes.join(", ")}`, "dtype", dtype);
    return new DeviceTensor(device, checked, dtype);
  }

  /** @internal @throws {VggError} DISPOSED */
  get memory(): NativeMemory {
    if (this.#isDisposed)
      throw new VggError("DISPOSED", `Expected a live DeviceTensor but ${this} was disposed`);
    return this.#memory;
  }

  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /**
   * Copies a tensor of the same shape and dtype to the device. The data are read before this returns.
   * @throws {TypeError|RangeError} another shape or dtype @throws {VggError} DISPOSED, QUEUE_FULL, OUT_OF_MEMORY
   */
  async write(tensor: Tensor): Promise<void> {
    checkTensor(tensor, "tensor", this.dtype);
    if (formatShape(tensor.shape) !== formatShape(this.shape)) {
      throw rangeError(`shape ${formatShape(this.shape)}`, "tensor", tensor.shape);
    }
    const { memory } = this;
    const data = nativeData(tensor, "tensor");
    const start = (data: NodeJS.TypedArray, reservation: NativeReservation | null) =>
      awaitNative(() => memory.write(data, reservation));
    await (mustWait([this.line])
      ? waitWithCopies([this.line], this.#native, [data], ([copy], taken) => start(copy!, taken))
      : start(data, null));
  }

  /** A copy in JavaScript's memory, made after all that was asked of the device before. @throws {VggError} DISPOSED */
  async read(): Promise<Tensor> {
    const { memory } = this;
    const bytes = await inTurn(this.line, () => awaitNative(() => memory.read()));
    return new Tensor(this.shape, new (arrayTypeOf(this.dtype))(bytes), this.dtype);
  }

  /** Frees the memory when the work that uses it is done. Twice is nothing. */
  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    void inTurn(this.line, async () => this.#memory.dispose());
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `DeviceTensor ${formatShape(this.shape)} ${this.dtype} on ${this.device.id}`;
  }
}
