// The ids and options of devices, and the statistics of their memory.
import { checkInteger, readOptions, typeError } from "../check.js";

/** Names a device: "auto" is a GPU that works, else the CPU; "cuda" is the first GPU. */
export type DeviceId = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/** Handles opened with the same options share one device: the same memory and the same threads. */
export interface DeviceOptions {
  /** CPU only: the number of threads. Default: the number of cores that the process may use. */
  threads?: number | undefined;
  /** CPU only: the kernels' instruction set. Default: the best that the machine has. */
  instructionSet?: "avx512" | "avx2" | "x86-64-v2" | "neon" | undefined;
  /** GPU only: the same bits in each process. This is slower, because algorithms are not chosen by time. Default: false. */
  deterministic?: boolean | undefined;
  /**
   * The most bytes that calls may copy through this handle and leave waiting. Default: a bound that the device's handles
   * share, a quarter of the memory that is available when it opens.
   */
  maxQueuedBytes?: number | undefined;
}

/** Bytes in use on a device by all models of this process. */
export interface MemoryStats {
  /** Bytes of parameters, packed and unpacked. */
  readonly parameterBytes: number;
  /** Bytes of the values that graphs compute between their layers. */
  readonly activationBytes: number;
  /** Bytes of DeviceTensors. */
  readonly tensorBytes: number;
  /** Host bytes that calls have copied for work that waits or runs, through all handles that share this bound. */
  readonly queuedBytes: number;
  /** The bound of queuedBytes. Beyond it a call that copies rejects with QUEUE_FULL. */
  readonly maxQueuedBytes: number;
}

/** Reads and checks the options. @throws {TypeError|RangeError} a wrong option */
export function checkDeviceOptions(options: DeviceOptions) {
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
  return { threads, instructionSet, deterministic, maxQueuedBytes };
}
