// An operation touches exactly the files that ARCHITECTURE.md lists.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

const kinds = [...read("lib/graph/ops.ts").matchAll(/readonly kind: "(\w+)"/g)].map(
  ([, kind]) => kind!,
);
/** "maxPool2d" → "MaxPool2d", the name of its types */
const typeOf = (kind: string) => kind[0]!.toUpperCase() + kind.slice(1);
/** "maxPool2d" → "max_pool2d", the name of its files */
const fileOf = (kind: string) => kind.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The first path of each item of the list: NAME stands for the operation's, a star for the rest of a name. */
const places = [
  ...read("ARCHITECTURE.md")
    .split("## To add an operation")[1]!
    .split("\n## ")[0]!
    .matchAll(/^\d+\. `([^`]+)`/gm),
].map(([, path]) => path!);

/**
 * Files that treat some operations specially: those with options, those that are fused or share bytes, those with packed
 * weights, and those with several algorithms.
 */
const special: Readonly<Record<string, readonly string[]>> = {
  "lib/graph/profile.ts": ["conv2d", "gemm"],
  "lib/graph/row-options.ts": ["normalize", "conv2d", "batchNorm", "maxPool2d", "gemm"],
  "native/core/fold.cc": ["conv2d", "batchNorm"],
  "native/core/fold.h": ["conv2d", "batchNorm"],
  "native/cpu/choices.cc": [
    "normalize",
    "conv2d",
    "batchNorm",
    "relu",
    "maxPool2d",
    "flatten",
    "gemm",
  ],
  "native/cpu/choices.h": ["maxPool2d"],
  "native/cpu/executable.cc": ["conv2d", "gemm"],
  "native/cpu/executable.h": ["conv2d", "gemm"],
  "native/cpu/parameters.cc": ["conv2d", "batchNorm"],
  "native/cpu/parameters.h": ["conv2d"],
  "native/cuda/lowering.h": ["conv2d", "maxPool2d", "gemm"],
  "native/cuda/ops/conv2d.cc": ["maxPool2d"],
  "native/cuda/ops/conv2d/direct_convolution.cc": ["maxPool2d"],
  "native/cuda/packed_parameters.cc": ["conv2d", "batchNorm"],
  "native/cuda/parameters.h": ["conv2d", "batchNorm"],
  "native/cuda/plan/candidates.cc": ["conv2d", "gemm"],
  "native/cuda/plan/candidates.h": ["conv2d", "gemm"],
  "native/cuda/plan/choices.cc": [
    "normalize",
    "conv2d",
    "batchNorm",
    "relu",
    "maxPool2d",
    "adaptiveAvgPool2d",
    "flatten",
    "gemm",
    "softmax",
    "topK",
  ],
  "native/cuda/plan/choices.h": ["normalize", "maxPool2d"],
  "native/cuda/plan/launches.h": ["conv2d"],
  "native/cuda/plan/planning.cc": ["conv2d"],
};

/** Files that only use operations: networks, commands, the server, programs, documents and tests of something else. */
const users = /^(lib\/(?!graph\/)|serve\/|test\/|bench\/|docs\/|examples\/|npm\/|gpu\/|typedoc\/)/;
const isSource = /\.(ts|mjs|cc|h|cmake)$/;

const sources = spawnSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" })
  .stdout.split("\0")
  .filter((path) => isSource.test(path));

/** The text of each file, of a source without its comments. */
const texts = new Map<string, string>();
function textOf(path: string): string {
  if (!texts.has(path)) {
    const text = read(path);
    const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(?<!:)\/\/.*$/gm, "");
    texts.set(path, isSource.test(path) ? code : text);
  }
  return texts.get(path)!;
}

/** Whether a file names an operation: as a string, by its types, or in TypeScript as a method. */
function names(path: string, kind: string): boolean {
  const type = typeOf(kind);
  const forms = path.endsWith(".md")
    ? `\\b${kind}\\b`
    : /\.(ts|mjs)$/.test(path)
      ? `"${kind}"|\\b${kind}\\(|\\b${type}(Row|Options)\\b`
      : `"${kind}"|\\b${type}\\b`;
  return new RegExp(forms).test(textOf(path));
}

it("knows every operation and place", () => {
  expect(kinds).toHaveLength(10);
  expect(places).toHaveLength(11);
  expect(sources.length).toBeGreaterThan(300);
});

describe.each(kinds)("%s", (kind) => {
  const expected = places.map((place) => place.replace("NAME", fileOf(kind)));

  it("is in each place of the list", () => {
    for (const place of expected) {
      const found = place.includes("*")
        ? sources.filter((path) => path.startsWith(place.split("*")[0]!))
        : [place];
      expect(
        found.filter((path) => names(path, kind)),
        place,
      ).not.toHaveLength(0);
    }
  });

  it("is nowhere else, except where it is treated specially", () => {
    const own = new RegExp(`^native/(cpu|cuda)/ops/${fileOf(kind)}/`);
    const found = sources.filter(
      (path) => !users.test(path) && !own.test(path) && names(path, kind),
    );
    const treated = Object.keys(special).filter((path) => special[path]!.includes(kind));
    const listed = expected.filter((place) => !users.test(place));
    expect(found).toEqual([...listed, ...treated].sort());
  });
});
