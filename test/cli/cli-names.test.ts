// Commands with weights that explain themselves: no --arch, names of wrappers, names beside the network, labels, other files.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Tensor, Vgg, writeSafetensors } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const image = fileURLToPath(new URL("../golden/images/small.png", import.meta.url));
let scratch: string;

function vgg(...args: string[]) {
  const env = { ...process.env, VGG_OFFLINE: "1", TORCH_HOME: scratch, XDG_CACHE_HOME: scratch };
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    ...{ encoding: "utf8", cwd: scratch, env },
  });
  return { status, stdout, stderr };
}

const ignored =
  "vgg: run.safetensors: 2 names are not of the vgg13 and skipped: n_averaged, criterion.weight\n";
let best: number;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-names-"));
  await using model = await Vgg.create("vgg13", {
    ...{ device: testDevice, seed: 1, numClasses: 2, hiddenFeatures: 64, imageSize: 32 },
  });
  best = (await model.classify(image))[0]!.index;
  const wrapped = [...(await model.stateDict())].map(
    ([name, tensor]) => [`model.${name.replace("features.", "features.module.")}`, tensor] as const,
  );
  const beside = [
    ["criterion.weight", Tensor.zeros([2])],
    ["n_averaged", Tensor.zeros([], "int64")],
  ] as const;
  await writeSafetensors(join(scratch, "run.safetensors"), new Map([...wrapped, ...beside]), {
    metadata: { class_to_idx: '{"bees": 1, "ants": 0}', imageSize: "32" },
  });
  mkdirSync(join(scratch, "classes", "ants"), { recursive: true });
  await writeSafetensors(join(scratch, "resnet.safetensors"), {
    "layer1.0.conv1.weight": Tensor.zeros([1]),
  });
});
afterAll(() => rmSync(scratch, { recursive: true }));

describe("weights without --arch", () => {
  it("are described by summary", () => {
    const { status, stdout, stderr } = vgg("summary", "--weights", "run.safetensors");
    expect([status, stderr]).toEqual([0, ignored]);
    expect(stdout).toContain("vgg13, input (1, 3, 32, 32)");
    expect(stdout.trimEnd()).toMatch(
      /run\.safetensors: vgg13, safetensors, \d+\.\d+ MB, float32, torchvision's names$/,
    );
    const json = JSON.parse(vgg("summary", "--weights", "run.safetensors", "--json").stdout);
    expect(json).toMatchObject({ arch: "vgg13", inputShape: [1, 3, 32, 32] });
    expect(json.weights.ignored.sort()).toEqual(["criterion.weight", "n_averaged"]);
  });

  it("are told from architectures, folders and DEFAULT in words of the command line", () => {
    mkdirSync(join(scratch, "empty"), { recursive: true });
    for (const [given, message] of [
      [
        "vgg11",
        '--arch vgg11 --weights DEFAULT takes torchvision\'s, and a file of this name is "./vgg11"',
      ],
      ["default", 'default: no such file; "DEFAULT", in capitals, takes torchvision\'s'],
      ["empty", "empty: it is a folder; give the file of weights in it"],
    ] as const)
      expect(vgg("classify", image, "--weights", given).stderr).toContain(message);
    expect(vgg("classify", "empty", "--weights", "run.safetensors").stderr).toContain(
      'but received "empty", which is empty\n',
    );
    expect(vgg("summary", "--weights", "run.safetensors", "--key", "net").stderr).toBe(
      'vgg: run.safetensors: Expected no --key, because a safetensors file has one dictionary of tensors, but received "net"\n',
    );
  });

  it("say what of the file and beside it is not used", () => {
    writeFileSync(join(scratch, "config.json"), "{ cut off");
    const { stderr, stdout } = vgg("summary", "--weights", "run.safetensors", "--json");
    rmSync(join(scratch, "config.json"));
    const warning = "config.json: Expected JSON but received other text; it is not read";
    expect(stderr).toBe(`vgg: ${warning}\n${ignored}`);
    expect(JSON.parse(stdout).weights.warnings).toEqual([warning]);
  });

  it("classify images with the names of their classes", () => {
    const args = ["classify", image, "--weights", "run.safetensors", "--json"];
    const own = vgg(...args);
    expect([own.status, own.stderr]).toEqual([0, ignored]);
    const first = ({ stdout }: { stdout: string }) => JSON.parse(stdout)[0].predictions[0];
    expect(first(own)).toMatchObject({ index: best, label: ["ants", "bees"][best] });
    writeFileSync(join(scratch, "labels.json"), '{"id2label": {"0": "x", "1": "y"}}');
    writeFileSync(join(scratch, "labels.txt"), "0: x\n1: y\n");
    for (const file of ["labels.json", "labels.txt"]) {
      const named = vgg(...args, "--labels", file, "--arch", "vgg13", "--prefix", "model.");
      expect([named.status, first(named).label]).toEqual([0, ["x", "y"][best]]);
    }
    const three = vgg(...args.slice(0, -1), "--labels", "three.txt");
    expect([three.status, three.stderr]).toEqual([
      2,
      "vgg: Expected a file for --labels but received three.txt: no such file\n",
    ]);
    writeFileSync(join(scratch, "three.txt"), "a\nb\nc\n");
    const many = vgg(...args.slice(0, -1), "--labels", "three.txt");
    expect([many.status, many.stderr]).toEqual([
      2,
      "vgg: Expected 2 names, one for each class, for --labels but received 3\n",
    ]);
  });

  it("are measured by bench", () => {
    const { status, stdout, stderr } = vgg(
      ...["bench", "--weights", "run.safetensors", "--batch", "1", "--iterations", "1", "--json"],
    );
    expect([status, stderr]).toEqual([0, ignored]);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ arch: "vgg13", numClasses: 2, imageSize: 32 });
    expect(report.coldStart.totalMs).toBeGreaterThan(0);
  });

  it("are refused in one line if they are of another network", () => {
    for (const command of ["summary", "bench"]) {
      const { status, stderr } = vgg(command, "--weights", "resnet.safetensors");
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^vgg: resnet\.safetensors: Expected the parameters of a VGG but these are the names of a ResNet; .*\nNames: layer1\.0\.conv1\.weight\n$/,
      );
    }
    const { status, stderr } = vgg(
      "classify",
      image,
      "--weights",
      "run.safetensors",
      "--arch",
      "vgg16",
    );
    expect([status, stderr]).toEqual([
      1,
      "vgg: run.safetensors: Expected a vgg16 but the file is a vgg13; pass --arch vgg13 or leave --arch out\n",
    ]);
  });

  it("are refused without advice about --arch by a command that has no such flag", () => {
    const { status, stderr } = vgg("compare", image, image, "--weights", "run.safetensors");
    expect([status, stderr]).toEqual([
      1,
      "vgg: run.safetensors: Expected a vgg16 but the file is a vgg13\n",
    ]);
  });

  it("are vgg11's for DEFAULT, with the same advice in each command if the network may not be used", () => {
    for (const args of [["classify", image], ["validate", "classes"], ["summary"], ["bench"]]) {
      const { status, stderr } = vgg(...args, "--weights", "DEFAULT");
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^vgg: Expected vgg11-8a719046\.pth .* the network may not be used; put vgg11-8a719046\.pth into /,
      );
    }
    expect(vgg("bench", "--arch", "vgg16", "--weights", "DEFAULT").stderr).toContain(
      "vgg16-397923af.pth",
    );
  });
});
