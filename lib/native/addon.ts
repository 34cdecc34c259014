// The addon's surface as TypeScript sees it.
import type { DType, Precision } from "../dtype.js";
import type { GraphRecord } from "../graph/ops.js";

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
  /** What the device reaches at most, measured now; 0 where it cannot be. */
  roofline(precision: Precision): Promise<{ flopsPerSecond: number; bytesPerSecond: number }>;
  allocate(bytes: number): NativeMemory;
  /** Takes bytes of the queue for a call that must wait before the addon sees it. */
  reserve(bytes: number): NativeReservation;
  createParameters(
    specs: readonly { name: string; shape: readonly number[] }[],
    precision: Precision,
  ): NativeParameters;
  createGraph(record: NativeRecord, parameters: NativeParameters): NativeGraph;
}

/** A graph record with inputs and outputs by their value alone. */
export type NativeRecord = Pick<GraphRecord, "rows"> & {
  readonly values: readonly { readonly shape: readonly number[]; readonly dtype: DType }[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
};

export interface NativeReservation {
  /** Gives the bytes back, unless a call has taken them over. */
  release(): void;
}

export interface NativeMemory {
  /** Copies the bytes before it returns. Like all that copies, it counts them unless they are reserved. */
  write(data: NodeJS.TypedArray, reservation: NativeReservation | null): Promise<void>;
  read(): Promise<ArrayBuffer>;
  dispose(): void;
}

export interface NativeParameters {
  /** Elements from `first` on of each, of floating-point dtypes, in one step; copied before it returns. Pieces are not counted. */
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
  /** After the last read of a parameter it is not held any more. */
  read(index: number, first: number, count: number, isLast: boolean): Promise<ArrayBuffer>;
  dispose(): Promise<void>;
}

export interface NativeGraph {
  prepare(batch: number): Promise<void>;
  /**
   * Copies the inputs before it returns. An output that is null must have become an array of its size before JavaScript's
   * thread is free: the promise's settling fills it. So arrays are made while the device computes.
   */
  run(
    batch: number,
    inputs: readonly (NodeJS.TypedArray | NativeMemory)[],
    outputs: (NodeJS.TypedArray | NativeMemory | null)[],
    cancellation: NativeCancellation | null,
    reservation: NativeReservation | null,
  ): Promise<void>;
  /** Like `run`, with the time of each step. */
  profile(...call: Parameters<NativeGraph["run"]>): Promise<NativeStepTime[]>;
  lastRun(): NativeRunTime;
  dispose(): Promise<void>;
}

/** Of the run that ended last, in milliseconds. */
export interface NativeRunTime {
  /** From its turn on the device's thread to its end. */
  readonly device: number;
  /** From the call of `run` until its promise is settled. */
  readonly call: number;
}

/** A step by the value that it brings in, makes (of several operations in one, the last) or brings out. */
export interface NativeStepTime {
  readonly role: "input" | "operation" | "output";
  readonly value: number;
  readonly milliseconds: number;
  /** Where its algorithm takes more or less than its definition says. */
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

/** A library of NVIDIA's as it was found; `problem` says why it cannot be used and what to do. */
export interface LibraryReport {
  readonly name: string;
  readonly path: string | null;
  readonly version: string | null;
  readonly problem: string | null;
  readonly code: string | null;
}

/** What cuDNN offers for one convolution in one form (native/cuda/plan/planning.h). */
export interface PlannedConvolution {
  readonly weight: string;
  /** Its precision and shape: one text for one plan in the cache. */
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

/** One launch of a forward on a GPU (native/cuda/plan/cost.h). */
export interface PlannedStep {
  readonly name: string;
  /** Ours by name, else "cuDNN", "cuBLASLt" or "copy". */
  readonly kernel: string;
  /** Of a kernel of ours, else 0. */
  readonly blocks: number;
  /** Of activations, read and written once each. */
  readonly bytes: number;
  readonly weightBytes: number;
  /** Additions and multiplications. */
  readonly operations: number;
}

/** Sizes and offsets in pixels of the upright image; the window's corner lies within the resized image. */
export interface ResizePlan {
  readonly width: number;
  readonly height: number;
  readonly resizedWidth: number;
  readonly resizedHeight: number;
  readonly left: number;
  readonly top: number;
  readonly cropSize: number;
  /** The EXIF orientation, 1 to 8. It says how the pixels lie in memory. */
  readonly orientation: number;
}

/** Places that all threads of the process share. They are given in the order of the calls. Only one wait may be under way. */
export interface NativePlaces {
  capacity(): number;
  free(): number;
  /** Returns the time since any thread was last given a place. */
  idleMs(): number;
  /** Returns false if too few are free or if somebody waits. */
  take(amount: number): boolean;
  /** Resolves with the amount that was given: another one after `change`. */
  wait(amount: number): Promise<number>;
  /** Changes the amount that the wait under way is for. The wait keeps its turn; 0 ends it. */
  change(amount: number): void;
  give(amount: number): void;
}

export interface NativeAddon {
  Cancellation: new () => NativeCancellation;
  /** The first thread that asks for a name says how many places there are. */
  Places: new (
    name: string,
    capacity: number,
  ) => NativePlaces;
  openCpu(threads: number, instructionSet: string, maxQueuedBytes: number): NativeDevice;
  openCuda(
    ordinal: number,
    options: { cacheFolder: string; deterministic: boolean; maxQueuedBytes: number },
  ): Promise<NativeDevice>;
  cudaDevices(): NativeGpu[];
  cudaReport(): {
    libraries: LibraryReport[];
    attempts: { library: string; path: string; error: string | null }[];
  };
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
  planSteps(
    record: NativeRecord,
    parameters: readonly { name: string; shape: readonly number[] }[],
    options: { precision: Precision; batch: number; form: PlannedConvolution["form"] | null },
  ): PlannedStep[];
  planKernels(
    capability: number,
    cacheFolder: string,
  ): Promise<{ file: string; bytes: number; log: string }[]>;
  /** Returns how many threads libuv's pool has. */
  poolThreads(): number;
  cpuInfo(): { cores: number; instructionSets: string[]; precisions: Precision[] };
  /** Stops all that runs on GPUs, in all threads of JavaScript, and for good. Returns soon. */
  halt(): void;
  randomNormal(count: number, seed: number): ArrayBuffer;
  /** Takes pixels (height, width, 3), or (width, height, 3) from orientation 5 on: no one else may have them, and they are detached when it settles. */
  resizeCrop(pixels: Uint8Array, plan: ResizePlan): Promise<ArrayBuffer>;
}

/** Where the addon was looked for, and what came of each try. */
export interface AddonReport {
  readonly path: string | null;
  readonly tried: readonly { readonly path: string; readonly error: string | null }[];
}
