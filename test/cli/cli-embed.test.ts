// vgg embed and vgg similar: the four formats, failures, and what the search finds.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCheckpoint, Vgg, writeSafetensors } from "../../lib/index.ts";
import { relativeError } from "../support/compare.ts";
import { testDevice } from "../support/devices.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const images = fileURLToPath(new URL("../golden/images/", import.meta.url));
let scratch: string;
let truth: Float32Array[];
const photos = ["a one.jpg", "b, two.png", "sub/c.gif"].map((name) => join("photos", name));
const common = ["--weights", "small.safetensors", "--image-size", "32", "--batch-size", "2"];

function vgg(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: "utf8",
    cwd: scratch,
  });
  return { status, stdout, stderr };
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-embed-"));
  const small = { device: testDevice, imageSize: 32, numClasses: 10, hiddenFeatures: 64 };
  await using model = await Vgg.create("vgg11", { ...small, seed: 1 });
  await model.save(join(scratch, "small.safetensors"));
  mkdirSync(join(scratch, "photos", "sub"), { recursive: true });
  for (const [index, file] of ["portrait.jpg", "small.png", "palette.gif"].entries())
    copyFileSync(images + file, join(scratch, photos[index]!));
  truth = [];
  for (const photo of photos)
    truth.push((await model.embed(join(scratch, photo))).data as Float32Array);
});
afterAll(() => rmSync(scratch, { recursive: true }));

/** Reads a .npy file by its specification. */
function readNpy(path: string) {
  const bytes = readFileSync(join(scratch, path));
  expect(bytes.toString("latin1", 0, 8)).toBe("\x93NUMPY\x01\x00");
  const start = 10 + bytes.readUInt16LE(8);
  expect(start % 64).toBe(0);
  const header = bytes.toString("latin1", 10, start);
  expect(header.endsWith("\n")).toBe(true);
  const shape = JSON.parse(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \((.*)\), \} *\n$/
      .exec(header)![1]!
      .replace(/^(.*)$/, "[$1]"),
  );
  const data = new Float32Array(Uint8Array.from(bytes.subarray(start)).buffer);
  return { shape, data };
}

