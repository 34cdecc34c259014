// `vgg see`: the grids of feature maps and filters.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawGrid } from "../../lib/cli/drawing/grid.ts";
import { writeTrunk } from "../support/zeros.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const image = fileURLToPath(new URL("../golden/images/small.png", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-see-"));
beforeAll(() => writeTrunk(join(scratch, "trunk.safetensors")));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Runs the command in the scratch folder. */
function see(...args: string[]) {
  const all = ["see", ...args, "--weights", "trunk.safetensors", "--image-size", "64"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...all], {
    cwd: scratch,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

const sizeOf = async (name: string) => {
  const { width, height, channels } = await sharp(join(scratch, name)).metadata();
  return [width, height, channels];
};

describe("vgg see", () => {
  it("draws all maps of a layer", async () => {
    const { status, stdout, stderr } = see(image, "--layer", "features.1", "--out", "maps.png");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toBe("maps.png: 64 of 64 maps of features.1, 64 × 64 each, in 8 columns\n");
    // Eight tiles of 64 pixels with gaps of 2.
    expect(await sizeOf("maps.png")).toEqual([530, 530, 3]);
  });

  it("draws the strongest maps first, and enlarges small ones", async () => {
    const args = ["--layer", "features.29", "--out", "top.png", "--top", "5", "--json"];
    const { status, stdout } = see(image, ...args);
    expect(status).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ file: "top.png", layer: "features.29", what: "maps" });
    expect(new Set(result.channels).size).toBe(5);
    // Maps of 4 × 4 become 48 × 48.
    expect([result.columns, result.width, result.height]).toEqual([3, 152, 102]);
    expect(await sizeOf("top.png")).toEqual([152, 102, 3]);
  });

  it("draws filters, in colour if they read an image, alone or beside their maps", async () => {
    const filters = ["--filters", "--layer", "features.0", "--out", "filters.png"];
    expect(see(...filters).stdout).toBe(
      "filters.png: 64 of 64 filters of features.0, 3 × 3 each, in 8 columns\n",
    );
    const { data } = await sharp(join(scratch, "filters.png"))
      .raw()
      .toBuffer({ resolveWithObject: true });
    const [red, green, blue] = [0, 1, 2].map((c) => data[(10 * 402 + 10) * 3 + c]);
    expect(red === green && green === blue).toBe(false);
    const deep = ["--filters", "--layer", "features.28", "--out", "deep.png", "--top", "4"];
    expect(see(...deep).stdout).toMatch(
      /^deep\.png: 4 of 512 filters .*\nchannels: \d+(, \d+){3}\n/,
    );
    const both = ["--filters", "--layer", "features.0", "--out", "both.png", "--top", "4"];
    expect(see(image, ...both).status).toBe(0);
    // Two rows of two cells, each with two tiles of 64 pixels.
    expect(await sizeOf("both.png")).toEqual([262, 134, 3]);
  });

  it.each([
    [["--layer", "features.1", "--out", "x.png"], "Expected IMAGE, or --filters without it"],
    [[image, "--layer", "features.1", "--out", "x.jpg"], "Expected a name that ends in .png for"],
    [[image, "--out", "x.png"], "required option '--layer <name>' not specified"],
    [[image, "--layer", "features.1"], "required option '--out <file>' not specified"],
    [[image, "--layer", "features.99", "--out", "x.png"], "Expected a layer of vgg16 for --layer"],
    [[image, "--layer", "classifier.0", "--out", "x.png"], "Expected a layer with feature maps"],
    [
      ["--filters", "--layer", "features.1", "--out", "x.png"],
      "Expected a convolution for --layer",
    ],
    [[image, "--layer", "features.1", "--out", "x.png", "--top", "0"], "for --top but received 0"],
  ])("refuses %j", (args, message) => {
    const { status, stderr } = see(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(existsSync(join(scratch, "x.png"))).toBe(false);
  });
});

describe("drawGrid", () => {
  const tile = (data: number[], width = 2) => ({
    width,
    height: data.length / width,
    planes: 1 as const,
    data: Float32Array.from(data),
  });

  it("scales each tile from black to white", () => {
    const { width, data } = drawGrid([[tile([-1, 0, 1, 3])], [tile([7, 7, 7, 7])]], "--top");
    const at = (x: number, y: number) => data[(y * width + x) * 3];
    expect([at(2, 2), at(26, 2), at(2, 26), at(26, 26)]).toEqual([0, 63, 127, 255]);
    expect(at(52, 2)).toBe(0);
  });

  it("draws what is not finite in black", () => {
    const { width, data } = drawGrid([[tile([Number.NaN, 1, 2, Number.POSITIVE_INFINITY])]], "x");
    expect([2, 26].map((x) => data[(2 * width + x) * 3])).toEqual([0, 0]);
  });

  it("refuses a grid that would be too large", () => {
    const large = tile(new Array(1024 * 1024).fill(0), 1024);
    expect(() => drawGrid(new Array(100).fill([large]), "--top")).toThrow(
      "Expected at most 63 tiles of 1024 × 1024 for --top but received 100",
    );
  });
});
