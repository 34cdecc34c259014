// The commands that read weights and images: classify, validate, convert and summary --weights.
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
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imagenetLabels, Vgg } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const images = fileURLToPath(new URL("../golden/images/", import.meta.url));
const checkpoints = fileURLToPath(new URL("../golden/checkpoints/", import.meta.url));
let scratch: string;
let weights: string;
let best: number;
let bestOfGray: number;

function vgg(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: "utf8",
    cwd: scratch,
  });
  return { status, stdout, stderr };
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-cli-"));
  weights = join(scratch, "random.safetensors");
  await using model = await Vgg.create("vgg11", {
    device: testDevice,
    hiddenFeatures: 64,
    seed: 1,
  });
  await model.save(weights);
  best = (await model.classify(`${images}small.png`))[0]!.index;
  bestOfGray = (await model.classify(`${images}gray.png`))[0]!.index;
  for (const [name, file] of [
    ["a one.jpg", "portrait.jpg"],
    ["b.PNG", "small.png"],
    ["sub/c.gif", "palette.gif"],
  ] as const) {
    mkdirSync(join(scratch, "photos", "sub"), { recursive: true });
    copyFileSync(images + file, join(scratch, "photos", name));
  }
  writeFileSync(join(scratch, "photos", "notes.txt"), "no image");
});
afterAll(() => rmSync(scratch, { recursive: true }));

describe("vgg classify", () => {
  it("prints a table of every image in a folder", () => {
    const { status, stdout, stderr } = vgg(
      "classify",
      "photos",
      "--weights",
      weights,
      "--top",
      "2",
    );
    expect(stderr).toMatch(/^3 images, 1 skipped \(1 \.txt\), \d+\.\d s\n$/);
    expect(status).toBe(0);
    const blocks = stdout.trimEnd().split("\n\n");
    expect(blocks.map((block) => block.split("\n")[0])).toEqual(
      ["a one.jpg", "b.PNG", "sub/c.gif"].map((name) => join("photos", name)),
    );
    expect(blocks[1]!.split("\n")[1]).toMatch(
      new RegExp(`^ +0\\.\\d\\d %  ${imagenetLabels[best]} \\(${best}\\)$`),
    );
    expect(blocks[1]!.split("\n")).toHaveLength(3);
  });

  it("accepts files and patterns, each file once, and prints JSON, NDJSON and CSV", () => {
    const common = ["--weights", weights, "--top", "1"];
    const json = vgg("classify", "photos/*.{jpg,PNG}", "photos/b.PNG", ...common, "--json");
    const list = JSON.parse(json.stdout);
    expect(list.map(({ file }: { file: string }) => file)).toEqual([
      "photos/a one.jpg",
      "photos/b.PNG",
    ]);
    expect(list[1].predictions).toEqual([
      { index: best, label: imagenetLabels[best], probability: expect.any(Number) },
    ]);
    const ndjson = vgg("classify", "photos/sub", "photos/b.PNG", ...common, "--format", "ndjson");
    expect(
      ndjson.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).file),
    ).toEqual(["photos/sub/c.gif", "photos/b.PNG"]);
    const table = vgg("classify", "photos", ...common)
      .stdout.trimEnd()
      .split("\n");
    expect(table).toHaveLength(3);
    expect(table[1]).toMatch(
      new RegExp(`^photos/b\\.PNG       +\\d\\.\\d\\d %  ${imagenetLabels[best]} \\(${best}\\)$`),
    );
    const csv = vgg("classify", "photos/a one.jpg", ...common, "--format", "csv");
    const [header, line] = csv.stdout.split("\n");
    expect(header).toBe("file,rank,index,label,probability,error");
    expect(line).toMatch(/^photos\/a one\.jpg,1,\d+,("[^"]+"|[^,]+),0\.\d+,$/);
  });

  it("continues after a bad image, and exits with 1", () => {
    const { status, stdout, stderr } = vgg(
      "classify",
      "photos/notes.txt",
      "missing.png",
      "photos/b.PNG",
      "--weights",
      weights,
      "--json",
      "--batch-size",
      "2",
    );
    expect(status).toBe(1);
    const list = JSON.parse(stdout);
    expect(list.map((item: { error?: { code: string } }) => item.error?.code)).toEqual([
      "IMAGE_FORMAT",
      "IMAGE_UNREADABLE",
      undefined,
    ]);
    const [text, missing, last, ...rest] = stderr.trimEnd().split("\n");
    expect(text).toContain("vgg: photos/notes.txt");
    expect(missing).toBe("vgg: missing.png: no such file");
    expect(last).toMatch(/^3 images, 2 failed, /);
    expect(rest).toEqual([]);
  });

  it("prints nothing on stdout for wrong arguments", () => {
    for (const top of ["0", "1001"]) {
      const { status, stdout } = vgg(
        "classify",
        "photos",
        "--weights",
        weights,
        "--top",
        top,
        "--json",
      );
      expect([status, stdout]).toEqual([2, ""]);
    }
  });

  it("uses labels from a file", () => {
    const lines = join(scratch, "labels.txt");
    writeFileSync(
      lines,
      `\ufeff${Array.from({ length: 1000 }, (_, i) => `class ${i}`).join("\n")}`,
    );
    const { stdout } = vgg("classify", "photos/b.PNG", "--weights", weights, "--labels", lines);
    expect(stdout).toContain(`class ${best} (${best})`);
  });

  it.each<[string, string[], number, string]>([
    ["no weights", ["classify", "photos"], 2, "required option '--weights <file>'"],
    ["no images", ["classify", "--weights", "x.pth"], 2, "Expected an image, or --list, for IMAGE"],
    [
      "a pattern without a match",
      ["classify", "*.bmp", "--weights", "x.pth"],
      2,
      'for IMAGE but received "*.bmp"',
    ],
    [
      "weights that are missing",
      ["classify", "photos", "--weights", "x.pth"],
      1,
      "x.pth: no such file",
    ],
    [
      "weights that try to run code",
      ["classify", "photos", "--weights", `${checkpoints}refuse-os-system.pth`],
      1,
      'an object of "posix.system"',
    ],
    [
      "labels that are missing",
      ["classify", "photos", "--weights", "x.pth", "--labels", "none.txt"],
      2,
      "--labels but received none.txt: no such file",
    ],
    [
      "a top of 0",
      ["classify", "photos", "--weights", "WEIGHTS", "--top", "0"],
      2,
      "Expected an integer from 1 to 1000000 for --top but received 0",
    ],
    [
      "two formats",
      ["classify", "photos", "--weights", "x.pth", "--json", "--format", "csv"],
      2,
      "Expected --json or --format csv but received both",
    ],
    [
      "an unknown format",
      ["classify", "photos", "--weights", "x.pth", "--format", "xml"],
      2,
      "Allowed choices are table, json, ndjson, csv",
    ],
  ])("refuses %s", (_, args, expected, message) => {
    const { status, stderr } = vgg(...args.map((arg) => (arg === "WEIGHTS" ? weights : arg)));
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(status).toBe(expected);
  });
});

