// Lists the devices of this machine that work, and the reason why others do not.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import type { Precision } from "../dtype.js";
import { callNative } from "../errors.js";
import type { AddonReport, LibraryReport } from "../native/addon.js";
import { platformOfAddon } from "../native/file.js";
import { addonReport, native } from "../native/load.js";
import { nvidiaAddon } from "../nvidia/sets/addon.js";
import { type DamagedSet, damagedSets, usableSets } from "../nvidia/sets/installed.js";
import { isError } from "../realm.js";
import { version } from "../version.js";

/** What a device is, and what it offers. */
export interface DeviceInfo {
  /** The id that opens the device: "cpu" or "cuda:N". */
  readonly id: string;
  /** The back end that does the work. */
  readonly kind: "cpu" | "cuda";
  /** The name that its manufacturer gave the processor. */
  readonly name: string;
  /** All memory of the machine or GPU. */
  readonly memoryBytes: number;
  /** Free memory at the time of the call, for a GPU that is open in this process. */
  readonly memoryFreeBytes?: number;
  /** The values of the option `precision` that the device takes. */
  readonly precisions: readonly Precision[];
  /** CPU only: the number of cores that this process may use. */
  readonly threads?: number;
  /** CPU only: the instruction sets for which there are kernels and which the machine has, the best first. */
  readonly instructionSets?: readonly string[];
  /** GPU only: the version of its instruction set, such as "9.0". */
  readonly computeCapability?: string;
  /** GPU only: the number of multiprocessors. */
  readonly multiprocessors?: number;
  /** GPU only: its address on the bus, such as "0000:1B:00.0". */
  readonly pciBusId?: string;
  /** GPU only: "GPU-…", as nvidia-smi prints it. */
  readonly uuid?: string;
}

/** What this package finds on this machine. `vgg doctor` prints it. */
export interface Diagnosis {
  /** The version of this package. */
  readonly version: string;
  /** The version of Node. */
  readonly node: string;
  /** The operating system and the architecture, such as "linux-x64". */
  readonly platform: string;
  /** The addon's file, and the files that were tried. */
  readonly addon: AddonReport & {
    /** The SHA-256 of the file in hexadecimal digits; null if no file is loaded or it cannot be read. */
    readonly sha256: string | null;
    /** The platform that the file is for, such as "linux-x64-gnu"; null if it cannot be told. */
    readonly platform: string | null;
  };
  /** The CPU; null without the addon. */
  readonly cpu: DeviceInfo | null;
  /** The GPUs, and what they need. */
  readonly cuda: {
    /** Whether a GPU can be opened. */
    readonly available: boolean;
    /** Why no GPU can be used, or the GPUs that were found. */
    readonly reason: string;
    /** The GPUs that the driver shows. */
    readonly devices: readonly DeviceInfo[];
    /** The driver, cuDNN, cuBLASLt and NVRTC as they were found. */
    readonly libraries: readonly LibraryReport[];
    /** The folder of the set of `vgg cuda install` that the libraries come from; null if they come from elsewhere. */
    readonly set: string | null;
    /** The sets of `vgg cuda install` that are not used, because something is wrong with them. */
    readonly damagedSets: readonly DamagedSet[];
    /** Every file that was tried. */
    readonly attempts: readonly {
      /** The library that was looked for. */
      readonly library: string;
      /** The file. */
      readonly path: string;
      /** Why it was not taken; null for the file in use. */
      readonly error: string | null;
    }[];
    /** The environment variables that are set and change what is found or computed. */
    readonly environment: Readonly<Record<string, string>>;
  };
}

const cudaVariables = [
  ...([
    "VGG_CUDA_PATH",
    "VGG_PLANS",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "CUDA_PATH",
  ] as const),
  ...(["NVIDIA_TF32_OVERRIDE", "CUDA_MODULE_LOADING", "CUDNN_LOGLEVEL_DBG"] as const),
];

