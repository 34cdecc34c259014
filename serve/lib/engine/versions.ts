// Which files a model's `weights` mean, and which versions they are.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isPublished } from "../settings/config.js";
import type { ModelOptions } from "../settings/options.js";

/** A version and its file, or the name of published weights. */
export interface VersionFile {
  readonly version: string;
  readonly weights: string;
}

const isWeights = (name: string) => /\.(safetensors|pth|pt|bin)$/i.test(name);
const isVersion = (name: string) => /^[1-9]\d{0,17}$/.test(name);

/**
 * Finds the versions that are to be served, the greatest number first. A file, or a folder with one file, is version 1.
 * A folder of numbered folders, as Triton's repositories have them, has a version for each.
 * @throws {RangeError} with one sentence: nothing is there, or more than one file where one is expected
 */
export async function findVersions(model: ModelOptions): Promise<readonly VersionFile[]> {
  const { weights, versions: wanted = "latest" } = model;
  const all = await versionsIn(weights);
  if (wanted === "all") return all;
  if (wanted === "latest") return all.slice(0, 1);
  return wanted.map((version) => {
    const found = all.find((one) => one.version === version);
    if (found !== undefined) return found;
    const there = all.map((one) => one.version).join(", ");
    throw new RangeError(`Expected version ${version} in ${weights} but it has ${there}`);
  });
}

async function versionsIn(weights: string): Promise<VersionFile[]> {
  if (isPublished(weights)) return [{ version: "1", weights }];
  const status = await stat(weights).catch(({ code }: NodeJS.ErrnoException) => {
    throw new RangeError(
      `Expected a file or folder of weights but reading ${weights} gives ${code}`,
    );
  });
  if (!status.isDirectory()) return [{ version: "1", weights }];
  const entries = await readdir(weights, { withFileTypes: true });
  // A version may be a symbolic link, as a mounted ConfigMap or volume has them.
  const names = entries.map(({ name }) => name).filter((name) => isVersion(name));
  const folders: string[] = [];
  for (const name of names) if ((await stat(join(weights, name))).isDirectory()) folders.push(name);
  if (folders.length === 0) return [{ version: "1", weights: await onlyFile(weights) }];
  folders.sort((a, b) => b.length - a.length || (a < b ? 1 : -1));
  return Promise.all(
    folders.map(async (version) => ({ version, weights: await onlyFile(join(weights, version)) })),
  );
}

async function onlyFile(folder: string): Promise<string> {
  const files = (await readdir(folder)).filter(isWeights);
  if (files.length === 1) return join(folder, files[0]!);
  const found = files.length === 0 ? "none" : files.sort().join(", ");
  throw new RangeError(
    `Expected one file of weights (.safetensors, .pth, .pt, .bin) in ${folder} but found ${found}`,
  );
}
