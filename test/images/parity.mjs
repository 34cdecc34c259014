// `npm run test:parity`: preprocess() against torchvision on the images of Pillow's source package, whose digests parity.json records.
// `-- --record` records them anew, `-- FOLDER...` makes the table of other folders; both need a Python with torchvision.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { imagesIn, inParallel, outcomeOf, printTable, reference } from "./compare.mjs";

const recordFile = fileURLToPath(new URL("parity.json", import.meta.url));
const cache = fileURLToPath(new URL("../../.cache/parity/", import.meta.url));
const record = existsSync(recordFile) ? JSON.parse(readFileSync(recordFile, "utf8")) : {};
const archive = {
  name: "pillow",
  version: "12.0.0",
  file: "pillow-12.0.0.tar.gz",
  sha256: "87d4f8125c9988bfbed67af47dd7a953e2fc7b0cc1e7800ec6d2080d490bb353",
};

/** Why our pixels differ where it is not the orientation. */
const reasons = {
  "bmp/b/badrle.bmp": "damaged runs",
  "bmp/b/pal8badindex.bmp": "colours that the palette lacks",
  "bmp/g/pal4rle.bmp": "PIL misreads runs",
  "bmp/q/pal4rletrns.bmp": "PIL misreads runs",
  "bmp/q/pal8rletrns.bmp": "PIL misreads runs",
};

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  if (error || status !== 0) throw error ?? new Error(`${command} ended with status ${status}`);
}

/** Downloads and unpacks the archive with pip, unless it is there. @returns the folder of its images */
function fetchImages() {
  const { name, version, file, sha256 } = archive;
  const folder = join(cache, sha256.slice(0, 16));
  const images = join(folder, "Tests", "images");
  if (existsSync(images)) return images;
  mkdirSync(cache, { recursive: true });
  for (const left of readdirSync(cache)) rmSync(join(cache, left), { recursive: true });
  console.log(`fetching ${file}, 47 MB`);
  // pip asks the package for its metadata, which runs its code, so pip itself has to verify the digest before.
  const wanted = join(cache, "requirements.txt");
  writeFileSync(wanted, `${name}==${version} --hash=sha256:${sha256}\n`);
  run(
    "python3",
    ...["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--require-hashes"],
    ...["--no-binary", name, `--dest=${cache}`, "-r", wanted],
  );
  const path = join(cache, file);
  const partial = join(cache, "partial");
  mkdirSync(partial);
  run("tar", "-xzf", path, "-C", partial, "--strip-components=1");
  renameSync(partial, folder);
  rmSync(path);
  return images;
}

/** Compares each image. `digests` are PIL's, in the images' order. */
const compared = (images, digests) =>
  inParallel([...images.keys()], async (i) => ({
    ...images[i],
    ...(await outcomeOf(images[i].path, digests[i], reasons[images[i].name])),
  }));

function print(rows, isListed) {
  printTable(rows);
  if (!isListed) return;
  for (const { name, outcome, detail } of rows)
    if (outcome !== "equal") console.log(`${name}: ${outcome}${detail ? `, ${detail}` : ""}`);
}

const { values, positionals } = parseArgs({
  options: { record: { type: "boolean" }, list: { type: "boolean" } },
  allowPositionals: true,
});

if (positionals.length > 0) {
  const images = positionals.flatMap(imagesIn);
  const { versions, results } = reference(images.map(({ path }) => path));
  console.log(`against ${versions}`);
  print(
    await compared(
      images,
      results.map(({ digest }) => digest ?? null),
    ),
    values.list,
  );
} else if (values.record) {
  const images = imagesIn(fetchImages());
  const { versions, results } = reference(images.map(({ path }) => path));
  const rows = await compared(
    images,
    results.map(({ digest }) => digest ?? null),
  );
  print(rows, values.list);
  const files = rows.map(({ name, outcome }, i) => [name, [outcome, results[i].digest ?? null]]);
  const lines = files.map(
    ([name, entry]) => `    ${JSON.stringify(name)}: ${JSON.stringify(entry)}`,
  );
  const head = `{\n  "archive": ${JSON.stringify(archive.sha256)},\n  "reference": ${JSON.stringify(versions)},\n  "files": {\n`;
  writeFileSync(recordFile, `${head}${lines.join(",\n")}\n  }\n}\n`);
} else {
  if (record.archive !== archive.sha256)
    throw new Error("parity.json is of another archive; run: npm run test:parity -- --record");
  const images = imagesIn(fetchImages());
  const recorded = images.map(({ name }) => record.files[name] ?? ["not recorded", null]);
  const rows = await compared(
    images,
    recorded.map(([, digest]) => digest),
  );
  console.log(`against ${record.reference}`);
  print(rows, values.list);
  const wrong = rows.flatMap(({ name, outcome, detail = "" }, i) =>
    outcome === recorded[i][0]
      ? []
      : [`${name}: Expected "${recorded[i][0]}" but received "${outcome}" ${detail}`],
  );
  const missing = Object.keys(record.files).length - images.length;
  if (missing > 0) wrong.push(`${missing} recorded files are not there`);
  for (const line of wrong) console.error(line);
  console.log(`${images.length - wrong.length} passed, ${wrong.length} failed`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
