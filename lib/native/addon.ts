// The addon's interface in TypeScript.
import type { DType, Precision } from "../dtype.js";
import type { GraphRecord } from "../graph/ops.js";
import type { Interpolation } from "../image/interpolation.js";

export interface NativeDevice {
  info(): {
    id: string;
    kind: string;
    threads: number;
    instructionSet: string;
    precisions: Precision[];
  };
  memoryStats(): {
    parameterBytes: number;
    activationBytes: number;
    tensorBytes: number;
    queuedBytes: number;
    maxQueuedBytes: number;
  };
  /** Measures the most that the device reaches; 0 if that cannot be measured. */
  roofline(precision: Precision): Promise<{ flopsPerSecond: number; bytesPerSecond: number }>;
  allocate(bytes: number): NativeMemory;
  /** Reserves bytes of the queue for a call that must wait before it is passed to the addon. */
  reserve(bytes: number): NativeReservation;
  /** Creates what drops or stops runs of this device. */
  createCancellation(): NativeCancellation;
  createParameters(
    specs: readonly { name: string; shape: readonly number[] }[],
    precision: Precision,
  ): NativeParameters;
  createGraph(record: NativeRecord, parameters: NativeParameters): NativeGraph;
}

/** A graph record whose inputs and outputs are given by their value only. */
export type NativeRecord = Pick<GraphRecord, "rows"> & {
  readonly values: readonly { readonly shape: readonly number[]; readonly dtype: DType }[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
};

export interface NativeReservation {
  /** Returns the bytes to the queue, unless a call has taken them over. */
  release(): void;
}

export interface NativeMemory {
  /** Copies the bytes before it returns. Like every call that copies, it counts them in the queue unless they are reserved. */
  write(data: NodeJS.TypedArray, reservation: NativeReservation | null): Promise<void>;
  read(): Promise<ArrayBuffer>;
  dispose(): void;
}

export interface NativeParameters {
  /**
   * Writes elements from `first` on of each parameter in one step. The dtypes are floating-point ones. The data are copied
   * before it returns. Whole parameters are counted in the queue, pieces are not.
   */
  write(
    indices: readonly number[],
    data: readonly NodeJS.TypedArray[],
    dtypes: readonly DType[],
    first: number,
    isWhole: boolean,
    reservation: NativeReservation | null,
  ): Promise<void>;
  read(index: number): Promise<ArrayBuffer>;
  hold(): NativeHeldParameters;
  fill(index: number, value: number): Promise<void>;
  fillNormal(index: number, standardDeviation: number, seed: number, stream: number): Promise<void>;
  dispose(): Promise<void>;
}

export interface NativeHeldParameters {
  /** Reads a part of a parameter. With `isLast` the parameter is no longer held. */
  read(index: number, first: number, count: number, isLast: boolean): Promise<ArrayBuffer>;
  dispose(): Promise<void>;
}

declare const result: unique symbol;
/** The number of a run that was started, and the type of its result. */
export type NativeRun<T> = number & { readonly [result]?: T };

export interface NativeGraph {
  prepare(batch: number): Promise<void>;
  /**
   * Starts a run. Copies the inputs before it returns.
   * @param targets by output: the memory that it is written to, or null for an array of `finish`
   */
  start(
    batch: number,
    inputs: readonly (NodeJS.TypedArray | NativeMemory)[],
    targets: readonly (NativeMemory | null)[],
    cancellation: NativeCancellation | null,
    reservation: NativeReservation | null,
  ): NativeRun<void>;
  /** Does what `start` does, and measures the time of each step. */
  startProfile(...call: Parameters<NativeGraph["start"]>): NativeRun<NativeStepTime[]>;
  /**
   * Resolves when the run has ended and `arrays` hold its results. Call it once, in the same turn of the event loop as
   * `start`. It is separate because arrays that are allocated between the two calls cost no time: the device computes
   * already.
   * @param arrays by output: an array of its size, or null if it has a target
   */
  finish<T>(run: NativeRun<T>, arrays: readonly (NodeJS.TypedArray | null)[]): Promise<T>;
  lastRun(): NativeRunTime;
  dispose(): Promise<void>;
}

/** Times of the run that ended last, in milliseconds. */
export interface NativeRunTime {
  /** Time from the run's start on the device's thread to its end. */
  readonly device: number;
  /** Time from the call of `start` until its promise is settled. */
  readonly call: number;
}

/** A step's time. `value` is the input, the output, or the value that it computes (the last one of fused operations). */
export interface NativeStepTime {
  readonly role: "input" | "operation" | "output";
  readonly value: number;
  readonly milliseconds: number;
  /** The step's work for its batch, if its algorithm takes more or less than its definition says. */
  readonly work?: { readonly products: number; readonly parameterBytes: number };
}

export interface NativeCancellation {
  cancel(): void;
}

export interface NativeGpu {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number;
  readonly memoryFreeBytes?: number;
  readonly precisions: readonly Precision[];
  readonly computeCapability: string;
  readonly multiprocessors: number;
  readonly pciBusId: string;
  readonly uuid: string;
}

/** An NVIDIA library as it was found. `problem` says why it cannot be used and what to do. */
export interface LibraryReport {
  readonly name: string;
  readonly path: string | null;
  readonly version: string | null;
  readonly problem: string | null;
  readonly code: string | null;
}

/** The plans that cuDNN offers for one convolution in one form (native/cuda/plan/planning.h). */
export interface PlannedConvolution {
  readonly weight: string;
  /** The convolution's precision and shape, which identify a plan in the cache. */
  readonly problem: string;
  readonly batch: number;
  readonly form: "plain" | "fused";
  readonly offered: number;
  readonly allowed: number;
  readonly tooLarge: number;
  readonly plans: number;
  readonly compiledAtRunTime: number;
  readonly workspaceBytes: number;
  readonly engine: number;
  readonly isFirstLayer: boolean;
  readonly refusal: string | null;
}

/** One launch of a forward on a GPU (native/cuda/plan/launches.h). */
export interface StepCost {
  readonly name: string;
  /** The name of this package's kernel, else "cuDNN", "cuBLASLt" or "copy". */
  readonly kernel: string;
  /** Blocks of this package's kernel, else 0. For a first layer, its tiles times its slices of 64 channels. */
  readonly blocks: number;
  /** Bytes of activations, read and written once each. */
  readonly bytes: number;
  readonly weightBytes: number;
  /** Additions and multiplications. */
  readonly operations: number;
}

/** Sizes and offsets in pixels of the upright image. `left` and `top` are the crop's corner in the resized image. */
export interface ResizeGeometry {
  readonly width: number;
  readonly height: number;
  readonly resizedWidth: number;
  readonly resizedHeight: number;
  readonly left: number;
  readonly top: number;
  readonly cropWidth: number;
  readonly cropHeight: number;
  /** The EXIF orientation, 1 to 8. It gives the order of the pixels in memory. */
  readonly orientation: number;
  readonly interpolation: Interpolation;
  /** Of the result. The pixels have three. */
  readonly channels: 1 | 3;
}

/** A semaphore that all threads of the process share. Waits are served in the order of the calls. Only one may be pending. */
export interface NativePlaces {
  capacity(): number;
  free(): number;
  /** Returns the time since any thread was last served. */
  idleMs(): number;
  /** Takes units. Returns false if too few are free or if a wait is pending. */
  take(amount: number): boolean;
  /** Waits for units. Resolves with the amount that was taken, which `change` may have changed. */
  wait(amount: number): Promise<number>;
  /** Changes the amount of the pending wait. The wait keeps its turn; 0 ends it. */
  change(amount: number): void;
  give(amount: number): void;
}

export interface NativeAddon {
  /** The first thread that uses a name sets its capacity. */
  Places: new (
    name: string,
    capacity: number,
  ) => NativePlaces;
  openCpu(threads: number, instructionSet: string, maxQueuedBytes: number): NativeDevice;
  openCuda(
    ordinal: number,
    options: {
      cacheFolder: string;
      /** A folder of plans and kernels that is read for what the cache lacks, or "". */
      plansFolder: string;
      deterministic: boolean;
      /** The kernels that run without being timed against others (docs/gpu.md). Null: the fastest ones. */
      form: "plain" | "fused" | "cudnn" | "direct" | null;
      linear: "dense" | "sparse" | null;
      maxQueuedBytes: number;
    },
  ): Promise<NativeDevice>;
  cudaDevices(): NativeGpu[];
  cudaReport(): {
    libraries: LibraryReport[];
    attempts: { library: string; path: string; error: string | null }[];
  };
  /** Returns the driver: 13000 for CUDA 13.0, or 0 and why there is none that starts. */
  cudaDriver(): { version: number; problem: string | null };
  /** Names the folders with sets of NVIDIA's libraries, in the order in which later calls look into them. */
  setCudaSets(sets: readonly { readonly cuda: number; readonly folder: string }[]): void;
  planConvolutions(
    gpu: { description: string; name: string; capability: number },
    record: NativeRecord,
    parameters: readonly { name: string; shape: readonly number[] }[],
    options: {
      precision: Precision;
      batch: number;
      limit: number;
      cacheFolder: string;
    },
  ): Promise<PlannedConvolution[]>;
  stepCosts(
    record: NativeRecord,
    parameters: readonly { name: string; shape: readonly number[] }[],
    options: { precision: Precision; batch: number; form: PlannedConvolution["form"] | null },
  ): StepCost[];
  compileKernels(
    capability: number,
    cacheFolder: string,
  ): Promise<{ file: string; bytes: number; log: string }[]>;
  /** Returns the number of threads in libuv's pool. */
  poolThreads(): number;
  cpuInfo(): { cores: number; instructionSets: string[]; precisions: Precision[] };
  /** Stops all work on GPUs for good, in all JavaScript threads. Returns soon. */
  halt(): void;
  randomNormal(count: number, seed: number): ArrayBuffer;
  /**
   * Resizes and crops pixels (height, width, 3), or (width, height, 3) from orientation 5 on, to (cropHeight, cropWidth,
   * channels). Nothing else may use the pixels, which the call changes, and they are detached when the promise settles.
   */
  resizeCrop(pixels: Uint8Array, geometry: ResizeGeometry): Promise<ArrayBuffer>;
}

/** The addon's file, and the files that were tried. */
export interface AddonReport {
  /** The file that is loaded; null if none can be. */
  readonly path: string | null;
  /** Whether `VGG_ADDON` names the file, it was built in the package's folder, or a platform package holds it. */
  readonly kind: "environment" | "built" | "prebuilt" | null;
  /** The platform package that holds the file, such as `{ name: "@vgg-cudnn/linux-x64-gnu", version: "0.1.0" }`. */
  readonly package: { readonly name: string; readonly version: string } | null;
  /** Each file or platform package that was tried, and why it was not taken; null for the file in use. */
  readonly tried: readonly { readonly path: string; readonly error: string | null }[];
}
