// `vgg compare`: pairs of images and folders of pairs, the threshold, the map, and what each exit code means.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeTrunk } from "../support/zeros.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-compare-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Runs the command in the scratch folder. */
function compare(args: readonly string[], input?: Buffer, weights = "trunk.safetensors") {
  const all = ["compare", ...args, "--weights", weights, "--device", "cpu"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...all], {
    cwd: scratch,
    ...(input === undefined ? {} : { input }),
  });
  return { status, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** A page with a box that may move. */
const page = (left: number, width = 64) =>
  sharp({ create: { width, height: 48, channels: 3, background: "white" } })
    .composite([
      {
        input: { create: { width: 20, height: 20, channels: 3, background: "teal" } },
        left,
        top: 14,
      },
    ])
    .png()
    .toBuffer();

const names = ["total", "relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"];

beforeAll(async () => {
  writeTrunk(join(scratch, "trunk.safetensors"));
  const [base, moved, wide] = await Promise.all([page(8), page(30), page(8, 70)]);
  const files = {
    "before/same.png": base,
    "before/shop/cart.jpg": await sharp(base).jpeg().toBuffer(),
    "before/size.png": base,
    "before/gone.png": base,
    "after/same.png": await sharp(base).png({ compressionLevel: 0 }).toBuffer(),
    "after/shop/cart.jpg": await sharp(moved).jpeg().toBuffer(),
    "after/size.png": wide,
    "after/new.png": base,
    "after/notes.txt": Buffer.from("no image"),
    "a.png": base,
    "b.png": moved,
    "wide.png": wide,
  };
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(scratch, path)), { recursive: true });
    writeFileSync(join(scratch, path), bytes);
  }
});

