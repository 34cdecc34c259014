// The kernels that the addon chooses among are the ones that this machine runs.
import { readFileSync } from "node:fs";
import { arch, platform } from "node:os";
import { expect, it } from "vitest";
import { listDevices } from "../../lib/index.ts";

const sets = [
  { name: "avx512", flags: ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx2", "fma", "f16c"] },
  { name: "avx2", flags: ["avx2", "fma", "f16c"] },
  { name: "x86-64-v2", flags: [] },
];

it.skipIf(platform() !== "linux" || arch() !== "x64")(
  "the instruction sets are the ones in /proc/cpuinfo, the fastest first",
  () => {
    // The kernel lists a flag if the CPU has the feature and the system saves its registers.
    const [, line] = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))!;
    const flags = new Set(line!.trim().split(/\s+/));
    const expected = sets.filter((set) => set.flags.every((flag) => flags.has(flag)));
    const { instructionSets } = listDevices().find(({ kind }) => kind === "cpu")!;
    expect(instructionSets).toEqual(expected.map(({ name }) => name));
  },
);
