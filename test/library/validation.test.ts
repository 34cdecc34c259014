// How `vgg validate` maps folders to classes and adds up answers.
import { describe, expect, it } from "vitest";
import {
  describeOrder,
  folderClasses,
  listNames,
  sortNames,
} from "../../lib/cli/validate/folder-classes.ts";
import { Validation, worstClasses } from "../../lib/vgg/validation.ts";

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i));

describe("the classes of folders", () => {
  it("come from the model's labels if all folders have one", () => {
    const { order, classes } = folderClasses(["dog", "cat"], 3, ["cat", "bird", "dog"]);
    expect([order, [...classes]]).toEqual([
      "labels",
      [
        ["cat", 0],
        ["dog", 2],
      ],
    ]);
  });

  it("come from labels rather than numbers, since a model trained on folders 0 to 11 has them in ImageFolder's order", () => {
    const folders = numbers(0, 11);
    const found = folderClasses(folders, 12, sortNames(folders));
    expect([found.order, found.classes.get("2"), found.other]).toEqual(["labels", 4, undefined]);
  });

  it("come from numbers otherwise, and from ImageFolder's order if all classes have a folder", () => {
    const some = folderClasses(["7", "1"], 10, undefined);
    expect([some.order, [...some.classes], some.other]).toEqual([
      "numbers",
      [
        ["1", 1],
        ["7", 7],
      ],
      undefined,
    ]);
    const all = folderClasses(["n02", "n01"], 2, ["cat", "dog"]);
    expect([all.order, [...all.classes]]).toEqual([
      "names",
      [
        ["n01", 0],
        ["n02", 1],
      ],
    ]);
  });

  it("sort by code points, as Python does", () => {
    // Python 3.11: sorted(["\U0001f600", "\uff5e", "b", "B", "a10", "a2"])
    expect(sortNames(["\u{1f600}", "\uff5e", "b", "B", "a10", "a2"])).toEqual([
      "B",
      "a10",
      "a2",
      "b",
      "\uff5e",
      "\u{1f600}",
    ]);
  });

  it.each([
    [
      0,
      undefined,
      "numbers",
      2,
      "folders by number: 10 is class 10; as in ImageFolder it is 2: --order names",
    ],
    [
      0,
      "names",
      "names",
      4,
      "folders as in ImageFolder: 10 is class 2; by number it is 10: --order numbers",
    ],
    [
      1,
      undefined,
      "names",
      4,
      "folders as in ImageFolder: 10 is class 1; by number it is 9: --order numbers",
    ],
    [
      1,
      "numbers",
      "numbers",
      1,
      "folders by number: 10 is class 9; as in ImageFolder it is 1: --order names",
    ],
  ] as const)(
    "say that numbers from %i with the order %s have another reading",
    (first, order, chosen, two, text) => {
      const found = folderClasses(numbers(first, first + 11), 12, undefined, order);
      expect([found.order, found.classes.get("2"), describeOrder(found)]).toEqual([
        chosen,
        two,
        text,
      ]);
    },
  );

  it("have no other reading if both rules agree", () => {
    const found = folderClasses(["00", "01", "02", "10"].slice(0, 3), 3, undefined);
    expect(describeOrder(found)).toBe("folders by number: 00 is class 0");
    expect(folderClasses(numbers(1, 9), 9, undefined).other).toBeUndefined();
  });

  it("may have the names of parts of a data set if the order is given", () => {
    expect(folderClasses(["train", "val"], 2, undefined, "names").classes.get("val")).toBe(1);
  });

  it("may be fewer than the model's if the order is given", () => {
    const { classes } = folderClasses(["b", "a"], 1000, undefined, "names");
    expect([...classes.values()]).toEqual([0, 1]);
  });

  it.each<[string, ...Parameters<typeof folderClasses>, string]>([
    [
      "match nothing",
      ["dogs", "cats", "x"],
      2,
      undefined,
      undefined,
      "Expected 2 folders, one for each class, or folders named by a class's number or label for DIR but received 3: cats, dogs, x",
    ],
    [
      "match labels in part",
      ["cat", "Dog"],
      2,
      ["cat", "dog"],
      undefined,
      "Expected the label of one class as each folder's name for DIR but received Dog; --order names takes ImageFolder's order instead",
    ],
    [
      "match labels in part and are too many",
      ["cat", "Dog", "x"],
      2,
      ["cat", "dog"],
      undefined,
      "Expected the label of one class as each folder's name for DIR but received Dog, x among 3 folders for 2 classes",
    ],
    [
      "are named by the label of two classes",
      ["crane", "dog"],
      3,
      ["crane", "dog", "crane"],
      undefined,
      "for DIR but received crane;",
    ],
    ["repeat a number", ["01", "1", "x"], 9, undefined, undefined, "Expected 9 folders"],
    [
      "repeat a number that is asked for",
      ["01", "1", "x", "10"],
      9,
      undefined,
      "numbers",
      "Expected a number from 0 to 8, each once, as each folder's name for DIR but received 1, 10, x",
    ],
    [
      "are not labels that are asked for",
      ["a", "b"],
      2,
      ["a", "c"],
      "labels",
      "for DIR but received b",
    ],
    [
      "have no labels",
      ["a"],
      1,
      undefined,
      "labels",
      "Expected numbers or names, because the model has no labels, for --order",
    ],
    [
      "are too many",
      ["a", "b", "c"],
      2,
      undefined,
      "names",
      "Expected at most 2 folders, one for each class, for DIR but received 3: a, b, c",
    ],
  ])("are refused if they %s", (_, folders, numClasses, labels, order, message) => {
    expect(() => folderClasses(folders, numClasses, labels, order)).toThrow(RangeError);
    expect(() => folderClasses(folders, numClasses, labels, order)).toThrow(message);
  });

  it("are listed up to a length", () => {
    expect(listNames(numbers(1, 1000), 20)).toBe("1, 2, 3, 4, 5, 6 and 994 more");
    expect(listNames(["x".repeat(99), "y"])).toBe(`${"x".repeat(39)}…, y`);
    expect(listNames([])).toBe("");
    expect(listNames(["a\u001b[2J\n"])).toBe("a\\u001b[2J\\n");
  });
});

