// Sets of NVIDIA's libraries: the wheels and the files that belong to one, and the sets that this version of the package was tested with.

import type { Wheel, WheelMember } from "../types.js";
import { table } from "./tested-sets.js";

export type CudaMajor = 12 | 13;

/** Libraries that work together: cuDNN, cuBLASLt and NVRTC of one CUDA major. */
export interface LibrarySet {
  /** The name of its folder, such as "cu13-9.28.1.4". */
  readonly name: string;
  readonly cuda: CudaMajor;
  /** Node's names of the system and the processor, such as "linux-x64". */
  readonly platform: string;
  /** Whether CI loads exactly these files. */
  readonly isTested: boolean;
  readonly wheels: readonly Wheel[];
}

/** The names that the folder of a set may have. */
export const setName = /^cu(12|13)-\d+(\.\d+)*(-\d+(\.\d+)*)*$/;

/** Returns the CUDA major in the name of a set. */
export function cudaOf(name: string): CudaMajor {
  return name.startsWith("cu12-") ? 12 : 13;
}

/** Returns this machine's name in the sets. */
export function thisPlatform(): string {
  return `${process.platform}-${process.arch}`;
}

/** Returns the name that a file gets in the set's folder. A licence gets its package's name, because each wheel has one. */
export function nameOnDisk(wheel: string, path: string): string {
  const base = path.slice(path.lastIndexOf("/") + 1);
  return path.includes(".dist-info/") ? `${wheel}.LICENSE.txt` : base;
}

/** Returns the bytes of a set's files, and of its licences. */
export function bytesOf(set: LibrarySet): number {
  return set.wheels.flatMap(({ members }) => members).reduce((sum, { size }) => sum + size, 0);
}

/** Reads a table of sets (tested-sets.ts). */
export function parseSets(text: string): LibrarySet[] {
  const sets: (LibrarySet & { readonly wheels: Wheel[] })[] = [];
  let wheel = "";
  let members: WheelMember[] = [];
  for (const line of text.trim().split("\n")) {
    const [first, second, third, ...rest] = line.split(" ") as [
      string,
      string,
      string,
      ...string[],
    ];
    if (first === "set") {
      const isTested = rest[0] === "tested";
      sets.push({ name: second, cuda: cudaOf(second), platform: third, isTested, wheels: [] });
    } else if (first === "wheel") {
      const [file, sha256, size] = rest as [string, string, string];
      wheel = second;
      members = [];
      sets.at(-1)!.wheels.push({
        name: wheel,
        version: third,
        file,
        sha256,
        size: Number(size),
        members,
      });
    } else {
      const to = nameOnDisk(wheel, first);
      members.push({ path: first, sha256: second, size: Number(third), to });
    }
  }
  return sets;
}

/** Returns the tested sets of all platforms, the newest CUDA first. */
export function testedSets(): LibrarySet[] {
  return parseSets(table);
}
