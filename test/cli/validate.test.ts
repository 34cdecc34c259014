// `vgg validate`: which folder is which class, and the reports, tables and figures.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { confusionFigure } from "../../lib/cli/validate/heat-map.ts";
import { matrixCsv, matrixOf, matrixTable } from "../../lib/cli/validate/matrix.ts";
import { Validation } from "../../lib/vgg/validation.ts";
import { writeNetwork } from "../support/zeros.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const images = fileURLToPath(new URL("../golden/images/", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-validate-"));

/** Runs `vgg validate` in the scratch folder with a network that always says one class. */
function validate(dir: string, weights: "two" | "twelve", ...args: string[]) {
  const network = ["--weights", `${weights}.safetensors`, "--image-size", "32", "--device", "cpu"];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script, "validate", dir, ...network, ...args],
    { encoding: "utf8", cwd: scratch },
  );
  return { status, stdout, stderr };
}

function put(path: string, content: string | Uint8Array = "small.png"): void {
  const target = join(scratch, path);
  mkdirSync(dirname(target), { recursive: true });
  if (typeof content === "string") copyFileSync(images + content, target);
  else writeFileSync(target, content);
}

const text = (name: string) => readFileSync(join(scratch, name), "utf8");

beforeAll(() => {
  writeNetwork(join(scratch, "two.safetensors"), [100, 0]);
  writeNetwork(
    join(scratch, "twelve.safetensors"),
    Array.from({ length: 12 }, (_, i) => (i === 2 ? 100 : 0)),
  );
  for (const first of [0, 1])
    for (let i = first; i < first + 12; i++) put(`from-${first}/${i}/a.png`);
  for (let i = 0; i < 6; i++) {
    put(`pets/cats/${i}.png`);
    put(`pets/dogs/${i}.png`);
  }
  put("pets/.ipynb_checkpoints/0.png");
  put("pets/notes.txt", Buffer.from("notes"));
  put("pets/dogs/h.heic", Buffer.from(`\0\0\0\x18ftypheic${"\0".repeat(50)}`));
  symlinkSync("../pets", join(scratch, "pets/again"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

describe("vgg validate", () => {
  // The network always says class 2, so all images of class 2 are right.
  it.each([
    [0, [], "2", "folders by number: 10 is class 10; as in ImageFolder it is 2: --order names"],
    [
      0,
      ["--order", "names"],
      "10",
      "folders as in ImageFolder: 10 is class 2; by number it is 10: --order numbers",
    ],
    [1, [], "11", "folders as in ImageFolder: 10 is class 1; by number it is 9: --order numbers"],
    [
      1,
      ["--order", "numbers"],
      "3",
      "folders by number: 10 is class 9; as in ImageFolder it is 1: --order names",
    ],
  ] as const)("says how folders from %i with %j became classes", (first, order, right, rule) => {
    const { status, stdout, stderr } = validate(
      `from-${first}`,
      "twelve",
      ...order,
      "--worst",
      "12",
    );
    expect(status).toBe(0);
    expect(stderr.split("\n")[0]).toBe(rule);
    expect(stdout.split("\n")).toContain(rule);
    expect(stdout.split("\n").filter((line) => line.includes("100.000 %"))).toEqual([
      `  100.000 %  ${right}: 1 of 1 right`,
    ]);
  });

  it("takes names from folders, skips hidden ones, and prints lines of 80 columns", () => {
    const { status, stdout, stderr } = validate("pets", "two", "--report");
    expect(status).toBe(0);
    expect(stderr).toMatch(
      /^folders as in ImageFolder: cats is class 0\n12 images, 4 skipped \(1 \.heic, 1 hidden, 1 looping link, 1 other\), [\d.]+ s\n$/,
    );
    expect(stdout.replace(/^[\d.]+ images\/s.*\n/m, "")).toBe(
      [
        "acc@1 50.000 % of 12 images",
        "macro averages: precision 25.0 %, recall 50.0 %, F1 33.3 %",
        "folders as in ImageFolder: cats is class 0",
        "worst classes:",
        "    0.000 %  dogs: 0 of 6 right, 6 taken for cats",
        "  100.000 %  cats: 6 of 6 right",
        "confusions, a row for each true class:",
        "      cats  dogs",
        "cats     6     0",
        "dogs     6     0",
        "class  precision %  recall %  F1 %  images",
        "cats          50.0     100.0  66.7       6",
        "dogs             -       0.0   0.0       6",
        "",
      ].join("\n"),
    );
    for (const line of (stdout + stderr.split("\n")[0]).split("\n"))
      expect(line.length).toBeLessThanOrEqual(80);
  });

  it("writes the answers, the classes and the confusion matrix", async () => {
    put("some/cats/a.png");
    put("some/dogs/b, c.png");
    put("some/dogs/broken.png", Buffer.from("no image"));
    const files = ["--out", "out.csv", "--classes", "classes.csv", "--confusion"];
    const { status, stdout } = validate("some", "two", ...files, "confusion.csv", "--json", "-q");
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      images: 2,
      failed: 1,
      top1: 0.5,
      order: "names",
      classesWithoutFolder: [],
      foldersWithoutImages: [],
      classes: [
        { index: 0, label: "cats", folder: "cats", images: 1, precision: 0.5, recall: 1 },
        { index: 1, label: "dogs", folder: "dogs", images: 1, precision: null, recall: 0 },
      ],
    });
    expect(text("out.csv")).toMatch(
      /^file,truth,prediction,probability,correct,error\nsome\/cats\/a\.png,cats,cats,1,true,\n"some\/dogs\/b, c\.png",dogs,cats,1,false,\nsome\/dogs\/broken\.png,dogs,,,,"?some\/dogs\/broken\.png: .*\n$/,
    );
    expect(text("classes.csv")).toBe(
      "index,label,folder,precision,recall,f1,images,correct,predicted\n0,cats,cats,0.5,1,0.6666666666666666,1,1,2\n1,dogs,dogs,,0,0,1,0,0\n",
    );
    expect(text("confusion.csv")).toBe("truth \\ prediction,cats,dogs\ncats,1,0\ndogs,1,0\n");
    expect(validate("some", "two", "--confusion", "c.svg").status).toBe(1);
    expect(text("c.svg")).toMatch(/^<svg .*<\/svg>\n$/s);
    expect(validate("some", "two", "--confusion", "c.png").status).toBe(1);
    expect((await sharp(join(scratch, "c.png")).metadata()).width).toBeGreaterThan(900);
  });

  it("names classes without a folder and folders without an image", () => {
    put("few/3/a.png");
    mkdirSync(join(scratch, "few/5"));
    const { stdout } = validate("few", "twelve");
    expect(stdout).toContain("\n10 classes have no folder: 0, 1, 2, 4, 6, 7, 8, 9, 10, 11\n");
    expect(stdout).toContain("\n1 folder has no images: 5\n");
  });

  it("reports a data set whose images all fail", () => {
    put("bad/cats/a.png", Buffer.from("no image"));
    put("bad/dogs/a.png", Buffer.from("no image"));
    const { status, stdout } = validate("bad", "two", "--report", "--confusion", "bad.svg");
    expect(status).toBe(1);
    expect(stdout).toMatch(/^acc@1 - of 0 images\n2 images could not be read\n/);
    expect(stdout).not.toContain("NaN");
    expect(text("bad.svg")).not.toMatch(/NaN|Infinity/);
  });

  it.each([
    [
      "folders that match no class",
      ["from-0"],
      "DIR but received 12: 0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9",
    ],
    ["an unknown order", ["pets", "--order", "size"], "Allowed choices are labels, numbers, names"],
    [
      "a figure of another format",
      ["pets", "--confusion", "x.pdf"],
      'ends in .csv or .svg or .png for --confusion but received "x.pdf"',
    ],
    [
      "answers that are no CSV",
      ["pets", "--out", "x.json"],
      'ends in .csv for --out but received "x.json"',
    ],
    ["too few classes asked for", ["pets", "--worst", "-1"], "for --worst but received -1"],
  ])("refuses %s", (_, [dir, ...args], message) => {
    const { status, stderr } = validate(dir!, "two", ...args);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(status).toBe(2);
  });

  it("checks before the run that its files can be written", () => {
    const { status, stderr } = validate("pets", "two", "--confusion", "nowhere/c.svg");
    expect([status, stderr.split("\n").length]).toEqual([1, 2]);
    expect(stderr).toContain("nowhere/c.svg");
  });
});

describe("a confusion matrix", () => {
  function summaryOf(count: number, label: (index: number) => string) {
    const validation = new Validation(count, label);
    for (let i = 0; i < count; i++)
      for (const index of [i, i, (i + 1) % count])
        validation.add(i, [{ index, label: "", probability: 1 }]);
    return validation.summary();
  }

  it("is a table with numbers for long labels, and none if it does not fit", () => {
    const table = (count: number, label: (index: number) => string) =>
      matrixTable(matrixOf(summaryOf(count, label)), 80);
    expect(table(2, (i) => "ab"[i]!)).toEqual(["   a  b", "a  2  1", "b  1  2"]);
    const long = table(9, (i) => `a label of class ${i}`)!;
    expect(long[0]).toMatch(/^ +0 +1 +2 +3 +4 +5 +6 +7 +8$/);
    expect(long[4]).toBe("3 a label of class 3  0  0  0  2  1  0  0  0  0");
    expect(table(40, String)).toBeUndefined();
  });

  it("is CSV for any number of classes", () => {
    const lines = [...matrixCsv(matrixOf(summaryOf(1000, (i) => `c,${i}`)))];
    expect(lines).toHaveLength(1001);
    expect(lines[1]!.startsWith('"c,0",2,1,0,')).toBe(true);
    expect(lines[1000]!.endsWith(",0,2\n")).toBe(true);
  });

  it.each([2, 12, 300])("is a figure of %i classes that a renderer draws", async (count) => {
    const summary = summaryOf(count, (i) => `a <label> & ${i}`);
    const svg = confusionFigure(matrixOf(summary), summary);
    expect(svg).not.toMatch(/NaN|Infinity/);
    const { data, info } = await sharp(Buffer.from(svg))
      .raw()
      .toBuffer({ resolveWithObject: true });
    const colours = new Set<string>();
    for (let i = 0; i < data.length; i += info.channels)
      colours.add(data.subarray(i, i + 3).toString("hex"));
    // Blue of two thirds of a row, and vermillion of one third, on white.
    const deep = [...colours].map((hex) =>
      [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)),
    );
    expect(deep.some(([r, , b]) => b! - r! > 120)).toBe(true);
    expect(deep.some(([r, , b]) => r! - b! > 80)).toBe(true);
  });
});
