// Which names of a file are a network's parameters: wrappers anywhere, other names, several networks.
import { describe, expect, it } from "vitest";
import { commandLineMessage } from "../../../lib/errors.ts";
import { type Architecture, architectures } from "../../../lib/index.ts";
import { Random } from "../../support/mutate/damage.ts";
import {
  extra,
  identify,
  merged,
  refusal,
  renamed,
  stateDict,
  stored,
  type Tensors,
} from "../../support/stored-tensors.ts";

/** Asserts that each parameter is the tensor of the plain network. */
function expectSame(
  tensors: Tensors,
  plain: Tensors,
  arch: Architecture,
  ignored: string[] = [],
): void {
  for (const wanted of [undefined, arch]) {
    const found = identify(tensors, wanted);
    expect(found.arch).toBe(arch);
    expect(found.ignored).toEqual(ignored);
    expect(found.tensors.size).toBe(plain.size);
    for (const [name, tensor] of found.tensors) expect(plain.get(name)).toBe(tensor);
  }
}

const segments = ["module", "_orig_mod", "model", "net", "backbone", "vgg", "encoder", "student"];

describe("the architecture", () => {
  it.each(architectures)("%s comes from the names, its sizes from the shapes", (arch) => {
    const sizes = { numClasses: 7, inChannels: 1, hiddenFeatures: 96 };
    expect(identify(stateDict(arch, sizes))).toMatchObject({
      arch,
      ...sizes,
      scheme: "torchvision",
    });
    const older = new Map([...stateDict(arch)].filter(([name]) => !name.endsWith("_tracked")));
    expect(identify(older)).toMatchObject({ arch, numClasses: 1000, inChannels: 3, ignored: [] });
  });

  it("has one width of the hidden layers, which the first of them decides", () => {
    const tensors = stateDict("vgg11", { hiddenFeatures: 16 });
    tensors.set("classifier.3.weight", stored([16, 17]));
    expect(refusal(tensors).message).toContain(
      "classifier.3.weight (expected (16, 16), received (16, 17))",
    );
    const convolutions = new Map(stateDict("vgg11", { hiddenFeatures: 16 }));
    convolutions.set("classifier.0.weight", stored([16, 512, 7, 7]));
    convolutions.set("classifier.3.weight", stored([16, 16, 1, 1]));
    expect(identify(convolutions).hiddenFeatures).toBe(16);
    const wide = stateDict("vgg11");
    wide.set("classifier.0.weight", stored([70_000, 25_088]));
    wide.set("classifier.0.bias", stored([70_000]));
    wide.set("classifier.3.weight", stored([70_000, 70_000]));
    wide.set("classifier.3.bias", stored([70_000]));
    wide.set("classifier.6.weight", stored([1000, 70_000]));
    expect(refusal(wide).message).toBe(
      "f.pth: Expected an integer from 1 to 65536 for hiddenFeatures but received 70000, from the shapes in the file",
    );
  });

  it.each(architectures)("%s is checked if it is named", (arch) => {
    for (const other of architectures.filter((each) => each !== arch)) {
      const error = refusal(stateDict(arch), other);
      const expected = `f.pth: Expected a ${other} but the file is a ${arch}; `;
      expect(error.message).toBe(`${expected}load it with "${arch}" or without an architecture`);
      expect(commandLineMessage(error)).toBe(`${expected}pass --arch ${arch} or leave --arch out`);
    }
  });
});

