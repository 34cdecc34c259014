// Class names in the forms in which people store them, in JSON and beside weights.
import { describe, expect, it } from "vitest";
import { labelsBeside, labelsFrom } from "../../../lib/checkpoint/labels.ts";
import { openCheckpoint } from "../../../lib/checkpoint/open.ts";
import { Tensor, writeSafetensors } from "../../../lib/index.ts";
import { file, scratch, tensor, write } from "../../support/checkpoint-files.ts";
import { int, pickle, text } from "../../support/pickle.ts";

const pets = ["cat", "dog"];

describe("labelsFrom", () => {
  it.each<[string, unknown]>([
    ["a list", ["cat", "dog"]],
    ["numbers to names", { 0: "cat", 1: "dog" }],
    ["numbers to names in another order", { 1: "dog", 0: "cat" }],
    ["numbers to names in a Map", new Map([[1, "dog"] as const, [0, "cat"] as const])],
    ["names to numbers", { dog: 1, cat: 0 }],
    ["names to numbers in quotes", { dog: "1", cat: "0" }],
    ["ImageNet's pairs", { 0: ["n02123045", "cat"], 1: ["n02099601", "dog"] }],
    [
      "a list of ImageNet's pairs",
      [
        ["n02123045", "cat"],
        ["n02099601", "dog"],
      ],
    ],
    ["lists of one name", { 0: ["cat"], 1: ["dog"] }],
    [
      "objects with a number and a name",
      [
        { id: 1, name: "dog" },
        { id: 0, name: "cat" },
      ],
    ],
    ["objects with a name alone", [{ name: "cat" }, { label: "dog" }]],
    ["a config's id2label", { id2label: { 0: "cat", 1: "dog" }, hidden_size: 4096 }],
    ["a config's label2id", { label2id: { cat: 0, dog: 1 }, num_labels: 2 }],
    ["both, which agree", { id2label: { 0: "cat", 1: "dog" }, label2id: { cat: 0, dog: 1 } }],
    ["idx_to_class", { idx_to_class: { 0: "cat", 1: "dog" } }],
    ["classToIdx", { classToIdx: { cat: 0, dog: 1 }, epoch: 3 }],
    ["a map under a list's name", { names: { 0: "cat", 1: "dog" } }],
    ["capital letters", { meta: { CLASSES: ["cat", "dog"] } }],
    ["one level down", { config: { label_names: ["cat", "dog"] }, epoch: 1 }],
    ["a map before a list", { classes: ["dog", "cat"], class_to_idx: { cat: 0, dog: 1 } }],
    ["a list beside training targets", { labels: [1, 0, 1], classes: ["cat", "dog"] }],
    [
      "the same names at two places",
      { a: { classes: ["cat", "dog"] }, b: { class_to_idx: { cat: 0, dog: 1 } } },
    ],
  ])("reads %s", (_, value) => {
    expect(labelsFrom(value)).toEqual(pets);
  });

  it("takes ImageFolder's numeric folders for names", () => {
    expect(labelsFrom({ 0: 0, 1: 1, 10: 2, 2: 3 })).toEqual(["0", "1", "10", "2"]);
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["a text", "cat"],
    ["an empty list", []],
    ["an empty object", {}],
    ["numbers", [0, 1]],
    ["names that begin at 1", { 1: "cat", 2: "dog" }],
    ["a hole", { 0: "cat", 2: "dog" }],
    ["two names for a number", { cat: 0, dog: 0 }],
    ["a number twice", { 0: "cat", "00": "dog" }],
    [
      "a number twice in a list",
      [
        { id: 0, name: "cat" },
        { id: 0, name: "dog" },
      ],
    ],
    ["a negative number", { cat: -1, dog: 0 }],
    ["a fraction", { cat: 0, dog: 0.5 }],
    ["a huge number", { cat: 0, dog: 2 ** 53 }],
    ["numbers to numbers in a Map", new Map([[0, 0]])],
    ["names and other values", { 0: "cat", 1: null }],
    ["names and numbers for keys", { 0: "cat", dog: "dog" }],
    ["pairs of other names", { 0: ["cat", "Felis catus"], 1: ["dog", "Canis familiaris"] }],
    ["two places that contradict", { a: { classes: pets }, b: { classes: ["dog", "cat"] } }],
    [
      "two maps that contradict",
      { id2label: { 0: "cat", 1: "dog" }, label2id: { cat: 1, dog: 0 } },
    ],
    ["a wrong map beside a list", { class_to_idx: { cat: 1, dog: 2 }, classes: ["cat", "dog"] }],
    ["two levels down", { a: { b: { classes: ["cat", "dog"] } } }],
  ])("finds none in %s", (_, value) => {
    expect(labelsFrom(value)).toBeUndefined();
  });

  it("does not take a checkpoint's counters for classes", () => {
    expect(labelsFrom({ epoch: 0, step: 1 })).toEqual(["epoch", "step"]);
    expect(labelsBeside({ epoch: 0, step: 1 })).toBeUndefined();
  });
});