describe("vgg embed", () => {
  it("writes .npy, and beside it what the rows are", () => {
    const { status, stdout, stderr } = vgg("embed", "photos", ...common, "--out", "plain.npy");
    expect(stderr).toMatch(/^3 images, \d+\.\d s\n$/);
    expect([status, stdout]).toEqual([0, "plain.npy: 3 × 64 float32\n"]);
    const { shape, data } = readNpy("plain.npy");
    expect(shape).toEqual([3, 64]);
    for (const [i, row] of truth.entries())
      expect(relativeError(data.subarray(i * 64, (i + 1) * 64), row)).toBeLessThan(1e-5);
    expect(JSON.parse(readFileSync(join(scratch, "plain.npy.json"), "utf8"))).toEqual({
      ...{ arch: "vgg11", weights: "small.safetensors" },
      ...{ layer: "classifier.4", pool: null, normalize: false },
      preprocessing: expect.objectContaining({ resize: 37, crop: 32, mean: [0.485, 0.456, 0.406] }),
      files: photos,
    });
  });

  it("writes safetensors with the names in its metadata", async () => {
    const options = ["--layer", "avgpool", "--pool", "mean", "--normalize", "--json"];
    const { status, stdout } = vgg(
      "embed",
      "photos",
      ...common,
      "--out",
      "m.safetensors",
      ...options,
    );
    expect(status).toBe(0);
    const report = { out: "m.safetensors", images: 3, failed: 0, length: 512 };
    expect(JSON.parse(stdout)).toEqual(report);
    const tensors = await readCheckpoint(join(scratch, "m.safetensors"));
    const { shape, data } = tensors.get("embeddings")!;
    expect(shape).toEqual([3, 512]);
    expect(Math.hypot(...(data as Float32Array).subarray(0, 512))).toBeCloseTo(1, 5);
  });

  it("writes CSV and JSON lines, to a file or to stdout", () => {
    for (const format of ["csv", "jsonl"]) {
      vgg("embed", "photos", ...common, "--out", `rows.${format}`);
      const text = readFileSync(join(scratch, `rows.${format}`), "utf8");
      const printed = vgg("embed", "photos", ...common, "--format", format);
      expect(printed.stdout).toBe(text);
      const lines = text.trimEnd().split("\n");
      if (format === "csv") {
        expect(lines[0]!.split(",").length).toBe(65);
        expect(lines[0]!.startsWith("file,0,1,2,")).toBe(true);
        expect(lines[2]!.startsWith('"photos/b, two.png",')).toBe(true);
        const numbers = lines[1]!.split(",").slice(1).map(Number);
        expect(relativeError(numbers, truth[0]!)).toBeLessThan(1e-5);
      } else {
        const rows = lines.map((line) => JSON.parse(line));
        expect(rows.map(({ file }) => file)).toEqual(photos);
        for (const [i, row] of truth.entries())
          expect(relativeError(rows[i].embedding, row)).toBeLessThan(1e-5);
      }
    }
    const { stdout } = vgg("embed", "photos/sub", ...common, "--json");
    expect(JSON.parse(stdout).embedding.length).toBe(64);
  });

  it("reports failed images, writes no row of them, with exit code 1", async () => {
    writeFileSync(join(scratch, "none.txt"), "no image");
    const given = ["photos/a one.jpg", "none.txt", "missing.png", "photos/sub/c.gif"];
    for (const out of ["some.npy", "some.safetensors"]) {
      const { status, stdout, stderr } = vgg("embed", ...given, ...common, "--out", out);
      expect([status, stdout]).toEqual([1, `${out}: 2 × 64 float32\n`]);
      expect(stderr).toContain("vgg: none.txt");
      expect(stderr).toContain("vgg: missing.png");
      expect(stderr).toMatch(/4 images, 2 failed, /);
    }
    expect(JSON.parse(readFileSync(join(scratch, "some.npy.json"), "utf8")).files).toEqual([
      given[0],
      given[3],
    ]);
    const { shape, data } = readNpy("some.npy");
    expect(shape).toEqual([2, 64]);
    const tensor = (await readCheckpoint(join(scratch, "some.safetensors"))).get("embeddings")!;
    expect(tensor.shape).toEqual([2, 64]);
    expect(tensor.data).toEqual(data);
  });

  it("leaves a file as it is if no image succeeds", () => {
    writeFileSync(join(scratch, "kept.npy"), "before");
    const before = readdirSync(scratch);
    const { status, stdout, stderr } = vgg("embed", "missing.png", ...common, "--out", "kept.npy");
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("vgg: no image could be embedded, so nothing was written");
    expect(readFileSync(join(scratch, "kept.npy"), "utf8")).toBe("before");
    expect(readdirSync(scratch)).toEqual(before);
  });

  it.each([
    [
      ["--out", "x.txt"],
      'Expected a name that ends in .npy, .safetensors, .csv, .jsonl for --out but received "x.txt"',
    ],
    [["--out", "x.npy", "--format", "csv"], "Expected no --format beside --out"],
    [["--format", "csv", "--json"], "Expected one of --json and --format csv"],
    [["--layer", "featuers"], 'for --layer but received "featuers"; did you mean features?'],
    [["--pool", "sum"], "'--pool <name>' argument 'sum' is invalid"],
    [["--out", "missing/x.npy"], "missing/x.npy"],
  ])("refuses %j", (options, message) => {
    const { status, stdout, stderr } = vgg("embed", "photos", ...common, ...options);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(status).toBe(options[1] === "missing/x.npy" ? 1 : 2);
    expect(existsSync(join(scratch, "x.npy"))).toBe(false);
  });
});