describe("vgg compare of two images", () => {
  it("prints the total and the share of each layer, and draws a map", async () => {
    const { status, stdout, stderr } = compare(["a.png", "b.png", "--map", "diff.png"]);
    expect([status, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.split("  ")[1])).toEqual(names);
    const [total, ...shares] = lines.map((line) => Number(line.split("  ")[0]));
    expect(total).toBeGreaterThan(0.001);
    expect(Math.abs(shares.reduce((sum, share) => sum + share, 0) - total!)).toBeLessThan(5e-5);
    const { data, info } = await sharp(join(scratch, "diff.png"))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([64, 48, 3]);
    const at = (x: number, y: number) => [...data.subarray(3 * (y * 64 + x), 3 * (y * 64 + x) + 3)];
    const redness = ([red, green]: number[]) => red! - green!;
    // Red where the box was and where it is now, less so in the far corner.
    expect(redness(at(12, 24))).toBeGreaterThan(2 * redness(at(63, 47)));
    expect(redness(at(45, 24))).toBeGreaterThan(2 * redness(at(63, 47)));
  });

  it("fails above the threshold", () => {
    expect(compare(["a.png", "b.png", "--threshold", "1"]).status).toBe(0);
    const { status, stderr } = compare(["a.png", "b.png", "--threshold", "0.001"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^vgg: b\.png: the distance 0\.\d{5} is above 0\.001\n$/);
  });

  it("fails if the distance is no number", () => {
    // Infinite features divided by their norm are NaN.
    writeTrunk(
      join(scratch, "infinite.safetensors"),
      new Map([["features.2.bias", new Array(64).fill(Number.POSITIVE_INFINITY)]]),
    );
    const args = ["a.png", "b.png", "--threshold", "1"];
    const { status, stdout, stderr } = compare(args, undefined, "infinite.safetensors");
    expect(status).toBe(1);
    expect(stdout).toMatch(/^NaN {2}total\n/);
    expect(stderr).toBe("vgg: b.png: the distance NaN is above 1\n");
  });

  it("prints JSON, and reads standard input", () => {
    const base = readFileSync(join(scratch, "a.png"));
    const { status, stdout } = compare(["a.png", "-", "--json"], base);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      name: "-",
      total: 0,
      layers: Object.fromEntries(names.slice(1).map((name) => [name, 0])),
      isAbove: false,
    });
  });

  it("refuses two sizes unless it is told to resize", () => {
    const { status, stderr } = compare(["a.png", "wide.png"]);
    expect(status).toBe(1);
    expect(stderr).toBe(
      "vgg: Expected images of one size, or --resize, for a.png and wide.png but received 64 × 48 and 70 × 48\n",
    );
    expect(compare(["a.png", "wide.png", "--resize"]).status).toBe(0);
    expect(compare(["a.png", "wide.png", "--size", "32", "--map", "small.png"]).status).toBe(0);
    expect(compare(["a.png", "none.png"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("none.png"),
    });
  });

  it("limits the pixels of an image, and names the flag", () => {
    expect(compare(["a.png", "b.png", "--max-pixels", "3072"]).status).toBe(0);
    const { status, stderr } = compare(["a.png", "b.png", "--max-pixels", "3071"]);
    expect(status).toBe(1);
    // The two images are read at once.
    expect(stderr).toMatch(
      /^vgg: [ab]\.png: Expected at most 3071 pixels but it has 64 × 48; --max-pixels sets the limit\n$/,
    );
  });

  it.each([
    [["a.png", "after"], 'vgg: Expected a file, as A is, for B but received "after"'],
    [["after", "a.png"], 'vgg: Expected a folder, as A is, for B but received "a.png"'],
    [["a.png", "b.png", "--max-pixels", "0"], "for --max-pixels but received 0"],
    [["-", "-"], 'vgg: Expected standard input once for B but received "-"'],
    [["a.png", "b.png", "--map", "diff.jpg"], "vgg: Expected a name that ends in .png for --map"],
    [["a.png", "b.png", "--map", "./a.png"], "vgg: Expected another path than A and B for --map"],
    [["before", "after", "--map", "after/"], "vgg: Expected another path than A and B for --map"],
    [["before", "after", "--map", ""], "vgg: Expected a path for --map"],
    [["a.png", "b.png", "--threshold", "-1"], "Expected a number of at least 0."],
    [["a.png", "b.png", "--threshold", "x"], "Expected a number of at least 0."],
    [["a.png", "b.png", "--size", "8"], "vgg: Expected an integer from 16 to 16384 for --size"],
    [["a.png"], "vgg: missing required argument 'b'"],
  ])("refuses %j", (args, message) => {
    const { status, stdout, stderr } = compare(args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
  });
});

describe("vgg compare of two folders", () => {
  it("compares files of the same name, and names the others", () => {
    const args = ["before", "after", "--map", "maps", "--threshold", "0.001"];
    const { status, stdout, stderr } = compare(args);
    expect(status).toBe(1);
    const [head, ...rows] = stdout.trimEnd().split("\n");
    expect(head!.trim().split(/ +/)).toEqual([...names, "image"]);
    expect(rows.map((row) => row.split("  ").at(-1))).toEqual(["same.png", "shop/cart.jpg"]);
    expect(rows[0]).toMatch(/^(0\.00000 {2}){6}same\.png$/);
    expect(stderr.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^vgg: shop\/cart\.jpg: the distance 0\.\d{5} is above 0\.001$/),
      "vgg: Expected images of one size, or --resize, for before/size.png and after/size.png but received 64 × 48 and 70 × 48",
      "vgg: before/gone.png: only one of the folders has it",
      "vgg: after/new.png: only one of the folders has it",
      expect.stringMatching(
        /^3 pairs, 1 above 0\.001, 1 failed, 2 in one folder only, 1 skipped \(1 \.txt\), \d+\.\d s$/,
      ),
    ]);
    expect(existsSync(join(scratch, "maps/shop/cart.jpg.png"))).toBe(true);
    expect(existsSync(join(scratch, "maps/same.png"))).toBe(false);
  });

  it("prints with --verbose each skipped file and why", () => {
    const { stderr } = compare(["before", "after", "--verbose", "--quiet"]);
    expect(stderr).toMatch(/^vgg: skips after\/notes\.txt: it is /);
    expect(compare(["before", "after"]).stderr).not.toContain("skips");
  });

  it("prints one JSON object, and exits with 0 if all pairs are equal", () => {
    const { status, stdout, stderr } = compare(["before", "after", "--json", "--quiet"]);
    expect(status).toBe(1);
    expect(stderr).not.toContain("pairs");
    const { pairs, unpaired, seconds } = JSON.parse(stdout);
    expect(pairs.map(({ name }: { name: string }) => name)).toEqual([
      "same.png",
      "shop/cart.jpg",
      "size.png",
    ]);
    expect(pairs[2].error.message).toContain("Expected images of one size");
    expect([unpaired, typeof seconds]).toEqual([["before/gone.png", "after/new.png"], "number"]);
    expect(compare(["before", "before", "--threshold", "0"]).status).toBe(0);
    mkdirSync(join(scratch, "empty"), { recursive: true });
    expect(compare(["empty", "empty"])).toMatchObject({
      status: 2,
      stderr: 'vgg: Expected folders with images for A and B but received "empty and empty"\n',
    });
  });
});
