// Computes the minimum time of a layer from the device's measured peak and bandwidth.
import { optionOf } from "../../check.js";
import type { Device } from "../../device/device.js";
import type { Precision } from "../../dtype.js";
import { awaitNative } from "../../errors.js";
import type { LayerProfile } from "../../vgg/profile.js";
import type { LayerReport, RooflineReport } from "./report.js";

/** Measures the peak rates. @throws {VggError} DISPOSED, DEVICE_LOST */
export async function measureRoofline(
  device: Device,
  precision: Precision,
): Promise<RooflineReport> {
  const { flopsPerSecond, bytesPerSecond } = await awaitNative(() =>
    device.native.roofline(precision),
  );
  const threads = optionOf(device.info, "threads") ?? 1;
  const [instructionSet] = optionOf(device.info, "instructionSets") ?? [];
  const isGpu = device.kind === "cuda";
  return {
    gigaflopsPerSecond: flopsPerSecond > 0 ? flopsPerSecond / 1e9 : null,
    gigabytesPerSecond: bytesPerSecond > 0 ? bytesPerSecond / 1e9 : null,
    arithmetic: isGpu
      ? `a large matrix product by cuBLASLt in ${precision}`
      : `multiply-adds in registers, ${instructionSet}, ${threads} threads`,
    memory: isGpu
      ? "copies within device memory, both ways counted"
      : `reads by ${threads} threads`,
  };
}

export function againstRoofline(
  layer: LayerProfile,
  { gigaflopsPerSecond, gigabytesPerSecond }: RooflineReport,
): LayerReport {
  const arithmeticMs =
    gigaflopsPerSecond === null ? null : (2 * layer.products) / (gigaflopsPerSecond * 1e6);
  const memoryMs = gigabytesPerSecond === null ? null : layer.bytes / (gigabytesPerSecond * 1e6);
  if (arithmeticMs === null || memoryMs === null)
    return { ...layer, arithmeticMs, memoryMs, floorMs: null, bound: null, share: null };
  const floorMs = Math.max(arithmeticMs, memoryMs);
  return {
    ...layer,
    arithmeticMs,
    memoryMs,
    floorMs,
    bound: arithmeticMs >= memoryMs ? "arithmetic" : "memory",
    share: layer.medianMs > 0 ? floorMs / layer.medianMs : null,
  };
}
