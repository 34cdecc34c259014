// Class names of a text file: one a line, numbered lines, two columns, JSON and Python literals, and as an option.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLabels } from "../../../lib/index.ts";
import { labelsOfText } from "../../../lib/vgg/label-file.ts";
import { checkLabels, readClassNames } from "../../../lib/vgg/options.ts";
import { scratch, write } from "../../support/checkpoint-files.ts";

const read = (text: string) => labelsOfText(text, "labels.txt");

describe("a text of class names", () => {
  it.each<[string, string, string[]]>([
    ["one a line", "tench, Tinca tinca\ngoldfish\n", ["tench, Tinca tinca", "goldfish"]],
    ["one a line, with Windows' ends and empty lines", "a\r\n\r\nb c \r\n", ["a", "b c"]],
    ["digits", "0\n1\n10\n2\n", ["0", "1", "10", "2"]],
    ["numbered with a colon", "0: tench\n1: great white shark\n", ["tench", "great white shark"]],
    ["numbered in another order", "1: b\n0: a\n2: c", ["a", "b", "c"]],
    ["numbered with a space", "0 tench\n1 goldfish\n2 shark", ["tench", "goldfish", "shark"]],
    ["numbered with a point", "0. a\n1. b", ["a", "b"]],
    ["numbered from 1", "1: a\n2: b\n", ["a", "b"]],
    ["names that begin with a number", "1 euro\n2 euro\n", ["1 euro", "2 euro"]],
    [
      "names that differ in a number only",
      "0 stars\n1 stars\n2 stars",
      ["0 stars", "1 stars", "2 stars"],
    ],
    ["names that end in a number", "class 0\nclass 1", ["class 0", "class 1"]],
    ["a number first in some lines", "0: a\nb\n1: c", ["0: a", "b", "1: c"]],
    ["CSV", '0,cat\n1,"dog, brown"\n', ["cat", "dog, brown"]],
    ["CSV with a head", "index,label\n0,cat\n1,dog\n", ["cat", "dog"]],
    ["CSV with the number last", "name,idx\ndog,1\ncat,0\n", ["cat", "dog"]],
    ["tabs", "0\tcat\n1\tdog", ["cat", "dog"]],
    [
      "ImageNet's synsets",
      "n01440764 tench, Tinca tinca\nn01443537 goldfish",
      ["tench, Tinca tinca", "goldfish"],
    ],
    ["a JSON list", '["a", "b"]', ["a", "b"]],
    ["class_to_idx", '{"b": 1, "a": 0}', ["a", "b"]],
    ["idx_to_class", '{"1": "b", "0": "a"}', ["a", "b"]],
    [
      "ImageNet's class index",
      '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}',
      ["tench", "goldfish"],
    ],
    ["a config.json", '{"model_type": "vgg", "id2label": {"0": "a", "1": "b"}}', ["a", "b"]],
    [
      "a Python dictionary",
      "{0: 'tench, Tinca tinca',\n 1: \"hen's egg\",}\n",
      ["tench, Tinca tinca", "hen's egg"],
    ],
    ["a Python list", "['a', u'b\\'s', ]", ["a", "b's"]],
    ["nothing", "\n\n", []],
  ])("may be %s", (_, text, labels) => {
    expect(read(text)).toEqual(labels);
  });

  it.each([
    ["a number is missing", "0: a\n2: b"],
    ["a number occurs twice", "0,a\n0,b\n1,c"],
    ["a number is missing in JSON", '{"0": "a", "2": "b"}'],
    ["it is other JSON", '{"lr": 0.1}'],
    ["it is cut-off JSON", '["a", "b"'],
  ])("is refused if %s", (_, text) => {
    expect(() => read(text)).toThrow(RangeError);
    expect(() => read(text)).toThrow(/^Expected .*labels\.txt/);
  });

  it("is read from a path", async () => {
    expect(await readLabels(write(Buffer.from("\ufeff0: a\n1: b\n"), "labels.txt"))).toEqual([
      "a",
      "b",
    ]);
    await expect(readLabels(join(scratch, "none.txt"))).rejects.toThrow("none.txt: no such file");
    for (const [encoding, mark] of [["utf16le", "\ufeff"]] as const) {
      const wide = Buffer.from(`${mark}cat\r\ndog\r\n`, encoding);
      expect(await readLabels(write(wide, "wide.txt"))).toEqual(["cat", "dog"]);
      expect(await readLabels(write(wide.swap16(), "wide.txt"))).toEqual(["cat", "dog"]);
    }
    for (const [bytes, message] of [
      [Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin1"), "it is a PNG image"],
      [Buffer.from("PK\x03\x04 and more", "latin1"), "zip archive"],
      [Buffer.from("cat\ngr\xfcn\n", "latin1"), "it has bytes that are no UTF-8"],
      [Buffer.from("cat\0dog"), "it begins with the bytes"],
    ] as const)
      await expect(readLabels(write(bytes, "wrong.txt"))).rejects.toThrow(message);
    await expect(readLabels(scratch)).rejects.toMatchObject({ code: "FOLDER_UNUSABLE" });
    await expect(readLabels(3 as never)).rejects.toThrow(TypeError);
  });
});

describe("the option labels", () => {
  it.each<[string, unknown]>([
    ["a list", ["a", "b"]],
    ["class_to_idx", { b: 1, a: 0 }],
    ["idx_to_class", { 0: "a", 1: "b" }],
    [
      "a Map",
      new Map([
        ["b", 1],
        ["a", 0],
      ]),
    ],
    ["a config", { id2label: { 0: "a", 1: "b" } }],
    ["pairs", { 0: ["n01440764", "a"], 1: ["n01443537", "b"] }],
  ])("may be %s", (_, labels) => {
    expect(checkLabels(labels, 2)).toEqual(["a", "b"]);
    expect(() => checkLabels(labels, 3)).toThrow(
      "Expected 3 names, one for each class, for labels but received 2",
    );
  });

  it.each<[string, unknown, new (...args: never[]) => Error]>([
    ["a string", "a", TypeError],
    ["null", null, TypeError],
    ["a list of numbers", [1, 2], TypeError],
    ["a Date", new Date(), TypeError],
    ["a map with a hole", { a: 0, b: 2 }, RangeError],
    ["an empty object", {}, RangeError],
  ])("is not %s", (_, labels, type) => {
    expect(() => readClassNames(labels)).toThrow(type);
    expect(() => readClassNames(labels)).toThrow(/^Expected .* for labels but received /);
  });
});
