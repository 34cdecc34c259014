// `vgg cuda list`: the installed sets of NVIDIA's libraries, whether each is whole, and which one is used.
import { join } from "node:path";
import type { Command } from "commander";
import { callNative, VggError } from "../../errors.js";
import { withFile } from "../../files/errors.js";
import { hashFile } from "../../files/hash-file.js";
import { nvidiaAddon } from "../../nvidia/sets/addon.js";
import { unfinishedSets } from "../../nvidia/sets/install-set.js";
import { type InstalledSet, listSets, setsFolder } from "../../nvidia/sets/installed.js";
import { command, type OutputOptions, print } from "../options.js";
import { textTable } from "../table.js";
import { atFolder, continuationOf, firstInstall, repairOf } from "./advice.js";
import { gigabytes } from "./text.js";

interface Options extends OutputOptions {
  folder?: string;
  verify: boolean;
}

interface Row extends Pick<InstalledSet, "name" | "cuda" | "folder" | "packages" | "isTested"> {
  readonly bytes: number;
  readonly isUsed: boolean;
  readonly problem: string | null;
}

export function listCommand(): Command {
  return command("list", "list the installed sets of NVIDIA's libraries, and say which one is used")
    .option("--folder <path>", "folder of sets (default: the one in the cache folder)")
    .option("--verify", "compare the content of each file with its hash", false)
    .action(list);
}

/** Returns the first file whose content is not what its hash promises, in words, or null. */
async function verify({ folder, files }: InstalledSet): Promise<string | null> {
  for (const { name, sha256: expected } of files) {
    const actual = (await hashFile(join(folder, name)))?.sha256;
    if (actual === undefined) return `${name} is missing`;
    if (actual !== expected) return `${name} has the SHA-256 ${actual} instead of ${expected}`;
  }
  return null;
}

/** Returns the paths of the libraries that a GPU would use; none without the addon. */
function usedPaths(): string[] {
  try {
    const { libraries } = callNative(() => nvidiaAddon().cudaReport());
    return libraries.flatMap(({ path }) => path ?? []);
  } catch (error) {
    if (error instanceof VggError) return [];
    throw error;
  }
}

async function list(options: Options): Promise<void> {
  const folder = setsFolder(options.folder);
  const sets = await withFile(folder, async () => listSets(folder));
  const used = sets.length > 0 ? usedPaths() : [];
  const rows: Row[] = [];
  const changed = new Set<string>();
  for (const set of sets) {
    const { name, cuda, packages, isTested, files } = set;
    const change = set.problem === null && options.verify ? await verify(set) : null;
    if (change !== null) changed.add(name);
    const problem = set.problem ?? change;
    rows.push({
      ...{ name, cuda, folder: set.folder, packages, isTested, problem },
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      isUsed: used.some((path) => path.startsWith(join(set.folder, "/"))),
    });
  }
  const unfinished = await unfinishedSets(folder);
  print(options, { folder, sets: rows, unfinished }, () =>
    describe(folder, rows, { unfinished, changed, at: atFolder(options.folder) }),
  );
  if (rows.some(({ problem }) => problem !== null)) process.exitCode = 1;
}

/** @param more.changed sets that `vgg cuda install` takes for whole, because only the content of a file is wrong */
function describe(
  folder: string,
  rows: readonly Row[],
  more: {
    readonly unfinished: readonly { name: string; bytes: number }[];
    readonly changed: ReadonlySet<string>;
    readonly at: string;
  },
): string {
  const { unfinished, changed, at } = more;
  const lines: string[] = [];
  if (rows.length === 0) lines.push(`no set in ${folder}; install one with: ${firstInstall(at)}`);
  else {
    const cells = rows.map((row) => [
      ...[row.name, row.problem === null ? "whole" : "damaged", row.isTested ? "yes" : "no"],
      ...[row.isUsed ? "yes" : "no", row.folder, gigabytes(row.bytes)],
    ]);
    lines.push(...textTable(["set", "state", "tested", "used", "folder", "size"], cells, 5));
  }
  for (const { name, problem } of rows) {
    if (problem === null) continue;
    lines.push(`${name}: ${problem}; ${repairOf(name, at, changed.has(name))}`);
  }
  for (const { name, bytes } of unfinished)
    lines.push(`${name}: not finished, ${gigabytes(bytes)}; ${continuationOf(name, at)}`);
  return lines.join("\n");
}
