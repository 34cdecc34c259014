// Images and lists from standard input and from files of names.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Vgg } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const image = fileURLToPath(new URL("../golden/images/small.png", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-input-"));
const list = join(scratch, "list.txt");

function classify(args: readonly string[], input: string | Buffer = "") {
  const all = ["classify", ...args, "--weights", "tiny.safetensors", "--json", "--top", "1"];
  const options = { encoding: "utf8" as const, cwd: scratch, input };
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...all], options);
  const files = status === 2 ? [] : JSON.parse(stdout).map(({ file }: { file: string }) => file);
  return { status, files, stdout, stderr };
}

beforeAll(async () => {
  await using model = await Vgg.create("vgg11", {
    device: testDevice,
    numClasses: 3,
    hiddenFeatures: 64,
  });
  await model.save(join(scratch, "tiny.safetensors"));
  writeFileSync(join(scratch, "a [1].png"), readFileSync(image));
  writeFileSync(list, `${image}\r\na [1].png\n\n`);
});
afterAll(() => rmSync(scratch, { recursive: true }));

describe("vgg classify", () => {
  it("reads an image from standard input, and gives the classes of the file", () => {
    const piped = classify(["-"], readFileSync(image));
    expect([piped.status, piped.files]).toEqual([0, ["-"]]);
    const [fromPipe] = JSON.parse(piped.stdout);
    const [fromFile] = JSON.parse(classify([image]).stdout);
    expect(fromPipe.predictions).toEqual(fromFile.predictions);
  });

  it("fails for standard input that is no image or empty", () => {
    for (const input of ["no image", ""]) {
      const { status, files, stderr } = classify(["-"], input);
      expect([status, files]).toEqual([1, ["-"]]);
      expect(stderr).toMatch(/^vgg: standard input: .*image but it is /);
    }
  });

  it("takes a list of files from standard input or a file, each name as it stands", () => {
    const names = readFileSync(list);
    expect(classify(["--list", "-"], names).files).toEqual([image, "a [1].png"]);
    expect(classify(["--list", list]).files).toEqual([image, "a [1].png"]);
    // Each line has a row, also one that was named before.
    const twice = Buffer.from(`./a [1].png\n${image}\na [1].png\n./a [1].png\n`);
    expect(classify([image, image, "--list", "-"], twice).files).toEqual([
      ...[image, "./a [1].png", image, "a [1].png", "./a [1].png"],
    ]);
  });

  it("prints no control character of a class, a file or a message", () => {
    writeFileSync(join(scratch, "names.txt"), "\u001b[31mred\nb\u202e\u009b\nc\n");
    writeFileSync(join(scratch, "bad\u001b[2J.png"), "no image");
    const args = ["--weights", "tiny.safetensors", "--labels", "names.txt"];
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [script, "classify", image, "bad\u001b[2J.png", ...args],
      { encoding: "utf8", cwd: scratch },
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    const control = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/;
    expect([control.test(stdout), control.test(stderr)]).toEqual([false, false]);
    expect(stdout).toContain("\\u001b[31mred (0)");
    expect(stderr).toContain("bad\\u001b[2J.png: ");
  });

  it("keeps the message about a skipped file in one line", () => {
    mkdirSync(join(scratch, "lines"));
    writeFileSync(join(scratch, "lines/a\nvgg: b.txt"), "text");
    writeFileSync(join(scratch, "lines/c.png"), readFileSync(image));
    expect(classify(["lines", "--verbose"]).stderr).toContain("/a\\nvgg: b.txt: ");
  });

  it("fails for an image whose probabilities are not numbers", () => {
    const { status, stderr } = classify([image, "--std", "1e-38,1e-38,1e-38"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/small\.png: the network's output is not a number; the weights are/);
  });

  it("gives standard input to one flag", () => {
    const { status, stderr } = classify(["--list", "-", "--labels", "-"], image);
    expect([status, JSON.parse(stderr).error.message]).toEqual([
      2,
      "Expected standard input once but received it for --list and --labels",
    ]);
  });

  it.each([
    [
      ["--list", "nowhere.txt"],
      "Expected a file for --list but received nowhere.txt: no such file",
    ],
    [["--list", "."], "for --list but received .: illegal operation on a directory (EISDIR)"],
    [["--list", "-"], 'Expected a list of images for --list but received "-"'],
    [["-", "--list", "-"], "Expected standard input once for --list"],
    [[], "Expected an image, or --list, for IMAGE but received []"],
  ])("refuses %j", (args, message) => {
    const { status, stdout, stderr } = classify(args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(JSON.parse(stderr).error.message).toContain(message);
  });
});
