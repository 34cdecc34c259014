// Finds the package index: the one that is asked for, else what pip is configured to use, else NVIDIA's.
import { VggError } from "../errors.js";
import type { Environment } from "./types.js";

/** Where packages come from, with what is needed to reach it. Its secrets show in no message and no log. */
export interface PackageIndex {
  /** The addresses in the order in which they are asked, without credentials and query. */
  readonly shown: readonly string[];
  /** Who chose the first address: `--index`, `PIP_INDEX_URL`, the path of a pip.conf, or `default`. */
  readonly chosenBy: string;
}

/**
 * Finds the package index. Reads files and the environment, and uses no network.
 * @param options.index what `--index` gives; pip's own certificates and proxy are used with it, its indexes are not
 * @param options.environment default `process.env`
 * @throws {RangeError} an address that is not http or https @throws {VggError} FOLDER_UNUSABLE: a file of pip's that
 * cannot be read; OFFLINE: pip is told to use no index
 */
export async function resolveIndex(_options: {
  index?: string | undefined;
  environment?: Environment | undefined;
}): Promise<PackageIndex> {
  throw new VggError("INTERNAL", "resolveIndex is not written yet");
}
