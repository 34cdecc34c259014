// The devices that this run covers: the CPU once per instruction set that it has, and each GPU that works.
import { type CpuOptions, type Device, listDevices, openDevice } from "../lib/index.ts";

export interface TestDevice {
  readonly name: string;
  readonly open: () => Promise<Device>;
}

const cpu = listDevices().find(({ kind }) => kind === "cpu")!;
const gpus = listDevices().filter(({ kind }) => kind === "cuda");

/** VGG_REQUIRE_DEVICES="cuda,avx512" makes the absence of any of these a failure. */
const required = (process.env.VGG_REQUIRE_DEVICES ?? "").split(",").filter((name) => name !== "");
const present = [...(cpu.instructionSets ?? []), "cpu", ...gpus.map(({ kind }) => kind)];
for (const name of required) {
  if (!present.includes(name))
    throw new Error(`Expected a device with ${name} but found ${present.join(", ")}`);
}

/** Every device in every way that its kernels were compiled. */
export const devices: readonly TestDevice[] = [
  ...(cpu.instructionSets ?? []).map((set) => {
    const instructionSet = set as NonNullable<CpuOptions["instructionSet"]>;
    return { name: `cpu ${set}`, open: () => openDevice("cpu", { instructionSet }) };
  }),
  ...gpus.map(({ id }) => ({ name: id, open: () => openDevice(id as "cuda:0") })),
];

console.log(`devices covered: ${devices.map(({ name }) => name).join(", ")}`);
