// Devices, their options and statistics, and tensors in their memory.

import { bare, formatShape, privateConstructor, rangeError, typeError } from "../check.js";
import { arrayTypeOf, type DType, dtypes, type TensorData } from "../dtype.js";
import { awaitNative, callNative, VggError } from "../errors.js";
import { gpuCacheFolder } from "../files/cache-folder.js";
import { inspectKey } from "../inspect.js";
import type {
  NativeAddon,
  NativeDevice,
  NativeMemory,
  NativeReservation,
} from "../native/addon.js";
import { native } from "../native/load.js";
import { nvidiaAddon } from "../nvidia/sets/addon.js";
import { inTurn, Line, mustWait, waitWithCopies } from "../order.js";
import { markCopy } from "../realm.js";
import { byteCount, checkShape, checkTensor, nativeData, Tensor } from "../tensor.js";
import { cpuInfo, type DeviceInfo, gpuInfos } from "./diagnosis.js";
import {
  checkDeviceOptions,
  type DeviceId,
  type DeviceOptions,
  type MemoryStats,
  plansFolder,
} from "./options.js";

export type { DeviceId, DeviceOptions, MemoryStats };

/**
 * Opens a device.
 * @param id "auto": a GPU that works, else the CPU; also the CPU if the GPU was lost earlier in this process
 * @throws {TypeError|RangeError} no such id, thread count, instruction set or folder of plans
 * @throws {VggError} LIBRARY_MISSING, DEVICE_UNAVAILABLE, DEVICE_LOST with the reason; UNSUPPORTED instruction set or GPU;
 * OUT_OF_MEMORY; ADDON_MISSING
 * @example
 * const device = await openDevice("cpu", { threads: 2 });
 */
export async function openDevice(
  id: DeviceId = "auto",
  options: DeviceOptions = {},
): Promise<Device> {
  const expected = '"auto", "cpu", "cuda" or "cuda:N"';
  if (typeof id !== "string") throw typeError(expected, "device", id);
  if (!/^(auto|cpu|cuda(:\d{1,3})?)$/.test(id)) throw rangeError(expected, "device", id);
  const { threads, instructionSet, deterministic, plans, maxQueuedBytes } =
    checkDeviceOptions(options);
  const openCpu = () =>
    makeDevice(
      cpuInfo(),
      callNative(() => native().openCpu(threads ?? 0, instructionSet ?? "", maxQueuedBytes ?? 0)),
    );
  if (id === "cpu") return openCpu();
  const folder = await plansFolder(plans);
  try {
    const ordinal = Number(id.split(":")[1] ?? 0);
    return await openGpu(ordinal, deterministic, nothingForced, maxQueuedBytes ?? 0, folder);
  } catch (error) {
    // `diagnose` says why the GPU does not work.
    if (id === "auto" && error instanceof VggError && error.code !== "ADDON_MISSING")
      return openCpu();
    throw error;
  }
}

type NativeOptions = Parameters<NativeAddon["openCuda"]>[1];
type ForcedChoice = Pick<NativeOptions, "form" | "linear">;

const nothingForced: ForcedChoice = bare({ form: null, linear: null });

async function openGpu(
  ordinal: number,
  deterministic: boolean,
  { form, linear }: ForcedChoice,
  maxQueuedBytes: number,
  plansFolder: string,
): Promise<Device> {
  const cacheFolder = gpuCacheFolder();
  const options = { cacheFolder, plansFolder, deterministic, form, linear, maxQueuedBytes };
  const opened = await awaitNative(() => nvidiaAddon().openCuda(ordinal, options));
  const traits = [deterministic && "deterministic", form && `form ${form}`, linear];
  return makeDevice(gpuInfos()[ordinal]!, opened, traits.filter(Boolean).join(", "));
}

/** @internal The kernels of a GPU that run without being timed against others. */
export type ForcedKernels = Partial<ForcedChoice>;

/**
 * Opens a GPU with forced kernels, for comparing them (docs/gpu.md). The package does not export it.
 * @internal
 * @throws {RangeError} no such kernel @throws {VggError} as `openDevice`
 */
export function openForcedGpu(forced: ForcedKernels): Promise<Device> {
  return openGpu(0, false, bare({ ...nothingForced, ...forced }), 0, "");
}

let makeDevice: (info: DeviceInfo, device: NativeDevice, variant?: string) => Device;

/**
 * A device that runs graphs. It does all of its work in the order of the calls, on one thread.
 * @example
 * const device = await openDevice();
 * console.log(`${device.id}: ${device.name}, ${device.info.precisions.join(", ")}`);
 * const model = await Vgg.create("vgg11", { device });
 */
export class Device {
  static {
    markCopy(Device);
    makeDevice = (info, device, variant) => new Device(info, device, variant);
  }

  /** What the device is, and what it offers. */
  readonly info: DeviceInfo;
  #native: NativeDevice | null;

  /** How it differs from other devices of the same id. */
  readonly #variant: string;

  /** Use `openDevice`. */
  private constructor(info: DeviceInfo, device: NativeDevice, variant = "") {
    if (typeof info !== "object") throw privateConstructor('openDevice("auto")');
    this.#native = device;
    this.#variant = variant;
    const { threads, instructionSet, precisions } = callNative(() => device.info());
    this.info =
      info.kind === "cpu"
        ? { ...info, threads, instructionSets: [instructionSet], precisions }
        : info;
  }

  /** The id that opens it: "cpu" or "cuda:N". */
  get id(): string {
    return this.info.id;
  }

