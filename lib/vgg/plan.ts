// Makes plans and kernels for a GPU that this machine need not have, for the cache of another machine.
import { join } from "node:path";
import { readOptions } from "../check.js";
import { architectureOf, describeGpu, type GpuName, nameOf } from "../device/gpus.js";
import type { Precision } from "../dtype.js";
import { awaitNative, callNative } from "../errors.js";
import { cacheFolder } from "../files/cache-folder.js";
import type { NativeRecord, PlannedConvolution, StepCost } from "../native/addon.js";
import { native } from "../native/load.js";
import { nvidiaAddon } from "../nvidia/sets/addon.js";
import { recordForward } from "./record.js";
import { logitsName, type Topology } from "./topology.js";

export interface PlanOptions {
  precision: Precision;
  batchSizes: readonly number[];
  /** The folder for the plans. Default: the folder where models look for them. */
  folder?: string | undefined;
  /** The number of plans to make for each convolution and form. The first is kept. Default: 1. */
  limit?: number | undefined;
}

/** The plans and kernels that were made. */
export interface PlanReport {
  readonly gpu: string;
  readonly folder: string;
  readonly convolutions: readonly PlannedConvolution[];
  /** The launches of a forward for each batch size, with convolutions in their likeliest form. */
  readonly forwards: readonly { readonly batch: number; readonly steps: readonly StepCost[] }[];
  readonly kernels: readonly {
    readonly file: string;
    readonly bytes: number;
    readonly log: string;
  }[];
}

function nativeRecord(topology: Topology) {
  const { values, rows, inputs, outputs, parameters } = recordForward(topology, [logitsName]);
  const record: NativeRecord = {
    values,
    rows,
    inputs: Object.values(inputs),
    outputs: Object.values(outputs),
  };
  return { record, parameters };
}

/**
 * Returns what a forward on a GPU launches and moves, as far as this is known without a GPU. cuDNN's convolutions have
 * the given form; with null, each has its likeliest form. @throws {VggError} ADDON_MISSING
 */
export function stepCosts(
  topology: Topology,
  options: { precision: Precision; batch: number; form: PlannedConvolution["form"] | null },
): StepCost[] {
  const { record, parameters } = nativeRecord(topology);
  return callNative(() => native().stepCosts(record, parameters, options));
}

/** Makes plans and kernels. @throws {VggError} LIBRARY_MISSING, UNSUPPORTED (cuDNN before 9.10.1), ADDON_MISSING */
export async function planAhead(
  gpu: GpuName,
  topology: Topology,
  options: PlanOptions,
): Promise<PlanReport> {
  const known = ["precision", "batchSizes", "limit", "folder"];
  const { precision, batchSizes, ...rest } = readOptions(options, "options", known);
  const { limit = 1, folder = join(cacheFolder(), "cuda") } = rest;
  const { record, parameters } = nativeRecord(topology);
  const capability = architectureOf(gpu);
  const described = { description: describeGpu(gpu), name: nameOf(gpu), capability };
  const convolutions: PlannedConvolution[] = [];
  for (const batch of batchSizes) {
    const settings = { precision, batch, limit, cacheFolder: folder };
    convolutions.push(
      ...(await awaitNative(() =>
        nvidiaAddon().planConvolutions(described, record, parameters, settings),
      )),
    );
  }
  const kernels = await awaitNative(() => nvidiaAddon().compileKernels(capability, folder));
  const forwards = batchSizes.map((batch) => ({
    batch,
    steps: stepCosts(topology, { precision, batch, form: null }),
  }));
  return { gpu: nameOf(gpu), folder, convolutions, forwards, kernels };
}