describe("segments of wrappers", () => {
  const positions: Record<string, (name: string, wrapper: string) => string> = {
    "before all names": (name, wrapper) => `${wrapper}.${name}`,
    "within features": (name, wrapper) => name.replace("features.", `features.${wrapper}.`),
    "within both groups": (name, wrapper) => name.replace(".", `.${wrapper}.`),
    "after each layer": (name, wrapper) => name.replace(/\.(\w+)$/, `.${wrapper}.$1`),
    everywhere: (name, wrapper) => `${wrapper}.${name.replaceAll(".", `.${wrapper}.`)}`,
  };
  it.each(Object.entries(positions))("are skipped %s", (_, place) => {
    for (const arch of ["vgg11", "vgg16_bn"] as const) {
      const plain = stateDict(arch);
      for (const wrapper of segments)
        expectSame(
          renamed(plain, (name) => place(name, wrapper)),
          plain,
          arch,
        );
    }
  });

  it("are skipped in any order, and under names that are groups or numbers themselves", () => {
    const plain = stateDict("vgg13");
    for (const a of segments)
      for (const b of segments)
        expectSame(
          renamed(plain, (name) => `${a}.${b}.${name}`),
          plain,
          "vgg13",
        );
    for (const prefix of [
      "features.",
      "classifier.",
      "head.",
      "1.",
      "models.0.module.",
      "a.b.c.d.e.f.",
    ])
      expectSame(
        renamed(plain, (name) => prefix + name),
        plain,
        "vgg13",
      );
  });

  it("may differ between the groups", () => {
    const plain = stateDict("vgg11");
    const split = renamed(
      plain,
      (name) => (name.startsWith("features") ? "encoder." : "head.") + name,
    );
    expectSame(split, plain, "vgg11");
  });

  it("are skipped in timm's and the tutorial's names", () => {
    const plain = stateDict("vgg16", { numClasses: 5 });
    const tutorial = renamed(
      plain,
      (name) =>
        `net.${name.replace("features", "conv_layers.module").replace("classifier", "linear_layers")}`,
    );
    expectSame(tutorial, plain, "vgg16");
    expect(identify(tutorial).scheme).toBe("tutorial");
    const timm = renamed(
      plain,
      (name) =>
        `model.${name
          .replace("classifier.0", "pre_logits.fc1")
          .replace("classifier.3", "pre_logits._orig_mod.fc2")
          .replace("classifier.6", "head.fc")}`,
    );
    const convolutions = (width: number) => {
      timm.set("model.pre_logits.fc1.weight", stored([width, 512, 7, 7]));
      timm.set("model.pre_logits._orig_mod.fc2.weight", stored([width, width, 1, 1]));
    };
    convolutions(4096);
    const whole = { arch: "vgg16", scheme: "timm", hiddenFeatures: 4096, ignored: [] };
    expect(identify(timm)).toMatchObject(whole);
    // Another width is that of all three layers.
    convolutions(96);
    expect(refusal(timm).message).toContain("(expected (96), received (4096))");
    for (const name of ["fc1", "_orig_mod.fc2"])
      timm.set(`model.pre_logits.${name}.bias`, stored([96]));
    timm.set("model.head.fc.weight", stored([5, 96]));
    expect(identify(timm)).toMatchObject({ ...whole, hiddenFeatures: 96, numClasses: 5 });
  });

  it("include the number of a layer in Sequential(Dropout, Linear)", () => {
    const plain = stateDict("vgg11", { numClasses: 3 });
    const head = renamed(plain, (name) => name.replace("classifier.6.", "classifier.6.1."));
    expectSame(head, plain, "vgg11");
    expect(identify(head).numClasses).toBe(3);
  });
});

describe("names beside the network", () => {
  it("are listed and do not matter", () => {
    const plain = stateDict("vgg11");
    const others = extra({
      "criterion.weight": [2],
      n_averaged: [],
      "fc.weight": [10, 512],
      "head.weight": [5, 4096],
      "layer1.0.conv1.weight": [64, 64, 3, 3],
      "teacher.features.0.weight": [64, 3, 3, 3],
      "optimizer.state.0": [9],
    });
    expectSame(
      merged(
        others,
        renamed(plain, (name) => `model.${name}`),
      ),
      plain,
      "vgg11",
      [...others.keys()],
    );
    const ops = extra({
      total_ops: [1],
      "features.0.total_ops": [1],
      "classifier.6.total_params": [1],
    });
    expectSame(merged(plain, ops), plain, "vgg11", [...ops.keys()]);
  });

  it("are no second names of the same tensors", () => {
    const plain = stateDict("vgg11");
    const part = new Map([...plain].filter(([name]) => name.startsWith("features")));
    const twice = merged(
      renamed(plain, (name) => `model.${name}`),
      part,
    );
    expectSame(twice, plain, "vgg11");
    expectSame(
      merged(
        plain,
        renamed(plain, (name) => `a.${name}`),
      ),
      plain,
      "vgg11",
    );
  });

  it("are refused within the network's groups", () => {
    const within = (names: Record<string, number[]>) =>
      refusal(merged(stateDict("vgg11"), extra(names)));
    const head = within({ "classifier.9.weight": [5, 1000], "classifier.9.bias": [5] });
    expect(head.message).toContain("Not in vgg11: classifier.9.weight, classifier.9.bias");
    expect(within({ "features.21.weight": [512, 512, 3, 3] }).message).toContain(
      "features.21.weight",
    );
    expect(within({ "features.1.running_mean": [64] }).message).toContain(
      "features.1.running_mean",
    );
    // A layer after the last one, under a name that is a group of other networks.
    for (const name of ["classifier.head.weight", "classifier.head.fc.weight"])
      expect(within({ [name]: [10, 4096] }).message).toContain(`Not in vgg11: ${name}`);
    const wrapped = renamed(stateDict("vgg11"), (name) => `model.${name}`);
    const last = extra({ "model.classifier.head.weight": [10, 1000] });
    expect(refusal(merged(wrapped, last)).message).toContain("model.classifier.head.weight");
    // A head of two layers would otherwise give the outputs of the first one.
    const two = renamed(stateDict("vgg11", { numClasses: 256 }), (name) =>
      name.replace("classifier.6.", "classifier.6.0."),
    );
    const layers = merged(
      two,
      extra({ "classifier.6.3.weight": [10, 256], "classifier.6.3.bias": [10] }),
    );
    expect(refusal(layers).message).toContain(
      "Not in vgg11: classifier.6.3.weight, classifier.6.3.bias",
    );
  });
});

