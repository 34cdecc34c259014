// PBM, PGM and PPM files are decoded as PIL does; its results for real files are in test/images/.
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { expectCode, pixelsOf } from "../support/images.ts";

const file = (text: string, samples: number[] = []) =>
  Buffer.concat([Buffer.from(text, "latin1"), Buffer.from(samples)]);
const grey = (...levels: number[]) => levels.flatMap((level) => [level, level, level]);

describe("a PNM file", () => {
  it.each<[string, Buffer, number[]]>([
    ["P1, spaced", file("P1 3 1 0 1\n0"), grey(255, 0, 255)],
    ["P1, dense, with more", file("P1\n3 1\n01 0 1 1 1"), grey(255, 0, 255)],
    ["P2", file("P2 3 1 255\n0 7\t255"), grey(0, 7, 255)],
    ["P2 of 15", file("P2 3 1 15\n0 1 15\n"), grey(0, 17, 255)],
    ["P3", file("P3 1 1 255 1 2 3"), [1, 2, 3]],
    ["P4", file("P4 9 1\n", [0b01010101, 0b10000000]), grey(255, 0, 255, 0, 255, 0, 255, 0, 0)],
    ["P5", file("P5 3 1 255\n", [9, 10, 13]), grey(9, 10, 13)],
    ["P5 of 2, whose half is even", file("P5 3 1 2\n", [0, 1, 2]), grey(0, 128, 255)],
    ["P5 of 15, with a sample above", file("P5 2 1 15\n", [15, 200]), grey(255, 255)],
    ["P6", file("P6 1 1 255\n", [1, 2, 3]), [1, 2, 3]],
    ["P6 of 65535", file("P6 1 1 65535\n", [255, 255, 0x80, 0, 0, 0x80]), [255, 128, 0]],
    ["P6 of 1023", file("P6 1 1 1023\n", [3, 255, 1, 255, 0, 0]), [255, 127, 0]],
    // PIL opens such grey as integers up to 65535; its RGB shows the first 255.
    ["P5 of 65535", file("P5 3 1 65535\n", [0, 9, 1, 0, 255, 255]), grey(9, 255, 255)],
    ["P5 of 256", file("P5 2 1 256\n", [0, 0, 0, 1]), grey(0, 255)],
    ["P2 of 65535", file("P2 3 1 65535 9 256 65535"), grey(9, 255, 255)],
    ["comments", file("P2 # one\n#two\r2 1#three\n255\n1#four\n 2"), grey(1, 2)],
  ])("is read: %s", async (_, bytes, expected) => {
    const { data } = await pixelsOf(bytes);
    expect([...data]).toEqual(expected);
  });

  it.each<[string, Buffer, string, string]>([
    [
      "without samples",
      file("P6 2 2 255\n", [1, 2]),
      "IMAGE_CORRUPT",
      "its samples need 23 bytes and it has 13",
    ],
    [
      "with one text sample less",
      file("P2 3 1 255 1     2 "),
      "IMAGE_CORRUPT",
      "it has 2 samples of 3",
    ],
    [
      "with a sample above its maximum",
      file("P2 1 1 15 16"),
      "IMAGE_CORRUPT",
      "its sample 0 is 16, above 15",
    ],
    ["with a wrong digit", file("P1 2 1 0 2"), "IMAGE_CORRUPT", "its sample 1 is 2, above 1"],
    ["with a letter", file("P2 2 1 255 1 x"), "IMAGE_CORRUPT", "its sample 1 is no number"],
    ["without pixels", file("P5 0 1 255\n"), "IMAGE_CORRUPT", "it has 0 × 1 pixels"],
    ["with a maximum of 0", file("P5 1 1 0\n", [0]), "IMAGE_CORRUPT", "its maximum is 0"],
    [
      "with a maximum of 65536",
      file("P5 1 1 65536\n", [0, 0]),
      "IMAGE_CORRUPT",
      "maximum is 65536",
    ],
    [
      "with a huge width",
      file("P5 99999999999 1 255\n"),
      "IMAGE_CORRUPT",
      "its width is no number",
    ],
    ["that claims 10⁹ pixels", file("P5 1000000000 1 255\n"), "IMAGE_TOO_LARGE", "1000000000 × 1"],
    ["that ends in its header", file("P5 10000000000000 "), "IMAGE_CORRUPT", "its width"],
    ["that is text", file("P1 is a text"), "IMAGE_FORMAT", "it is text"],
    ["that is a PAM", file("P7\nWIDTH 1\nHEIGHT 1\n", [200]), "IMAGE_FORMAT", "a PAM image"],
  ])("is refused: %s", async (_, bytes, code, message) => {
    await expectCode(pixelsOf(bytes), code, message);
  });

  it("lets the event loop go on while it is decoded", async () => {
    const [width, height] = [2000, 2000];
    const text = `P3 ${width} ${height} 255\n${"200 100 50 ".repeat(width * height)}`;
    let turns = 0;
    let isDone = false;
    const count = async () => {
      for (; !isDone; ++turns) await setImmediate();
    };
    const counting = count();
    const { data } = await pixelsOf(Buffer.from(text));
    isDone = true;
    await counting;
    expect([...data.subarray(-3)]).toEqual([200, 100, 50]);
    expect(turns).toBeGreaterThan(3);
  });
});
