// The devices that this run covers: the CPU once per supported instruction set and once with many threads, and each working GPU
// once per precision.
import {
  type Device,
  type DeviceOptions,
  listDevices,
  openDevice,
  type Precision,
} from "../../lib/index.ts";

export interface TestDevice {
  readonly name: string;
  readonly precision: Precision;
  readonly open: () => Promise<Device>;
}

const cpu = listDevices().find(({ kind }) => kind === "cpu")!;
const gpus = listDevices().filter(({ kind }) => kind === "cuda");

/**
 * VGG_REQUIRE_DEVICES="cuda,avx512" makes the absence of any of these a failure. With "cuda" in it, only the GPUs are
 * covered, and tests that need one device use the first GPU. The CPU has separate runs.
 */
const required = (process.env.VGG_REQUIRE_DEVICES ?? "").split(",").filter((name) => name !== "");
const present = [...(cpu.instructionSets ?? []), "cpu", ...gpus.map(({ kind }) => kind)];
for (const name of required) {
  if (!present.includes(name))
    throw new Error(`Expected a device with ${name} but found ${present.join(", ")}`);
}

/** The kind of device for tests that need only one. */
export const testKind = required.includes("cuda") ? "cuda" : "cpu";

/** Opens that device. It is deterministic, because the tests compare bits. */
export const openTestDevice = () => openDevice(testKind, { deterministic: true });
export const testDevice: Device = await openTestDevice();

/** Whether the device is correct but slow: the fake GPU, or code under sanitizers. */
export const isSlow =
  (process.env.VGG_CUDA_PATH ?? "").includes("fake-cuda") || process.env.VGG_SANITIZED === "1";

const cpuDevices: TestDevice[] = [];
for (const set of cpu.instructionSets ?? []) {
  const instructionSet = set as NonNullable<DeviceOptions["instructionSet"]>;
  const open = () => openDevice("cpu", { instructionSet });
  const device = await open();
  for (const precision of device.info.precisions) {
    const name = precision === "float32" ? `cpu ${set}` : `cpu ${set} ${precision}`;
    cpuDevices.push({ name, precision, open });
  }
  device.dispose();
}
// More threads than some layers have tiles.
const threads = 24;
cpuDevices.push({
  name: `cpu, ${threads} threads`,
  precision: "float32",
  open: () => openDevice("cpu", { threads }),
});
const gpuDevices = gpus.flatMap(({ id, precisions }) =>
  precisions.map(
    (precision): TestDevice => ({
      name: `${id} ${precision}`,
      precision,
      open: () => openDevice(id as "cuda:0"),
    }),
  ),
);

/** Every device with every instruction set, thread count and precision that is covered. */
export const devices: readonly TestDevice[] =
  testKind === "cuda" ? gpuDevices : [...cpuDevices, ...gpuDevices];

/** The relative error that rounding to the precision leaves in one operation on random numbers. */
export const roundingError: Partial<Record<Precision, number>> = {
  float32: 0,
  tf32: 1e-3,
  float16: 3e-3,
  bfloat16: 2.5e-2,
};

console.log(`devices covered: ${devices.map(({ name }) => name).join(", ")}`);
