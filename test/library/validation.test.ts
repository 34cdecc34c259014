// How `vgg validate` maps folders to classes and adds up answers.
import { describe, expect, it } from "vitest";
import { folderClasses, Validation } from "../../lib/vgg/validation.ts";

describe("vgg validate", () => {
  it("maps folders to classes by number, by label or in order", () => {
    expect([...folderClasses(["7", "1"], 10, undefined)]).toEqual([
      ["1", 1],
      ["7", 7],
    ]);
    expect([...folderClasses(["dog", "cat"], 3, ["cat", "bird", "dog"])]).toEqual([
      ["cat", 0],
      ["dog", 2],
    ]);
    expect([...folderClasses(["n02", "n01"], 2, ["cat", "dog"])]).toEqual([
      ["n01", 0],
      ["n02", 1],
    ]);
    expect(() => folderClasses(["x"], 2, undefined)).toThrow(RangeError);
    expect(() => folderClasses(["01", "1", "x"], 9, undefined)).toThrow(RangeError);
  });

  it("summarises accuracy and confusions", () => {
    const validation = new Validation((index) => `class ${index}`);
    const answer = (...indices: number[]) =>
      indices.map((index) => ({ index, label: "", probability: 0 }));
    validation.add(0, answer(0, 1));
    validation.add(0, answer(1, 0));
    validation.add(1, answer(1, 2));
    validation.add(2, answer(0, 1, 3, 4, 5, 2));
    const { images: count, top1, top5, worst } = validation.summary(2);
    expect([count, top1, top5]).toEqual([4, 0.5, 0.75]);
    expect(worst).toEqual([
      {
        index: 2,
        label: "class 2",
        images: 1,
        accuracy: 0,
        confusedWith: { index: 0, label: "class 0", images: 1 },
      },
      {
        index: 0,
        label: "class 0",
        images: 2,
        accuracy: 0.5,
        confusedWith: { index: 1, label: "class 1", images: 1 },
      },
    ]);
    expect(new Validation(String).summary()).toEqual({
      images: 0,
      top1: Number.NaN,
      top5: Number.NaN,
      worst: [],
    });
  });
});