describe("vgg validate", () => {
  it("measures accuracy over class folders, and continues after a bad image", () => {
    const dir = join(scratch, "classes");
    for (const [folder, file] of [
      [String(best), "small.png"],
      ["3", "small.png"],
      ["3", "gray.png"],
    ] as const) {
      mkdirSync(join(dir, folder), { recursive: true });
      copyFileSync(images + file, join(dir, folder, file));
    }
    const { status, stdout, stderr } = vgg("validate", dir, "--weights", weights, "--json", "-q");
    expect([status, stderr]).toEqual([0, ""]);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ images: 3, failed: 0 });
    expect(result.top1).toBeCloseTo(1 / 3);
    expect(result.top5).toBeGreaterThanOrEqual(result.top1);
    expect(result.worst[0]).toMatchObject({
      index: 3,
      label: imagenetLabels[3],
      images: 2,
      recall: 0,
    });
    expect(result.imagesPerSecond).toBeGreaterThan(0);

    // A link to a folder is a class too.
    symlinkSync(join(dir, "3"), join(dir, "4"));
    expect(JSON.parse(vgg("validate", dir, "--weights", weights, "--json").stdout).images).toBe(5);
    rmSync(join(dir, "4"));

    writeFileSync(join(dir, "3", "bad.png"), "bad");
    const table = vgg("validate", dir, "--weights", weights);
    expect(table.status).toBe(1);
    expect(table.stdout).toMatch(
      /^acc@1 33\.333 %, acc@5 \d+\.\d+ % of 3 images\n1 image could not be read\n/,
    );
    const times = best === bestOfGray ? 2 : 1;
    const taken = `tiger shark: 0 of 2 right, ${times} taken for`;
    const names = [best, bestOfGray].map((index) => `${taken} ${imagenetLabels[index]}`);
    expect(names.some((name) => table.stdout.includes(name))).toBe(true);
  });

  it("refuses a missing folder, or one whose folders are not classes", () => {
    for (const [dir, message] of [
      ["nowhere", "ENOENT"],
      ["photos/sub", "a folder for each class"],
      ["photos", "Expected 1000 folders, one for each class"],
    ] as const) {
      const { status, stderr } = vgg("validate", dir, "--weights", weights);
      expect(stderr).toContain(message);
      expect(status).toBe(2);
    }
  });
});

describe("a failure", () => {
  it("leaves no file", () => {
    for (const [args, status] of [
      [["convert", `${checkpoints}zip.pth`, "x.onnx"], 2],
      [["convert", `${checkpoints}refuse-os-system.pth`, "x.pth"], 1],
      [["convert", `${checkpoints}torch-2.15/float8_e4m3fn.pth`, "x.pth"], 1],
      [["convert", `${checkpoints}zip.pth`, "x.pth", "--precision", "int4"], 2],
      [["convert", `${checkpoints}zip.pth`, "no folder/x.pth"], 1],
      [["summary", "--weights", weights, "--num-classes", "7"], 2],
      [["validate", "photos", "--weights", weights, "--worst", "-1"], 2],
    ] as const) {
      const result = vgg(...args);
      expect([result.status, result.stderr.trimEnd().split("\n").length]).toEqual([status, 1]);
      expect(() => readFileSync(join(scratch, "x.pth"))).toThrow("ENOENT");
    }
  });
});

describe("vgg summary --weights", () => {
  it("describes a file's contents", () => {
    const { status, stdout } = vgg("summary", "--weights", weights);
    expect(status).toBe(0);
    expect(stdout.trimEnd().split("\n").at(-1)).toMatch(
      /random\.safetensors: vgg11, safetensors, 43\.58 MB, float32, torchvision's names$/,
    );
    const json = JSON.parse(vgg("summary", "--weights", weights, "--json").stdout);
    expect(json.weights).toMatchObject({
      format: "safetensors",
      names: "torchvision",
      metadata: { arch: "vgg11", format: "pt" },
    });
    expect(vgg("summary", "--weights", weights, "--hidden-features", "7")).toEqual({
      status: 2,
      stdout: "",
      stderr: `vgg: Expected 64, which ${weights} has, for --hidden-features but received 7\n`,
    });
    const { status: other, stderr } = vgg("summary", "--weights", weights, "--arch", "vgg13");
    expect(other).toBe(1);
    expect(stderr).toContain(
      "Expected a vgg13 but the file is a vgg11; pass --arch vgg11 or leave --arch out\n",
    );
  });
});
