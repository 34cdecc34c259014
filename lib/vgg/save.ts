// Writes a model's parameters and labels as safetensors.
import { readOptions } from "../check.js";
import { checkMetadata, type WriteOptions, writeTensors } from "../checkpoint/safetensors.js";
import { checkPath } from "../files/replace.js";
import { imagenetLabels } from "./labels.js";
import type { ModelState } from "./state.js";

/** Checks the arguments and writes the file. Labels are stored unless they are ImageNet's. */
export async function saveModel(
  state: ModelState,
  { arch, labels }: { readonly arch: string; readonly labels: readonly string[] | undefined },
  path: string,
  options: WriteOptions,
): Promise<void> {
  checkPath(path, "path");
  const { metadata = {} } = readOptions(options, "options", ["metadata"]);
  const checked = checkMetadata(metadata);
  const stored =
    labels === undefined || labels === imagenetLabels ? {} : { labels: JSON.stringify(labels) };
  const described = { format: "pt", arch, ...stored, ...checked };
  await state.hold((entries) => writeTensors(path, entries, described));
}
