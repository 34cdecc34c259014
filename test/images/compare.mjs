// Compares preprocess() with torchvision's Resize(256) and CenterCrop(224) on PIL's convert("RGB"), by digests of the crops.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { formatOf } from "../../dist/image/format.js";
import { preprocess } from "../../dist/index.js";

const side = 224;

/** Files under a folder, in order, that are images by their first bytes. AVIF is left to libaom: PIL 9 reads none. */
export function imagesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return paths
    .map((path) => ({
      path,
      name: relative(folder, path).replaceAll("\\", "/"),
      format: formatOf(readFileSync(path)),
    }))
    .filter(({ format }) => format !== null && format !== "AVIF")
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Returns the digest of our crop, or the error. */
export async function ours(path, options = {}) {
  try {
    const { data } = await preprocess(readFileSync(path), {
      mean: [0, 0, 0],
      std: [1, 1, 1],
      ...options,
    });
    const pixels = new Uint8Array(data.length);
    for (let channel = 0, from = 0; channel < 3; ++channel)
      for (let i = 0; i < side * side; ++i)
        pixels[3 * i + channel] = Math.round(data[from++] * 255);
    return { digest: createHash("sha256").update(pixels).digest("hex").slice(0, 32) };
  } catch (error) {
    return { error };
  }
}

/** Asks torchvision, with the Python of VGG_PYTHON or python3. @returns its versions and a result for each path */
export function reference(paths) {
  const script = fileURLToPath(new URL("reference.py", import.meta.url));
  const python = process.env.VGG_PYTHON || "python3";
  const { status, stdout, error } = spawnSync(python, [script], {
    input: JSON.stringify(paths),
    stdio: ["pipe", "pipe", "ignore"],
    maxBuffer: 2 ** 30,
  });
  if (error || status !== 0)
    throw new Error(
      `Expected ${python} with torchvision but it failed: ${error ?? `status ${status}`}`,
    );
  return JSON.parse(stdout);
}

/** Calls `work` for each item, four at a time. @returns the results in the items' order */
export async function inParallel(items, work) {
  const results = [];
  const remaining = items.entries();
  const some = async () => {
    for (const [index, item] of remaining) results[index] = await work(item);
  };
  await Promise.all([some(), some(), some(), some()]);
  return results;
}

/** Says how our result compares with PIL's: in a word, and after a colon why. */
export async function outcomeOf(path, pil, known) {
  const own = await ours(path);
  if (own.error) {
    const code = own.error.code ?? own.error.name;
    return {
      outcome: pil === null ? `both refuse: ${code}` : `refused: ${code}`,
      detail: own.error.message,
    };
  }
  if (pil === null) return { outcome: "PIL refuses" };
  if (own.digest === pil) return { outcome: "equal" };
  const lying = await ours(path, { orientation: false });
  if (lying.digest === pil) return { outcome: "differs: EXIF orientation" };
  return { outcome: `differs: ${known ?? "unknown"}` };
}

/** Prints how many files of each format have each outcome. */
export function printTable(rows) {
  const formats = [...new Set(rows.map(({ format }) => format))].sort();
  const outcomes = [...new Set(rows.map(({ outcome }) => outcome))].sort();
  const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
  line(["", ...formats, "all"]);
  line(["---", ...formats, "all"].map(() => "---"));
  for (const outcome of outcomes) {
    const same = rows.filter((row) => row.outcome === outcome);
    line([
      outcome,
      ...formats.map((format) => same.filter((row) => row.format === format).length),
      same.length,
    ]);
  }
  line([
    "all",
    ...formats.map((format) => rows.filter((row) => row.format === format).length),
    rows.length,
  ]);
}
