// Writes a model as safetensors: its parameters, and in the metadata what `load` reads back.
import { describe, readOptions } from "../check.js";
import { checkMetadata, type WriteOptions, writeTensors } from "../checkpoint/safetensors.js";
import { checkPath } from "../files/replace.js";
import type { Preprocessing } from "../image/preprocessing.js";
import { imagenetLabels } from "./labels.js";
import { toMetadata } from "./preprocessing/stored.js";
import type { ModelState } from "./state.js";
import { isImageSize, type Topology } from "./topology.js";

/** What is stored beside the parameters. */
interface Described {
  readonly labels: readonly string[] | undefined;
  readonly preprocessing: Preprocessing | undefined;
}

/** Returns the metadata that `load` reads back. Labels are stored unless they are ImageNet's. */
export function describedBy(
  { arch, imageSize }: Pick<Topology, "arch" | "imageSize">,
  { labels, preprocessing }: Described,
): Readonly<Record<string, string>> {
  const stored =
    labels === undefined || labels === imagenetLabels ? {} : { labels: JSON.stringify(labels) };
  return {
    ...{ format: "pt", arch, imageSize: String(imageSize) },
    ...toMetadata(preprocessing),
    ...stored,
  };
}

/** Checks the arguments and writes the file. */
export async function saveModel(
  state: ModelState,
  { arch, imageSize }: Topology,
  { labels, preprocessing }: Described,
  path: string,
  options: WriteOptions,
): Promise<void> {
  checkPath(path, "path");
  if (/\.pth?$/i.test(path)) {
    throw new RangeError(
      `Expected a name that ends in .safetensors, which save writes, for path but received ${describe(path)}; vgg convert makes a .pth file of it`,
    );
  }
  const { metadata = {} } = readOptions(options, "options", ["metadata"]);
  const checked = checkMetadata(metadata);
  const described = {
    ...describedBy({ arch, imageSize }, { labels, preprocessing }),
    ...checked,
  };
  await state.hold((entries) => writeTensors(path, entries, described));
}

/** Returns the image size that `save` stored. Another program's text under this key counts as none. */
export function storedImageSize(metadata: ReadonlyMap<string, string>): number | undefined {
  const text = metadata.get("imageSize") ?? "";
  const size = /^[1-9]\d{1,3}$/.test(text) ? Number(text) : undefined;
  return isImageSize(size) ? size : undefined;
}
