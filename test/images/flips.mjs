// `node test/images/flips.mjs FILE...`: flips one bit of each JPEG, 200 times each, and tells which of them PIL and this package read.
// It needs `npm run build` and a Python with torchvision.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inParallel, ours, reference } from "./compare.mjs";

const flipsPerFile = 200;
const folder = mkdtempSync(join(tmpdir(), "vgg-flips-"));
let random = 1;
/** A number below `limit`, the same in each run. */
const next = (limit) => {
  random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
  return Math.floor((random / 2 ** 32) * limit);
};
try {
  const paths = process.argv.slice(2).flatMap((file, number) =>
    Array.from({ length: flipsPerFile }, (_, flip) => {
      const bytes = readFileSync(file);
      const bit = next(bytes.length * 8);
      bytes[bit >> 3] ^= 1 << (bit & 7);
      const path = join(folder, `${number}-${flip}.jpg`);
      writeFileSync(path, bytes);
      return path;
    }),
  );
  const { versions, results } = reference(paths);
  const own = await inParallel(paths, (path) => ours(path, { orientation: false }));
  const counts = new Map();
  for (const [i, { digest }] of results.entries()) {
    const mine = own[i].error
      ? "refused by us"
      : own[i].digest === digest
        ? "read with the same pixels"
        : digest
          ? "read with other pixels"
          : "read by us";
    const key = `${digest ? "read" : "refused"} by PIL, ${mine}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  console.log(`${paths.length} flips, against ${versions}`);
  for (const [key, count] of [...counts].sort()) console.log(`${count}  ${key}`);
} finally {
  rmSync(folder, { recursive: true });
}