  /** The back end that does the work. */
  get kind(): "cpu" | "cuda" {
    return this.info.kind;
  }

  /** The name that its manufacturer gave the processor. */
  get name(): string {
    return this.info.name;
  }

  /**
   * Whether two handles share one device: the same memory and the same threads.
   * @example const isShared = device.isSameAs(await openDevice("cpu"));
   */
  isSameAs(other: Device): boolean {
    return `${this}` === `${other}`;
  }

  toString(): string {
    const { id, threads, instructionSets = [] } = this.info;
    if (this.kind === "cuda") return this.#variant === "" ? id : `${id} (${this.#variant})`;
    return `${id} (${threads} threads, ${instructionSets.join(", ")})`;
  }

  [inspectKey](): string {
    const { kind, name } = this.info;
    const about = kind === "cuda" ? `: ${name}` : "";
    return `Device ${this}${about}${this.#native === null ? ", disposed" : ""}`;
  }

  /** @internal @throws {VggError} DISPOSED */
  get native(): NativeDevice {
    if (this.#native === null)
      throw new VggError("DISPOSED", `Expected a live device but ${this.id} was disposed`);
    return this.#native;
  }

  /**
   * Returns the bytes in use.
   * @throws {VggError} DISPOSED
   * @example const { parameterBytes, queuedBytes } = device.memoryStats();
   */
  memoryStats(): MemoryStats {
    return callNative(() => this.native.memoryStats());
  }

  /**
   * Releases the handle. Its models and tensors still work; no new ones can be made. A second call does nothing.
   * @example device.dispose();
   */
  dispose(): void {
    this.#native = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * A tensor in a device's memory. As an input or output of `forward` it is not copied through JavaScript.
 * @example
 * const images = DeviceTensor.allocate(model.device, [8, 3, 224, 224]);
 * const logits = DeviceTensor.allocate(model.device, [8, 1000]);
 * await images.write(Tensor.randn([8, 3, 224, 224]));
 * await model.forward(images, { into: logits });
 * const { data } = await logits.read();
 */
export class DeviceTensor<D extends DType = "float32"> {
  static {
    markCopy(DeviceTensor);
  }

  /** Dimensions, the outermost first. */
  readonly shape: readonly number[];
  /** The type of the elements. */
  readonly dtype: D;
  /** The device that has the memory. */
  readonly device: Device;
  /** @internal The queue of all reads and writes of the memory. */
  readonly line = new Line();
  #native: NativeDevice;
  #memory: NativeMemory;
  #isDisposed = false;

  private constructor(device: Device, shape: readonly number[], dtype: D) {
    if (!(device instanceof Device))
      throw privateConstructor("DeviceTensor.allocate(device, shape)");
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.#native = device.native;
    this.#memory = callNative(() => this.#native.allocate(byteCount(shape, dtype)));
  }

  /**
   * Allocates uninitialised memory on the device.
   * @throws {TypeError|RangeError} not a Device, or an invalid shape or dtype
   * @throws {VggError} OUT_OF_MEMORY, DISPOSED
   * @example const images = DeviceTensor.allocate(device, [8, 3, 224, 224]);
   */
  static allocate<D extends DType = "float32">(
    device: Device,
    shape: readonly number[],
    dtype: D = "float32" as D,
  ): DeviceTensor<D> {
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

  /** Whether `dispose` was called. */
  get isDisposed(): boolean {
    return this.#isDisposed;
  }

  /**
   * Copies a tensor of the same shape and dtype to the device. The data are read before this returns.
   * @throws {TypeError|RangeError} another shape or dtype @throws {VggError} DISPOSED, QUEUE_FULL, OUT_OF_MEMORY
   * @example await deviceTensor.write(Tensor.zeros(deviceTensor.shape));
   */
  async write(tensor: Tensor<D>): Promise<void> {
    const given = checkTensor(tensor, "tensor", this.dtype);
    if (formatShape(given.shape) !== formatShape(this.shape)) {
      throw rangeError(`shape ${formatShape(this.shape)}`, "tensor", given.shape);
    }
    const { memory } = this;
    const data = nativeData(given, "tensor");
    const start = (data: NodeJS.TypedArray, reservation: NativeReservation | null) =>
      awaitNative(() => memory.write(data, reservation));
    await (mustWait([this.line])
      ? waitWithCopies([this.line], this.#native, [data], ([copy], taken) => start(copy!, taken))
      : start(data, null));
  }

  /**
   * Copies the tensor to JavaScript's memory, after all earlier calls on the device.
   * @throws {VggError} DISPOSED
   * @example const { shape, data } = await deviceTensor.read();
   */
  async read(): Promise<Tensor<D>> {
    const { memory } = this;
    const bytes = await inTurn(this.line, () => awaitNative(() => memory.read()));
    const data = new (arrayTypeOf(this.dtype))(bytes);
    return new Tensor<TensorData, DType>(this.shape, data, this.dtype) as Tensor<D>;
  }

  /**
   * Frees the memory when the work that uses it is done. A second call does nothing.
   * @example deviceTensor.dispose();
   */
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

  /**
   * Returns what `JSON.stringify` writes: shape, dtype and the device's id, without the elements.
   * @example console.log(JSON.stringify(deviceTensor));
   */
  toJSON(): { shape: readonly number[]; dtype: D; device: string } {
    return { shape: this.shape, dtype: this.dtype, device: this.device.id };
  }

  [inspectKey](): string {
    return `${this}${this.#isDisposed ? ", disposed" : ""}`;
  }
}