export function cpuInfo(): DeviceInfo {
  const { cores, instructionSets, precisions } = callNative(() => native().cpuInfo());
  return {
    id: "cpu",
    kind: "cpu",
    name: cpus()[0]?.model.trim() || process.arch,
    memoryBytes: totalmem(),
    precisions,
    threads: cores,
    instructionSets,
  };
}

/** Returns the GPUs that the driver shows; empty if there is no driver or it does not start. */
export function gpuInfos(): DeviceInfo[] {
  return callNative(() => native().cudaDevices()).map((gpu) => ({ ...gpu, kind: "cuda" as const }));
}

/**
 * Returns the devices that `openDevice` would open, the fastest first.
 * @throws {VggError} ADDON_MISSING
 * @example for (const { id, name, precisions } of listDevices()) console.log(id, name, precisions);
 */
export function listDevices(): DeviceInfo[] {
  const gpus = gpuInfos();
  const { libraries } = callNative(() => nvidiaAddon().cudaReport());
  const isUsable = gpus.length > 0 && missingLibrary(libraries) === undefined;
  return [...(isUsable ? gpus : []), cpuInfo()];
}

/** Returns the library that prevents the use of GPUs. NVRTC does not: compiled kernels may be in the cache. */
function missingLibrary(libraries: readonly LibraryReport[]): LibraryReport | undefined {
  return libraries.find(({ name, problem }) => problem !== null && name !== "NVRTC");
}

/** Returns the folder of the installed set that a library comes from. */
function usedSet(libraries: readonly LibraryReport[]): string | null {
  const isFrom = (folder: string) =>
    libraries.some(({ path }) => path?.startsWith(join(folder, "/")));
  return usableSets().find(({ folder }) => isFrom(folder))?.folder ?? null;
}

function diagnoseCuda(): Diagnosis["cuda"] {
  const { libraries, attempts } = callNative(() => nvidiaAddon().cudaReport());
  const missing = missingLibrary(libraries);
  let devices: DeviceInfo[] = [];
  let reason = "";
  try {
    devices = gpuInfos();
  } catch (error) {
    reason = isError(error) ? error.message : String(error);
  }
  if (missing) reason = `${missing.name}: ${missing.problem}`;
  else if (devices.length === 0) reason ||= "the driver shows no GPU";
  else reason = devices.map(({ id, name }) => `${id} ${name}`).join(", ");
  const environment = Object.fromEntries(
    cudaVariables.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
  const available = !missing && devices.length > 0;
  return {
    ...{ available, reason, devices, libraries, set: usedSet(libraries) },
    ...{ damagedSets: damagedSets(), attempts, environment },
  };
}

/** Reads the file that is loaded. Its SHA-256 tells builds of one version apart. */
function diagnoseAddon(): Diagnosis["addon"] {
  const report = addonReport();
  let sha256: string | null = null;
  let platform: string | null = null;
  try {
    if (report.path !== null) {
      const content = readFileSync(report.path);
      sha256 = createHash("sha256").update(content).digest("hex");
      platform = platformOfAddon(content);
    }
  } catch {
    // The file was removed after it was loaded, or may not be read.
  }
  return { ...report, sha256, platform };
}

/**
 * Returns everything that was searched for, the paths that were tried, and the results. Never throws.
 * @example
 * const { cuda } = diagnose();
 * if (!cuda.available) console.log(`no GPU: ${cuda.reason}`);
 */
export function diagnose(): Diagnosis {
  const addon = diagnoseAddon();
  const hasAddon = addon.path !== null;
  const absent = {
    available: false,
    reason: "needs the addon",
    devices: [],
    libraries: [],
    set: null,
    damagedSets: [],
    attempts: [],
    environment: {},
  };
  return {
    version,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    addon,
    cpu: hasAddon ? cpuInfo() : null,
    cuda: hasAddon ? diagnoseCuda() : absent,
  };
}
