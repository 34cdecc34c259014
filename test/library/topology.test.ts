// The published family: names, shapes, counts, the recorded rows and the summary.
import { describe, expect, it } from "vitest";
import { type Architecture, architectures } from "../../lib/index.ts";
import { parameterTable } from "../../lib/vgg/parameters.ts";
import { recordForward } from "../../lib/vgg/record.ts";
import { Summary } from "../../lib/vgg/summary.ts";
import { topology } from "../../lib/vgg/topology.ts";

const countOf = (arch: Architecture) => new Summary(topology(arch)).totalParameters;

describe("the family", () => {
  // https://docs.pytorch.org/vision/stable/models/vgg.html: num_params, GFLOPS (which are multiply-adds)
  it.each([
    ["vgg11", 132_863_336, 7.61],
    ["vgg11_bn", 132_868_840, 7.61],
    ["vgg13", 133_047_848, 11.31],
    ["vgg13_bn", 133_053_736, 11.31],
    ["vgg16", 138_357_544, 15.47],
    ["vgg16_bn", 138_365_992, 15.47],
    ["vgg19", 143_667_240, 19.63],
    ["vgg19_bn", 143_678_248, 19.63],
  ] as const)("%s has %i parameters and %d G multiply-adds", (arch, count, giga) => {
    expect(countOf(arch)).toBe(count);
    expect(new Summary(topology(arch)).totalMultiplyAdds / 1e9).toBeCloseTo(giga, 2);
  });

  it("has linear layers of another width if it is asked for", () => {
    const narrow = topology("vgg11", { numClasses: 10, hiddenFeatures: 512 });
    // 9,220,480 of the convolutions, then (25088 + 1) · 512, (512 + 1) · 512 and (512 + 1) · 10
    expect(new Summary(narrow).totalParameters).toBe(22_333_834);
    expect(() => topology("vgg11", { hiddenFeatures: 0 })).toThrow(
      "Expected an integer from 1 to 65536 for hiddenFeatures but received 0",
    );
  });

  it("has torchvision's eight names", () => {
    expect(architectures).toHaveLength(8);
  });

  it("names parameters as torchvision's state_dict does", () => {
    const convolutions = [0, 3, 6, 8, 11, 13, 16, 18].map((i) => `features.${i}`);
    const layers = [...convolutions, "classifier.0", "classifier.3", "classifier.6"];
    const table = parameterTable(topology("vgg11"));
    expect(table.map(({ name }) => name)).toEqual(
      layers.flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]),
    );
    expect(table.find(({ name }) => name === "classifier.0.weight")!.shape).toEqual([4096, 25088]);
    expect(table.find(({ name }) => name === "features.3.weight")!.shape).toEqual([128, 64, 3, 3]);

    const withNorm = parameterTable(topology("vgg11_bn")).map(({ name }) => name);
    expect(withNorm.slice(0, 8)).toEqual([
      "features.0.weight",
      "features.0.bias",
      "features.1.weight",
      "features.1.bias",
      "features.1.running_mean",
      "features.1.running_var",
      "features.1.num_batches_tracked",
      "features.4.weight",
    ]);
    const index = (arch: Architecture, kind: string) =>
      topology(arch).modules.flatMap((m) =>
        m.kind === kind && m.name.startsWith("features") ? [Number(m.name.slice(9))] : [],
      );
    expect(index("vgg11_bn", "conv2d")).toEqual([0, 4, 8, 11, 15, 18, 22, 25]);
    expect(index("vgg11_bn", "batchNorm")).toEqual([1, 5, 9, 12, 16, 19, 23, 26]);
    expect(index("vgg13", "conv2d")).toEqual([0, 2, 5, 7, 10, 12, 15, 17, 20, 22]);
    expect(index("vgg16", "conv2d")).toEqual([0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
    expect(index("vgg19", "conv2d")).toEqual([
      0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34,
    ]);
  });

  it("fuses each ReLU unless the layer before it is requested, and stops after the last requested layer", () => {
    const kinds = (outputs: string[]) =>
      recordForward(topology("vgg11"), outputs).rows.map(({ kind }) => kind);
    expect(kinds(["classifier.6"])).toEqual([
      ..."conv2d maxPool2d conv2d maxPool2d conv2d conv2d maxPool2d conv2d conv2d maxPool2d conv2d conv2d maxPool2d".split(
        " ",
      ),
      ..."adaptiveAvgPool2d flatten gemm gemm gemm".split(" "),
    ]);
    expect(kinds(["features.0", "features.1"])).toEqual(["conv2d", "relu"]);
    expect(kinds(["features.1"])).toEqual(["conv2d"]);
    expect(recordForward(topology("vgg11"), ["features.1"]).rows[0]).toMatchObject({ relu: true });
  });

  it("prints a summary as a table and returns it as data", () => {
    const summary = new Summary(topology("vgg11"));
    const text = String(summary);
    expect(text).toContain(
      "features.0 (conv2d)          (1, 64, 224, 224)         1,792     86,704,128",
    );
    expect(text).toContain("classifier.2 (dropout)");
    expect(text).toContain("Total parameters: 132,863,336");
    expect(text).toContain("Total multiply-adds: 7,609,090,048 (7.61 G)");
    expect(summary.layers).toHaveLength(29);
  });
});
