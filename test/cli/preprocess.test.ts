// The options of the commands that say how an image becomes the network's input.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Vgg, writeSafetensors } from "../../lib/index.ts";
import { small } from "../support/small-models.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const image = fileURLToPath(new URL("../golden/images/landscape.png", import.meta.url));
let scratch: string;
let weights: string;
let model: Vgg;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-cli-preprocess-"));
  weights = join(scratch, "model.safetensors");
  model = await Vgg.create("vgg11", { ...small, seed: 1 });
  await model.save(weights);
});
afterAll(async () => {
  await model.dispose();
  rmSync(scratch, { recursive: true });
});

function vgg(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: "utf8",
    cwd: scratch,
  });
  return { status, stdout, stderr };
}
const classify = (...flags: string[]) =>
  vgg("classify", image, "--weights", weights, "--json", ...flags);

describe("vgg classify", () => {
  it("keeps the orientation that the file says, unless the flag is given", async () => {
    const turned = fileURLToPath(new URL("../golden/images/rotated.jpg", import.meta.url));
    await using other = await Vgg.create("vgg11", {
      ...{ ...small, seed: 1 },
      preprocess: { orientation: false },
    });
    const path = join(scratch, "as-stored.safetensors");
    await other.save(path);
    const { stdout } = vgg("classify", turned, "--weights", path, "--json");
    expect(JSON.parse(stdout)[0].predictions).toEqual(await other.classify(turned));
    expect(await model.classify(turned)).not.toEqual(await other.classify(turned));
  });

  it("follows the flags", async () => {
    const { status, stdout, stderr } = classify(
      ...["--mean", "0.5,0.4,0.3", "--std", "0.25", "--resize", "squash", "--crop", "32"],
      ...["--interpolation", "bicubic", "--max-pixels", "200000", "--no-orientation"],
    );
    expect([status, stderr]).toEqual([0, ""]);
    const preprocess = {
      mean: [0.5, 0.4, 0.3],
      std: [0.25],
      resize: "squash",
      interpolation: "bicubic",
    } as const;
    expect(JSON.parse(stdout)[0].predictions).toEqual(await model.classify(image, { preprocess }));
    expect(JSON.parse(classify().stdout)[0].predictions).toEqual(await model.classify(image));
  });

  it.each([
    [["--mean", "0.5,x"], "error: option '--mean <numbers>' argument '0.5,x' is invalid."],
    [["--mean", "0.5,0.5"], "Expected one or three finite numbers for --mean"],
    [["--std", "0"], "Expected numbers other than zero for --std"],
    [["--resize", "stretch"], "Expected a whole number or squash."],
    [["--resize", "16"], "Expected an integer from 1 to 16, the side after the resize, for --crop"],
    [["--crop", "31"], "Expected 32, the network's image size, for --crop but received 31"],
    [["--max-pixels", "0"], "Expected an integer from 1 to 2147483647 for --max-pixels"],
    [["--interpolation", "area"], "Allowed choices are bilinear, bicubic, nearest, lanczos, box."],
  ])("names the flag in a message: %j", (flags, message) => {
    const { status, stdout, stderr } = classify(...flags);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message.replace(/^error: /, ""));
  });

  it("says how to raise the limit of pixels", () => {
    const { status, stderr } = classify("--max-pixels", "187499");
    expect(status).toBe(1);
    expect(stderr).toContain(
      "Expected at most 187499 pixels but it has 500 × 375; --max-pixels sets the limit",
    );
  });
});

describe("JSON beside the weights", () => {
  let beside: string;
  const write = (config: object) =>
    writeFileSync(join(scratch, "timm", "config.json"), JSON.stringify({ pretrained_cfg: config }));
  beforeAll(async () => {
    mkdirSync(join(scratch, "timm"));
    beside = join(scratch, "timm", "model.safetensors");
    await writeSafetensors(beside, await model.stateDict());
  });

  it("is described by vgg summary", () => {
    write({ input_size: [3, 32, 32], crop_pct: 1, mean: [0.5], std: [0.5] });
    const text = vgg("summary", "--weights", beside).stdout;
    expect(text).toContain("images: resize 32, crop 32, bicubic, as in ");
    expect(text).toContain("config.json\n        mean 0.5 0.5 0.5, std 0.5 0.5 0.5\n");
    const json = JSON.parse(vgg("summary", "--weights", beside, "--json").stdout);
    expect(json.inputShape).toEqual([1, 3, 32, 32]);
    expect(json.weights.preprocessing).toMatchObject({ resize: 32, interpolation: "bicubic" });
  });

  it("is refused with the flag that overrides it", () => {
    write({ input_size: [3, 32, 32], crop_mode: "border" });
    const common = ["classify", image, "--weights", beside, "--json", "--top", "1"];
    const { status, stderr } = vgg(...common);
    expect(status).toBe(1);
    expect(JSON.parse(stderr).error).toEqual({
      code: "CHECKPOINT_UNSUPPORTED",
      message: `${join(scratch, "timm", "config.json")}: Expected "center" or "squash", since borders are not drawn, for crop_mode but received "border"; --resize overrides it`,
    });
    expect(vgg(...common, "--resize", "37").status).toBe(0);
    expect(vgg("summary", "--weights", beside).stdout).toContain("--resize overrides it");
  });
});

it("the help of each command that reads images has the options", () => {
  for (const command of ["classify", "validate"]) {
    const { stdout } = vgg(command, "--help");
    for (const flag of ["mean", "std", "resize", "crop", "interpolation", "max-pixels"])
      expect(stdout).toContain(`--${flag} <`);
    expect(stdout).toContain("--no-orientation");
  }
});
