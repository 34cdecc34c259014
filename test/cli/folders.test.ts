// Folders as users have them: files of all kinds, links, hidden folders, and the line that ends a run.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expandImages } from "../../lib/cli/images/expand.ts";
import { imagesBelow } from "../../lib/cli/images/walk.ts";
import { countKinds, runLine } from "../../lib/cli/run.ts";
import { writeNetwork } from "../support/zeros.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const images = fileURLToPath(new URL("../golden/images/", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-folders-"));
const weights = join(scratch, "third.safetensors");
const network = ["--weights", weights, "--image-size", "32", "--device", "cpu"];

/** Runs a command in the scratch folder. */
function vgg(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: "utf8",
    cwd: scratch,
  });
  return { status, stdout, stderr };
}

/** Makes a file below the scratch folder: a copy of a golden image, or the given bytes. */
function put(path: string, content: string | Uint8Array): void {
  const target = join(scratch, path);
  mkdirSync(dirname(target), { recursive: true });
  if (typeof content === "string") copyFileSync(images + content, target);
  else writeFileSync(target, content);
}

const heic = Buffer.from(`\0\0\0\x18ftypheic${"\0".repeat(50)}`);

beforeAll(() => {
  // Of twelve classes, the network always says the third.
  writeNetwork(
    weights,
    Array.from({ length: 12 }, (_, i) => (i === 2 ? 100 : 0)),
  );
  for (const name of ["a.jpg", "q.jfif", "z.jpe", "noext"]) put(`mixed/${name}`, "portrait.jpg");
  put("mixed/sub/wrong-name.txt", "small.png");
  put("mixed/y.ppm", Buffer.from("P6 1 1 255\nabc"));
  put("mixed/h.heic", heic);
  put("mixed/H2.HEIC", heic);
  put("mixed/v.svg", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'));
  put("mixed/README", Buffer.from("some text"));
  put("mixed/none.jpg", new Uint8Array());
  put("mixed/.DS_Store", Buffer.from("\0\0\0\x01Bud1"));
  put("mixed/Thumbs.db", Buffer.from("d0cf11e0a1b11ae1", "hex"));
  put("mixed/.ipynb_checkpoints/a.jpg", "portrait.jpg");
  symlinkSync("nowhere.jpg", join(scratch, "mixed/gone.jpg"));
  symlinkSync("..", join(scratch, "mixed/sub/up"));
  symlinkSync("sub", join(scratch, "mixed/again"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

describe("imagesBelow", () => {
  it("chooses files by their content, and says why it takes no others", async () => {
    const { files, leftOut } = await imagesBelow(join(scratch, "mixed"));
    const below = (path: string) => relative(join(scratch, "mixed"), path);
    expect(files.map(below)).toEqual([
      "a.jpg",
      "noext",
      "q.jfif",
      "sub/wrong-name.txt",
      "y.ppm",
      "z.jpe",
    ]);
    const whys = leftOut.map(({ path, kind, why }) => [below(path), kind, why]);
    expect(whys).toEqual([
      [".DS_Store", "hidden", "its name begins with a dot"],
      [".ipynb_checkpoints", "hidden", "its name begins with a dot"],
      ["H2.HEIC", ".heic", expect.stringContaining("HEIC")],
      ["README", "without extension", expect.stringContaining("text")],
      ["Thumbs.db", ".db", expect.any(String)],
      ["again", "repeated link", expect.stringContaining("which is read already")],
      ["gone.jpg", "broken link", "its target cannot be read (ENOENT)"],
      ["h.heic", ".heic", expect.stringContaining("HEIC")],
      ["none.jpg", "empty", "it is empty"],
      ["sub/up", "looping link", expect.stringContaining("a folder above it")],
      ["v.svg", ".svg", expect.stringContaining("SVG")],
    ]);
  });

  it("keeps a file that claims to be an image, so that it is an error", async () => {
    put("broken/a.png", Buffer.from("<html>404"));
    put("broken/IMG_1.JPG", heic);
    expect((await imagesBelow(join(scratch, "broken"))).files).toHaveLength(2);
  });

  it("reads a folder once, whatever links lead to it", async () => {
    put("loops/a/1.png", "small.png");
    put("loops/b/2.png", "small.png");
    put("outside/3.png", "small.png");
    symlinkSync("../b", join(scratch, "loops/a/to-b"));
    symlinkSync("../a", join(scratch, "loops/b/to-a"));
    symlinkSync("../outside", join(scratch, "loops/out"));
    symlinkSync("../outside", join(scratch, "loops/out2"));
    symlinkSync("../loops", join(scratch, "outside/back"));
    symlinkSync("self", join(scratch, "loops/self"));
    const { files, leftOut } = await imagesBelow(join(scratch, "loops"));
    const below = (path: string) => relative(join(scratch, "loops"), path);
    expect(files.map(below)).toEqual(["a/1.png", "b/2.png", "out/3.png"]);
    expect(leftOut.map(({ path, kind }) => [below(path), kind])).toEqual([
      ["a/to-b", "repeated link"],
      ["b/to-a", "repeated link"],
      ["out/back", "repeated link"],
      ["out2", "repeated link"],
      ["self", "broken link"],
    ]);
  });

  it("looks at ten thousand files in seconds", async () => {
    mkdirSync(join(scratch, "large"));
    const bytes = Buffer.from("ffd8ffe0", "hex");
    for (let i = 0; i < 10_000; i++) writeFileSync(join(scratch, "large", `${i}`), bytes);
    const start = performance.now();
    expect((await imagesBelow(join(scratch, "large"))).files).toHaveLength(10_000);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe("expandImages", () => {
  it("takes named files and the files of a pattern as they are", async () => {
    const words = [join(scratch, "mixed/h.heic"), join(scratch, "mixed/*.svg"), "no such file"];
    const { files, leftOut } = await expandImages(words);
    expect(files).toEqual([words[0], join(scratch, "mixed/v.svg"), "no such file"]);
    expect(leftOut).toEqual([]);
  });

  it("refuses a folder without images, and says what it has", async () => {
    put("phone/1.heic", heic);
    put("phone/2.heic", heic);
    await expect(expandImages([join(scratch, "phone")])).rejects.toThrow(
      /^Expected a file, or a folder or pattern with images, for IMAGE but received ".*phone", which has only 2 \.heic$/,
    );
  });
});

describe("the line that ends a run", () => {
  const leftOut = [".svg", ".heic", ".heic", ".svg", ".heic"].map((kind) => ({
    path: "",
    kind,
    why: "",
  }));

  it("counts images, failures and what was skipped", () => {
    expect(runLine({ images: 2000, failed: 7, leftOut, seconds: 92.4 })).toBe(
      "2,000 images, 7 failed, 5 skipped (3 .heic, 2 .svg), 92 s",
    );
    expect(runLine({ images: 1, failed: 0, leftOut: [], seconds: 1.23 })).toBe("1 image, 1.2 s");
  });

  it("names as many kinds as fit into 80 columns", () => {
    const many = Array.from({ length: 9 }, (_, i) => ({ path: "", kind: `.${i}`, why: "" }));
    expect(countKinds(many)).toBe("1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 1 .5, 3 other");
    const long = many.map((each) => ({ ...each, kind: `a long kind ${each.kind}` }));
    expect(runLine({ images: 1_234_567, failed: 89_012, leftOut: long, seconds: 12_345 })).toBe(
      "1,234,567 images, 89,012 failed, 9 skipped (1 a long kind .0, 8 other), 12,345 s",
    );
  });

  it("is printed on stderr, and not with --quiet or for one image", () => {
    const line =
      /^6 images, 11 skipped \(2 \.heic, 2 hidden, 1 \.db, 1 \.svg, 5 other\), \d+\.\d s\n$/;
    const args = ["classify", "mixed", ...network, "--top", "1", "--format", "csv"];
    const all = vgg(...args);
    expect([all.status, all.stdout.split("\n").length]).toEqual([0, 8]);
    expect(all.stderr).toMatch(line);
    const quiet = vgg(...args, "-q");
    expect([quiet.status, quiet.stdout, quiet.stderr]).toEqual([0, all.stdout, ""]);
    expect(vgg("classify", "mixed/a.jpg", ...network).stderr).toBe("");
    const verbose = vgg(...args, "-q", "--verbose")
      .stderr.trimEnd()
      .split("\n");
    expect(verbose).toHaveLength(11);
    expect(verbose.join("\n")).toMatch(/^vgg: skips mixed\/h\.heic: it is a HEIC \w+/m);
  });

  it("counts failures, which are still reported one by one", () => {
    const { status, stderr } = vgg("classify", "mixed/h.heic", "mixed/a.jpg", ...network);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^vgg: mixed\/h\.heic: .*HEIC.*\n2 images, 1 failed, \d+\.\d s\n$/);
  });
});