describe("a file's labels", () => {
  const weights = tensor(int(6), int(0), int(6), int(1));
  const labelsOf = async (path: string) => {
    const checkpoint = await openCheckpoint(path);
    await checkpoint.close();
    return checkpoint.contents.labels;
  };
  const beside = (key: string, value: string) =>
    write(file(pickle(`}(${text("state_dict")}}${text("w")}${weights}s${text(key)}${value}u`)));

  it.each<[string, string, string]>([
    ["class_to_idx", "class_to_idx", `}(${text("dog")}${int(1)}${text("cat")}${int(0)}u`],
    ["idx_to_class", "idx_to_class", `}(${int(0)}${text("cat")}${int(1)}${text("dog")}u`],
    ["a list", "classes", `](${text("cat")}${text("dog")}e`],
    ["a tuple", "class_names", `(${text("cat")}${text("dog")}t`],
    ["a list in a dictionary", "config", `}${text("classes")}](${text("cat")}${text("dog")}es`],
  ])("come from %s in a pickle", async (_, key, value) => {
    expect(await labelsOf(beside(key, value))).toEqual(pets);
  });

  const contentsOf = async (path: string) => {
    const checkpoint = await openCheckpoint(path);
    await checkpoint.close();
    return checkpoint.contents;
  };

  it.each<[string, string, string, boolean]>([
    ["a tensor as a number", "class_to_idx", `}(${text("cat")}${weights}u`, true],
    ["a hole", "idx_to_class", `}(${int(0)}${text("cat")}${int(2)}${text("dog")}u`, true],
    ["numbers as names", "classes", `](${int(4)}${int(5)}e`, true],
    ["a hole a level below", "config", `}${text("id2label")}}${int(1)}${text("cat")}ss`, true],
    ["a count", "classes", int(2), false],
    ["other data under a usual name", "labels", `](${int(4)}${int(5)}e`, false],
  ])(
    "with %s are absent, and the reason is told if they are meant",
    async (_, key, value, isMeant) => {
      const { labels, labelProblem } = await contentsOf(beside(key, value));
      expect(labels).toBeUndefined();
      const name = key === "config" ? "id2label" : key;
      expect(labelProblem).toBe(
        isMeant
          ? `Expected class names, or names with the numbers 0 to n - 1, each once, under "${name}" but received others; they are not used`
          : undefined,
      );
    },
  );

  it("stand beside the choice of a state dict that was made for the caller", async () => {
    const two = `}(${text("a")}${weights}${text("b")}${weights}u`;
    const path = write(file(pickle(`}(${text("net")}${two}${text("ema_model")}${two}u`)));
    expect((await contentsOf(path)).choice).toEqual({ key: "net", others: ["ema_model"] });
    const chosen = await openCheckpoint(path, { key: "ema_model" });
    await chosen.close();
    expect(chosen.contents.choice).toBeUndefined();
  });

  it("are absent if a pickle's map has a hole", async () => {
    const map = `}(${text("dog")}${int(2)}${text("cat")}${int(0)}u`;
    expect(await labelsOf(beside("class_to_idx", map))).toBeUndefined();
  });

  it("are found at once in 45,000 dictionaries that share a list of 50,000", async () => {
    const list = `](${text("x").repeat(50_000)}eq\x00`;
    const inner = Array.from({ length: 45_000 }, (_, i) => `${int(i)}}${text("classes")}h\x00s`);
    const data = `}(${text("w")}${weights}${text("l")}${list}${inner.join("")}u`;
    const start = process.cpuUsage();
    expect(await labelsOf(write(file(pickle(data))))).toHaveLength(50_000);
    expect(process.cpuUsage(start).user).toBeLessThan(5e6);
  });

  it("are not looked for long in 45,000 objects that share a dictionary of 40,000", async () => {
    const items = Array.from({ length: 40_000 }, (_, i) => `${int(i)}N`).join("");
    const shared = `}(${items}uq\x000catoms\nBox\nq\x010`;
    const objects = Array.from({ length: 45_000 }, (_, i) => `${int(i)}h\x01)\x81h\x00b`);
    const model = `${text("model")}}${text("w")}${weights}s`;
    const data = `${shared}}(${model}${objects.join("")}u`;
    const start = process.cpuUsage();
    expect(await labelsOf(write(file(pickle(data))))).toBeUndefined();
    expect(process.cpuUsage(start).user).toBeLessThan(5e6);
  });

  it("do not make the choice of a state dict slow if 45,000 names share a dictionary of 40,000", async () => {
    const items = Array.from({ length: 40_000 }, (_, i) => `${int(i)}N`).join("");
    const shared = `}(${items}uq\x000`;
    const names = Array.from({ length: 45_000 }, (_, i) => `${text(`k${i}`)}h\x00`);
    const model = `${text("model")}}${text("w")}${weights}s`;
    const data = `${shared}}(${model}${names.join("")}u`;
    const start = process.cpuUsage();
    expect((await contentsOf(write(file(pickle(data))))).choice).toBeUndefined();
    expect(process.cpuUsage(start).user).toBeLessThan(5e6);
  });

  it.each<[string, Record<string, string>]>([
    ["labels", { labels: '["cat","dog"]' }],
    ["class_to_idx", { class_to_idx: '{"dog": 1, "cat": 0}', format: "pt" }],
    ["a config", { config: '{"id2label": {"0": "cat", "1": "dog"}}' }],
  ])("come from %s in safetensors' metadata", async (_, metadata) => {
    const path = `${scratch}/labels.safetensors`;
    await writeSafetensors(path, { w: Tensor.zeros([1]) }, { metadata });
    expect(await labelsOf(path)).toEqual(pets);
  });

  it.each(["cat, dog", "[", "null", "7", '{"cat": 0, "dog": 0}'])(
    "are absent if the metadata have %j",
    async (labels) => {
      const path = `${scratch}/labels.safetensors`;
      await writeSafetensors(path, { w: Tensor.zeros([1]) }, { metadata: { labels } });
      expect(await labelsOf(path)).toBeUndefined();
    },
  );
});
