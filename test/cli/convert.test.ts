// `vgg convert`: tensors, and what lies beside them.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { readCheckpoint, Vgg } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const checkpoints = fileURLToPath(new URL("../golden/checkpoints/", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vgg-convert-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function vgg(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: "utf8",
    cwd: scratch,
  });
  return { status, stdout, stderr };
}

describe("vgg convert", () => {
  it("writes safetensors and .pth files, optionally in half precision, that read back unchanged", async () => {
    const source = `${checkpoints}torch-2.15/training-run.pth`;
    const expected = await readCheckpoint(source);
    expect(vgg("convert", source, "a.safetensors").stdout).toBe(
      `a.safetensors: ${expected.size} tensors\n`,
    );
    expect(vgg("convert", "a.safetensors", "b.pth").status).toBe(0);
    const back = await readCheckpoint(join(scratch, "b.pth"));
    expect(new Map([...back].sort())).toEqual(new Map([...expected].sort()));
    const half = vgg(
      "convert",
      `${checkpoints}legacy.pth`,
      "half.pt",
      "--precision",
      "float16",
      "--json",
    );
    expect(JSON.parse(half.stdout)).toMatchObject({ out: "half.pt", tensors: 6 });
    const tensors = await readCheckpoint(join(scratch, "half.pt"));
    expect([...tensors.values()].every(({ dtype }) => dtype === "float16")).toBe(true);
    expect(statSync(join(scratch, "half.pt")).size).toBeLessThan(
      statSync(join(scratch, "b.pth")).size + 4096,
    );
  });

  it("keeps class names, preprocessing and sizes in a safetensors file", async () => {
    const from = join(scratch, "fine-tuned.safetensors");
    await using model = await Vgg.create("vgg11", {
      ...{
        device: testDevice,
        imageSize: 64,
        numClasses: 2,
        hiddenFeatures: 64,
        labels: ["ants", "bees"],
      },
      preprocess: { mean: [0.5, 0.5, 0.5], resize: 70 },
    });
    await model.save(from, { metadata: { note: "kept" } });
    const metadata = (path: string) => {
      const { stdout } = vgg("summary", "--weights", path, "--json");
      return JSON.parse(stdout).weights.metadata;
    };
    const { stderr, status } = vgg("convert", from, "half.safetensors", "--precision", "float16");
    expect([stderr, status]).toEqual(["", 0]);
    expect(metadata("half.safetensors")).toEqual(metadata(from));
    expect(metadata(from)).toMatchObject({ labels: '["ants","bees"]', imageSize: "64" });
    const plain = vgg("convert", "half.safetensors", "half.pth");
    expect(plain.stderr).toBe(
      'vgg: half.pth: not kept: 2 class names, "imageSize", "preprocessing", "note"; a .safetensors file keeps class names and preprocessing\n',
    );
    for (const name of ["half.safetensors", "half.pth", "fine-tuned.safetensors"])
      rmSync(join(scratch, name));
  }, 60_000);

  it("keeps metadata and JSON beside the file that cannot be used, so that it may replace the file", async () => {
    mkdirSync(join(scratch, "odd"));
    const from = join(scratch, "odd/a.safetensors");
    await using model = await Vgg.create("vgg11", {
      ...{ device: testDevice, imageSize: 32, numClasses: 2, hiddenFeatures: 64 },
    });
    await model.save(from, { metadata: { labels: '["ants"]' } });
    expect(vgg("convert", from, from)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(from, "latin1")).toContain('"labels":"[\\"ants\\"]"');
    expect(vgg("convert", from, "odd/b.pth").stderr).toContain("1 class names");
    writeFileSync(join(scratch, "odd/preprocessor_config.json"), '{"do_resize": true}');
    expect(vgg("convert", "odd/b.pth", "odd/c.safetensors")).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect(vgg("convert", "odd/b.pth", "c.safetensors").stderr).toMatch(
      /^vgg: c\.safetensors: not kept: the preprocessing \(odd.preprocessor_config\.json: Expected /,
    );
    for (const name of ["odd", "c.safetensors"]) rmSync(join(scratch, name), { recursive: true });
  }, 60_000);

  it("says what it does not keep, and replaces no file that has it", () => {
    const run = `${checkpoints}class-to-idx.pth`;
    copyFileSync(run, join(scratch, "keep.pth"));
    const refused = vgg("convert", "keep.pth", "keep.pth");
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(
      /^vgg: Expected another file than IN, because this one has what the new one cannot keep \(.*class names.*\), for OUT but received "keep\.pth"\n$/,
    );
    expect(readFileSync(join(scratch, "keep.pth"))).toEqual(readFileSync(run));
    expect(vgg("convert", "keep.pth", "plain.pth").stderr).toMatch(/not kept: .*class names/);
    expect(vgg("convert", "plain.pth", "plain.pth")).toMatchObject({ status: 0, stderr: "" });
    expect(vgg("convert", "keep.pth", "keep.safetensors").stderr).not.toContain("class names");
    expect(readFileSync(join(scratch, "keep.safetensors"), "latin1")).toContain('"labels":');
  });
});