describe("several networks", () => {
  const student = renamed(stateDict("vgg11"), (name) => `student.${name}`);
  const teacher = renamed(stateDict("vgg16"), (name) => `teacher.${name}`);
  const ema = renamed(stateDict("vgg11"), (name) => `ema.module.${name}`);
  const plain = stateDict("vgg11");

  it("are refused with a name of each, and the prefix as the way out", () => {
    const error = refusal(merged(student, ema));
    expect(error.message).toBe(
      "f.pth: Expected one network but the file has 2: a vgg11 (student.features.0.weight), " +
        'a vgg11 (ema.module.features.0.weight); choose one with prefix: "student." or prefix: "ema.module."',
    );
    expect(commandLineMessage(error)).toContain(
      "choose one with --prefix student. or --prefix ema.module.",
    );
    expect(refusal(merged(plain, ema)).message).toContain('prefix: "" or prefix: "ema.module."');
    expect(refusal(merged(student, teacher)).message).toContain(
      "a vgg16 (teacher.features.0.weight)",
    );
  });

  it("are told apart by a prefix, or by the architecture if it is another one", () => {
    const both = merged(plain, ema);
    expect(identify(both, undefined, "ema.").tensors.get("features.0.weight")).toBe(
      ema.get("ema.module.features.0.weight"),
    );
    const own = identify(both, undefined, "");
    expect(own.tensors.get("features.0.weight")).toBe(plain.get("features.0.weight"));
    expect(own.ignored).toEqual([...ema.keys()]);
    expect(identify(merged(student, teacher), "vgg16").ignored).toEqual([...student.keys()]);
    const none = refusal(both, undefined, "studnet.");
    expect(none.message).toContain('prefix: "studnet." but they are features.0.weight');
  });

  it("are told apart by the whole prefix of one, if the other's begins with it", () => {
    const outer = renamed(plain, (name) => `net.${name}`);
    const inner = renamed(stateDict("vgg11"), (name) => `net.teacher.${name}`);
    const both = merged(inner, outer);
    expect(refusal(both, undefined, "ne").message).toContain("the file has 2");
    const own = identify(both, undefined, "net.");
    expect(own.tensors.get("features.0.weight")).toBe(outer.get("net.features.0.weight"));
    expect(own.ignored).toEqual([...inner.keys()]);
    expect(identify(both, undefined, "net.teacher.").ignored).toEqual([...outer.keys()]);
  });

  it("are refused if single parameters are there twice", () => {
    const head = extra({ "old.classifier.6.weight": [10, 4096], "old.classifier.6.bias": [10] });
    const split = renamed(plain, (name) => (name.startsWith("features") ? "a." : "b.") + name);
    const { message } = refusal(merged(split, head));
    expect(message).toContain("b.classifier.6.weight and old.classifier.6.weight");
    expectSame(merged(plain, head), plain, "vgg11", [...head.keys()]);
  });
});

describe("random wrappers", () => {
  const random = new Random(7, 0);
  const wrappers = [...segments, "m", "0", "features", "_fsdp_wrapped_module", "classifier"];
  const few = (most: number, from: readonly string[]) =>
    Array.from({ length: random.below(most + 1) }, () => `${random.pick(from)}.`).join("");

  it("never change which tensor is which parameter, and never hide one that is missing", () => {
    for (let i = 0; i < 200; i++) {
      const arch = random.pick(architectures);
      const plain = stateDict(arch, { numClasses: 1 + random.below(9) });
      const before = few(4, wrappers);
      const inner = new Map(["features", "classifier"].map((name) => [name, few(2, segments)]));
      const after = new Map<string, string>();
      const change = (name: string) => {
        const [group, layer, leaf] = name.split(".") as [string, string, string];
        const module = `${group}.${layer}`;
        if (!after.has(module)) after.set(module, random.once(5) ? few(2, segments) : "");
        return `${before}${group}.${inner.get(group)}${layer}.${after.get(module)}${leaf}`;
      };
      const wrapped = renamed(plain, change);
      const beside = extra({ [`${before}x.weight`]: [3], "criterion.weight": [1] });
      expectSame(merged(wrapped, beside), plain, arch, [...beside.keys()]);
      const required = [...wrapped.keys()].filter((name) => !name.endsWith("_tracked"));
      const gone = random.pick(required);
      const lacking = new Map([...wrapped].filter(([name]) => name !== gone));
      for (const wanted of [undefined, arch]) refusal(merged(lacking, beside), wanted);
      const misnamed = renamed(wrapped, (name) => (name === gone ? `${name}_orig` : name));
      refusal(misnamed);
    }
  });
});
