// The ids and options of devices, and the statistics of their memory.
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { checkInteger, rangeError, readOptions, typeError } from "../check.js";
import { checkPath } from "../files/replace.js";

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
   * GPU only: a folder of plans and kernels that `vgg plan --out` made. It is read for what this user's cache lacks, and
   * nothing is written to it. Default: the environment variable VGG_PLANS, or none.
   */
  plans?: string | undefined;
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
  const known = ["threads", "instructionSet", "deterministic", "plans", "maxQueuedBytes"];
  const given = readOptions(options, "options", known);
  const { threads, instructionSet, deterministic = false, plans, maxQueuedBytes } = given;
  if (threads !== undefined) checkInteger(threads, "options.threads", 1, 1024);
  if (instructionSet !== undefined && typeof instructionSet !== "string") {
    throw typeError("a string", "options.instructionSet", instructionSet);
  }
  if (typeof deterministic !== "boolean")
    throw typeError("a boolean", "options.deterministic", deterministic);
  if (maxQueuedBytes !== undefined)
    checkInteger(maxQueuedBytes, "options.maxQueuedBytes", 1, Number.MAX_SAFE_INTEGER);
  if (plans !== undefined) checkPath(plans, "options.plans");
  return { threads, instructionSet, deterministic, plans, maxQueuedBytes };
}

/**
 * Returns the folder of plans: the option's, else that of VGG_PLANS, else "".
 * @throws {RangeError} no folder is there
 */
export async function plansFolder(option: string | undefined): Promise<string> {
  const folder = option ?? process.env.VGG_PLANS ?? "";
  if (folder === "") return "";
  const name = option === undefined ? "VGG_PLANS" : "options.plans";
  const stats = await stat(folder).catch(() => undefined);
  if (!stats?.isDirectory()) throw rangeError("a folder", name, folder);
  return resolve(folder);
}