describe("Validation", () => {
  const answer = (...indices: number[]) =>
    indices.map((index) => ({ index, label: "", probability: 0 }));

  // Precision, recall and F1 are scikit-learn's, with zero_division=0 for the averages.
  it("counts accuracy, confusions, precision and recall", () => {
    const validation = new Validation(8, (index) => `class ${index}`);
    validation.add(0, answer(0, 1));
    validation.add(0, answer(1, 0));
    validation.add(1, answer(1, 2));
    validation.add(2, answer(0, 1, 3, 4, 5, 2));
    validation.add(2, answer(7, 2));
    const { classes, ...rest } = validation.summary();
    expect(rest).toEqual({
      images: 5,
      top1: 0.4,
      top5: 0.8,
      macro: {
        precision: 1 / 3,
        recall: 0.5,
        f1: expect.closeTo((0.5 + 2 / 3) / 3),
      },
      confusion: [
        { truth: 0, prediction: 0, images: 1 },
        { truth: 0, prediction: 1, images: 1 },
        { truth: 1, prediction: 1, images: 1 },
        { truth: 2, prediction: 0, images: 1 },
        { truth: 2, prediction: 7, images: 1 },
      ],
    });
    const table = classes.map(({ index, images, correct, predicted, precision, recall, f1 }) => [
      ...[index, images, correct, predicted],
      ...[precision, recall, f1],
    ]);
    expect(table).toEqual([
      [0, 2, 1, 2, 0.5, 0.5, 0.5],
      [1, 1, 1, 2, 0.5, 1, 2 / 3],
      [2, 2, 0, 0, null, 0, 0],
      [7, 0, 0, 1, 0, null, null],
    ]);
    expect(worstClasses(classes, 2)).toEqual([
      expect.objectContaining({
        label: "class 2",
        confusedWith: { index: 0, label: "class 0", images: 1 },
      }),
      expect.objectContaining({ label: "class 0" }),
    ]);
  });

  it("has no acc@5 for five classes, and NaN for no images", () => {
    const nan = Number.NaN;
    const empty = { precision: nan, recall: nan, f1: nan };
    expect(new Validation(5, String).summary()).toEqual({
      images: 0,
      top1: nan,
      macro: empty,
      classes: [],
      confusion: [],
    });
    expect(new Validation(6, String).summary().top5).toBe(nan);
  });
});
