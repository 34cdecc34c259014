// What the refusal of a file without a whole VGG says: what is missing, what the file is, and what to do.
import { describe, expect, it } from "vitest";
import { architectures } from "../../../lib/index.ts";
import { extra, refusal, renamed, stateDict, stored } from "../../support/stored-tensors.ts";

describe("a file without a whole network", () => {
  it.each(architectures)(
    "is refused if a parameter of %s is missing or has another shape",
    (arch) => {
      const tensors = stateDict(arch);
      for (const name of tensors.keys()) {
        if (name.endsWith("_tracked")) continue;
        const lacking = new Map([...tensors].filter(([each]) => each !== name));
        for (const wanted of [undefined, arch])
          expect(refusal(lacking, wanted).message).toContain(`Missing keys: ${name}`);
        const misshapen = new Map(tensors).set(name, stored([2, 2]));
        const { message } = refusal(
          renamed(misshapen, (each) => `m.${each}`),
          arch,
        );
        expect(message).toContain(`m.${name} (expected (`);
      }
    },
  );

  it.each([["classifier"], ["fc"], ["head.linear"]])(
    "with the features and another classifier, %s, says what that is",
    (name) => {
      const features = [...stateDict("vgg11")].filter(([each]) => each.startsWith("features"));
      const layer = extra({ [`${name}.weight`]: [10, 512], [`${name}.bias`]: [10] });
      expect(refusal(new Map([...features, ...layer])).message).toContain(
        `has the features of a vgg11 with another classifier than its own: ${name}.weight (10, 512); `,
      );
    },
  );

  it.each(architectures)("with the features of %s only says so", (arch) => {
    const features = new Map([...stateDict(arch)].filter(([name]) => name.startsWith("features")));
    const { message } = refusal(renamed(features, (name) => `model.${name}`));
    expect(message).toContain(
      `but the file has the features of a ${arch} only: no classifier; Vgg.create("${arch}")`,
    );
    const bare = renamed(features, (name) => name.replace("features.", ""));
    expect(refusal(bare).message).toContain(
      `these are the features of a ${arch} only: no classifier`,
    );
    expect(refusal(renamed(bare, (name) => `backbone.${name}`)).message).toContain(
      `of a ${arch} only`,
    );
  });

  it.each<[string, Record<string, number[]>]>([
    [
      "a ResNet",
      {
        "conv1.weight": [64, 3, 7, 7],
        "layer1.0.conv1.weight": [64, 64, 1, 1],
        "fc.weight": [9, 9],
      },
    ],
    [
      "an AlexNet",
      {
        "features.0.weight": [64, 3, 11, 11],
        "classifier.1.weight": [4096, 9216],
        "classifier.4.weight": [9],
      },
    ],
    [
      "a DenseNet",
      { "features.conv0.weight": [1], "features.denseblock1.denselayer1.norm1.weight": [1] },
    ],
    [
      "a MobileNet",
      {
        "features.0.0.weight": [32, 3, 3, 3],
        "features.1.conv.0.0.weight": [1],
        "classifier.1.weight": [1],
      },
    ],
    ["Keras's VGG", { "block1_conv1.weight": [1] }],
    ["Caffe's VGG", { "conv1_1.weight": [64, 3, 3, 3] }],
    ["an optimizer's state", { "exp_avg.0": [1] }],
  ])("with the names of %s says so", (what, names) => {
    for (const wanted of [undefined, "vgg16"] as const) {
      const { message } = refusal(extra(names), wanted);
      expect(message.split("\n")[0]).toContain(`these are the names of ${what}`);
    }
  });

  it("says what else it is", () => {
    expect(refusal(new Map()).message).toContain("the file has no tensors");
    expect(refusal(extra({ "x.w": [1], y: [2] })).message).toContain("not the names of a VGG");
    const old = renamed(stateDict("vgg11"), (name) =>
      name.replace("classifier.0", "classifier.1").replace("classifier.3", "classifier.4"),
    );
    expect(refusal(old).message.split("\n")[0]).toContain("torchvision before March 2017");
    const pruned = new Map(stateDict("vgg11"));
    pruned
      .set("features.0.weight_orig", pruned.get("features.0.weight")!)
      .delete("features.0.weight");
    expect(refusal(pruned).message).toContain("call prune.remove");
    const less = new Map([...stateDict("vgg16")].filter(([name]) => name !== "features.28.bias"));
    expect(refusal(less, "vgg11").message).toContain(
      'The file is like a vgg16; load it with "vgg16"',
    );
  });

  it("has its lists and names cut", () => {
    const many = extra(
      Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`w${i}${"x".repeat(5000)}`, [1]])),
    );
    const { message } = refusal(many);
    expect(message).toContain("… and 894 more");
    expect(message.length).toBeLessThan(1500);
    const obeyed = refusal(extra({ "a\n\u001b[2Jb": [1] })).message;
    expect(obeyed).toContain("Names: a\\n\\u001b[2Jb");
    const others = refusal(extra({ "\u009b2J\u007f\u2028\u202eb": [1] })).message;
    expect(others).toContain("Names: \\u009b2J\\u007f\\u2028\\u202eb");
    const half = refusal(extra({ [`${"x".repeat(98)}\u{1f600}x`]: [1] })).message;
    expect(half).toContain(`x\\ud83d…`);
    const long = `features${".a".repeat(200_000)}.0.weight`;
    expect(refusal(extra({ [long]: [1], [`${long}x`]: [1] })).message.length).toBeLessThan(1000);
  });
});