describe("vgg similar", () => {
  beforeAll(() => {
    vgg("embed", "photos", ...common, "--out", "search.npy");
    const pooled = ["--layer", "features.10", "--pool", "max", "--out", "search.safetensors"];
    vgg("embed", "photos", ...common, ...pooled);
  });

  it.each(["search.npy", "search.safetensors"])("finds an image and its likes in %s", (file) => {
    const { status, stdout } = vgg("similar", photos[1]!, ...common, "--in", file, "--json");
    expect(status).toBe(0);
    const matches = JSON.parse(stdout);
    expect(matches[0]).toEqual({ file: photos[1], similarity: expect.closeTo(1, 4) });
    expect(matches.length).toBe(3);
    expect(matches[1].similarity).toBeGreaterThanOrEqual(matches[2].similarity);
    if (file === "search.npy") {
      const cosine = (a: Float32Array, b: Float32Array) =>
        a.reduce((sum, x, i) => sum + x * b[i]!, 0) / Math.hypot(...a) / Math.hypot(...b);
      const other = photos.indexOf(matches[1].file);
      expect(matches[1].similarity).toBeCloseTo(cosine(truth[1]!, truth[other]!), 4);
    }
  });

  it.each(["squash.npy", "squash.safetensors"])("prepares the query as %s says", (file) => {
    vgg("embed", "photos", ...common, "--resize", "squash", "--mean", "0.5", "--out", file);
    const search = (...options: string[]) =>
      JSON.parse(
        vgg("similar", photos[0]!, ...common, "--in", file, "--json", ...options).stdout,
      )[0];
    expect(search()).toEqual({ file: photos[0], similarity: expect.closeTo(1, 5) });
    expect(search("--mean", "0.1", "--std", "0.9").similarity).toBeLessThan(0.99999);
  });

  it("says that the file was made with other weights", () => {
    copyFileSync(join(scratch, "small.safetensors"), join(scratch, "copy.safetensors"));
    const options = ["--weights", "copy.safetensors", "--image-size", "32", "--in", "search.npy"];
    const { status, stderr } = vgg("similar", photos[0]!, ...options);
    expect([status, stderr]).toEqual([
      0,
      "vgg: search.npy was made with the weights small.safetensors, and the query with copy.safetensors\n",
    ]);
  });

  it("prints a table of --top images", () => {
    const { status, stdout } = vgg(
      "similar",
      photos[0]!,
      ...common,
      "--in",
      "search.npy",
      "--top",
      "1",
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/^file +similarity\nphotos\/a one\.jpg +1\.0000\n$/);
  });

  it("reads a .npy file without names", () => {
    copyFileSync(join(scratch, "search.npy"), join(scratch, "bare.npy"));
    const { stdout } = vgg("similar", photos[2]!, ...common, "--in", "bare.npy", "--json");
    expect(JSON.parse(stdout)[0].file).toBe("row 2");
  });

  it("refuses files that do not fit", async () => {
    writeFileSync(
      join(scratch, "cut.npy"),
      readFileSync(join(scratch, "search.npy")).subarray(0, 399),
    );
    writeFileSync(join(scratch, "text.npy"), "no numbers");
    await writeSafetensors(join(scratch, "other.safetensors"), {});
    const of = (file: string, ...more: string[]) =>
      vgg("similar", photos[0]!, ...common, "--in", file, ...more);
    for (const [file, message] of [
      ["missing.npy", "Expected a file for --in but received missing.npy: no such file"],
      ["cut.npy", "Expected a whole .npy file of float32 (N, D) in C order for --in"],
      ["text.npy", "Expected a whole .npy file"],
      ["other.safetensors", "a float32 tensor (N, D) named embeddings"],
      ["photos", "a name that ends in .npy or .safetensors for --in"],
    ] as const) {
      const { status, stderr } = of(file);
      expect(stderr).toContain(message);
      expect(status).toBe(2);
    }
    const sized = of("search.npy", "--layer", "features", "--pool", "mean");
    expect(sized.stderr).toContain(
      'Expected embeddings of 512 values, as features has, for --in but received "search.npy with 64"',
    );
    expect(sized.status).toBe(2);
    const beside = JSON.parse(readFileSync(join(scratch, "search.npy.json"), "utf8"));
    copyFileSync(join(scratch, "search.npy"), join(scratch, "named.npy"));
    writeFileSync(join(scratch, "named.npy.json"), JSON.stringify({ ...beside, files: ["one"] }));
    expect(of("named.npy").stderr).toContain("Expected names of 3 images, one for each row");
    writeFileSync(join(scratch, "named.npy.json"), JSON.stringify({ ...beside, arch: "vgg16" }));
    expect(of("named.npy").stderr).toContain("Expected the embeddings of a vgg11 for --in");
  });
});
