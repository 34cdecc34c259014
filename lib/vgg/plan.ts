// Plans and kernels for a GPU that is not here: made on one machine, for the cache of another.
import { join } from "node:path";
import { readOptions } from "../check.js";
import { architectureOf, describeGpu, type GpuName, nameOf } from "../device/gpus.js";
import type { Precision } from "../dtype.js";
import { awaitNative, callNative } from "../errors.js";
import { cacheFolder } from "../files/cache-folder.js";
import type { NativeRecord, PlannedConvolution, PlannedStep } from "../native/addon.js";
import { native } from "../native/load.js";
import { recordForward } from "./record.js";
import { logitsName, type Topology } from "./topology.js";

export interface PlanOptions {
  precision: Precision;
  batchSizes: readonly number[];
  /** Where the plans are kept; default: where models look for them. */
  folder?: string;
  /** How many plans to make for each convolution and form; the first is kept. Default: 1. */
  limit?: number;
}

/** What was made. */
export interface PlanReport {
  readonly gpu: string;
  readonly folder: string;
  readonly convolutions: readonly PlannedConvolution[];
  /** A forward of each batch size, launch by launch, with convolutions in their likeliest form. */
  readonly forwards: readonly { readonly batch: number; readonly steps: readonly PlannedStep[] }[];
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
 * What a forward on a GPU launches and moves, as far as it is known without one: cuDNN's convolutions in the form asked for,
 * for null each in its likeliest. @throws {VggError} ADDON_MISSING
 */
export function planSteps(
  topology: Topology,
  options: { precision: Precision; batch: number; form: PlannedConvolution["form"] | null },
): PlannedStep[] {
  const { record, parameters } = nativeRecord(topology);
  return callNative(() => native().planSteps(record, parameters, options));
}

/** @throws {VggError} LIBRARY_MISSING, UNSUPPORTED (cuDNN before 9.10.1), ADDON_MISSING */
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
        native().planConvolutions(described, record, parameters, settings),
      )),
    );
  }
  const kernels = await awaitNative(() => native().planKernels(capability, folder));
  const forwards = batchSizes.map((batch) => ({
    batch,
    steps: planSteps(topology, { precision, batch, form: null }),
  }));
  return { gpu: nameOf(gpu), folder, convolutions, forwards, kernels };
}
