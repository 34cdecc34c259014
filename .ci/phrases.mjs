// Refuses phrases that docs and comments should not use, in every tracked text file. Prints FILE:LINE, the phrase and what to write.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** Data, generated files, and files of others. Their sentences are not this project's. */
const skipped = [
  /^test\/golden\//,
  /^package-lock\.json$/,
  /^docs\/licences\.md$/,
  /^bench\/results\//,
  /^\.ci\/phrases\.mjs$/,
];

const text = /\.(md|ts|mjs|js|cc|h|cu|sh|py|json|txt|cmake|gyp|yml)$/;

/** Each phrase, and what to write. */
const phrases = [
  [/\bso many\b/i, "the number, or what it counts"],
  [/\bso much\b/i, "the amount, or what it measures"],
  [/\bof which\b/i, "a sentence of its own, or whose"],
  [/\bthose of\b/i, "the noun"],
  [/\bmeanwhile\b/i, "while …"],
  [/\bin place of\b/i, "instead of"],
  [/\bpictures?\b/i, "image"],
  [/\bbrought near\b/i, "prefetched"],
  [/\bsecond cache\b/i, "L2 cache"],
  [/\b(leaves?|left|leaving) out\b/i, "skip, omit"],
];

const files = execFileSync("git", ["ls-files", "-z"], { encoding: "utf8" }).split("\0");
let found = 0;
for (const file of files) {
  if (!text.test(file) && basename(file).includes(".")) continue;
  if (file === "" || skipped.some((pattern) => pattern.test(file))) continue;
  for (const [index, line] of readFileSync(file, "utf8").split("\n").entries()) {
    for (const [phrase, better] of phrases) {
      const match = phrase.exec(line);
      if (match === null) continue;
      found += 1;
      console.log(`${file}:${index + 1}: "${match[0]}": write ${better}`);
    }
  }
}
if (found > 0) process.exitCode = 1;
