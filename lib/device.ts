// Where the work happens: devices, what is known of them, and tensors that live on them.
import { createRequire } from "node:module";
import { cpus, totalmem } from "node:os";
import {
  checkInteger,
  checkOptions,
  describe,
  formatShape,
  rangeError,
  typeError,
} from "./check.js";
import { awaitNative, callNative, VggError } from "./errors.js";
import {
  type AddonReport,
  addonReport,
  type NativeDevice,
  type NativeMemory,
  native,
} from "./native.js";
import {
  arrayTypeOf,
  checkShape,
  checkTensor,
  type DType,
  dtypes,
  elementCount,
  nativeData,
  Tensor,
} from "./tensor.js";

export type Precision = "float32" | "tf32" | "float16" | "bfloat16" | "float8";
export const precisions = [
  "float32",
  "tf32",
  "float16",
  "bfloat16",
  "float8",
] as const satisfies Precision[];

export interface DeviceInfo {
  readonly id: string;
  readonly kind: "cpu" | "cuda";
  readonly name: string;
  readonly memoryBytes: number;
  readonly precisions: readonly Precision[];
  /** CPU only: the cores that this process may use, and the instruction sets of its kernels, the best first. */
  readonly threads?: number;
  readonly instructionSets?: readonly string[];
}

export type DeviceId = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/** For the CPU. Devices opened with the same options share their threads. */
export interface CpuOptions {
  /** Default: the cores that the process may use. */
  threads?: number;
  /** Default: the best that the machine has. */
  instructionSet?: "avx512" | "avx2" | "x86-64-v2" | "neon";
}

/** Bytes in use on a device by all models of this process. */
export interface MemoryStats {
  readonly parameterBytes: number;
  readonly activationBytes: number;
  readonly tensorBytes: number;
}

export interface Diagnosis {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  readonly addon: AddonReport;
  readonly cpu: DeviceInfo | null;
  readonly cuda: { readonly available: boolean; readonly reason: string };
}

export const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const cudaReason = "this version of vgg-cudnn has no CUDA back end";

function cpuInfo(): DeviceInfo {
  const { cores, instructionSets } = callNative(() => native().cpuInfo());
  return {
    id: "cpu",
    kind: "cpu",
    name: cpus()[0]?.model.trim() || process.arch,
    memoryBytes: totalmem(),
    precisions: ["float32"],
    threads: cores,
    instructionSets,
  };
}

/** The devices that `openDevice` would open, the fastest first. @throws {VggError} ADDON_MISSING */
export function listDevices(): DeviceInfo[] {
  return [cpuInfo()];
}

/** Everything that was looked for, where, and what came of it. Throws nothing. */
export function diagnose(): Diagnosis {
  const addon = addonReport();
  return {
    version,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    addon,
    cpu: addon.path === null ? null : cpuInfo(),
    cuda: { available: false, reason: cudaReason },
  };
}

/**
 * @param id "auto": a GPU that works, else the CPU
 * @throws {TypeError|RangeError} no such id, thread count or instruction set
 * @throws {VggError} DEVICE_UNAVAILABLE with the reason; UNSUPPORTED instruction set; ADDON_MISSING
 */
export async function openDevice(id: DeviceId = "auto", options: CpuOptions = {}): Promise<Device> {
  const expected = '"auto", "cpu", "cuda" or "cuda:N"';
  if (typeof id !== "string") throw typeError(expected, "device", id);
  if (!/^(auto|cpu|cuda(:\d{1,3})?)$/.test(id)) throw rangeError(expected, "device", id);
  checkOptions(options, "options", ["threads", "instructionSet"]);
  const { threads, instructionSet } = options;
  if (threads !== undefined) checkInteger(threads, "options.threads", 1, 1024);
  if (instructionSet !== undefined && typeof instructionSet !== "string") {
    throw typeError("a string", "options.instructionSet", instructionSet);
  }
  if (id.startsWith("cuda")) {
    throw new VggError(
      "DEVICE_UNAVAILABLE",
      `Expected a GPU that works for device ${describe(id)} but ${cudaReason}`,
    );
  }
  return new Device(callNative(() => native().openCpu(threads ?? 0, instructionSet ?? "")));
}

/** A place where graphs run. Everything asked of it happens in order on its own thread. */
export class Device {
  readonly info: DeviceInfo;
  #native: NativeDevice | null;

  /** @internal Use `openDevice`. */
  constructor(device: NativeDevice) {
    this.#native = device;
    const { threads, instructionSet } = device.info();
    this.info = { ...cpuInfo(), threads, instructionSets: [instructionSet] };
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
    return threads === undefined ? id : `${id} (${threads} threads, ${instructionSets.join(", ")})`;
  }

  /** @internal @throws {VggError} DISPOSED */
  get native(): NativeDevice {
    if (this.#native === null)
      throw new VggError("DISPOSED", `Expected a live device but ${this.id} was disposed`);
    return this.#native;
  }

  /** @throws {VggError} DISPOSED */
  memoryStats(): MemoryStats {
    return this.native.memoryStats();
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
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly device: Device;
  #memory: NativeMemory;
  #isDisposed = false;

  private constructor(
    device: Device,
    shape: readonly number[],
    dtype: DType,
    memory: NativeMemory,
  ) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.#memory = memory;
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
    const bytes = elementCount(checked) * arrayTypeOf(dtype).BYTES_PER_ELEMENT;
    return new DeviceTensor(
      device,
      checked,
      dtype,
      callNative(() => device.native.allocate(bytes)),
    );
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
   * @throws {TypeError|RangeError} another shape or dtype @throws {VggError} DISPOSED
   */
  async write(tensor: Tensor): Promise<void> {
    checkTensor(tensor, "tensor", this.dtype);
    if (formatShape(tensor.shape) !== formatShape(this.shape)) {
      throw rangeError(`shape ${formatShape(this.shape)}`, "tensor", tensor.shape);
    }
    await awaitNative(() => this.memory.write(nativeData(tensor, "tensor")));
  }

  /** A copy in JavaScript's memory, made after all that was asked of the device before. @throws {VggError} DISPOSED */
  async read(): Promise<Tensor> {
    const bytes = await awaitNative(() => this.memory.read());
    return new Tensor(this.shape, new (arrayTypeOf(this.dtype))(bytes), this.dtype);
  }

  /** Frees the memory when the work that uses it is done. Twice is nothing. */
  dispose(): void {
    if (!this.#isDisposed) this.#memory.dispose();
    this.#isDisposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `DeviceTensor ${formatShape(this.shape)} ${this.dtype} on ${this.device.id}`;
  }
}
