// BMP files of every kind are decoded as their format defines; PIL's results for real files are in test/images/.
import { describe, expect, it } from "vitest";
import { type BmpParts, bmp } from "../support/bmp.ts";
import { expectCode, pixelsOf } from "../support/images.ts";

const red = [255, 0, 0];
const green = [0, 255, 0];
const blue = [0, 0, 255];
const white = [255, 255, 255];
const palette = [red, green, blue, white];

async function expectPixels(parts: BmpParts, expected: readonly (readonly number[])[]) {
  const { width, height, orientation, data } = await pixelsOf(bmp(parts));
  expect([width, height, orientation]).toEqual([parts.width, Math.abs(parts.height), 1]);
  expect([...data]).toEqual(expected.flat());
}

describe("a BMP with a palette", () => {
  it.each([
    [1, [0b01000000, 0, 0, 0], [red, green]],
    [2, [0b01110000, 0, 0, 0], [green, white]],
    [4, [0x23, 0, 0, 0], [blue, white]],
    [8, [3, 1, 0, 0], [white, green]],
  ])("has %i bits per pixel", async (bits, pixels, expected) => {
    await expectPixels({ width: 2, height: 1, bits, palette, pixels }, expected);
  });

  it.each([12, 16, 40, 52, 56, 64, 108, 124] as const)(
    "has a header of %i bytes",
    async (header) => {
      const whole = [...palette, ...Array(252).fill([0, 0, 0])];
      const parts = { header, width: 2, height: 1, bits: 8, palette: whole, pixels: [2, 0, 0, 0] };
      await expectPixels(parts, [blue, red]);
    },
  );

  it("is bottom-up, or top-down if its height is negative", async () => {
    const parts = { width: 1, bits: 8, palette, pixels: [0, 0, 0, 0, 1, 0, 0, 0] };
    await expectPixels({ ...parts, height: 2 }, [green, red]);
    await expectPixels({ ...parts, height: -2 }, [red, green]);
  });

  it("may leave its palette out of the offset, and lack colours, which are black", async () => {
    const parts = { width: 2, height: 1, bits: 8, palette, pixels: [1, 9, 0, 0] };
    for (const offset of [0, 54]) await expectPixels({ ...parts, offset }, [green, [0, 0, 0]]);
  });

  it("may lack the padding of its last row", async () => {
    await expectPixels({ width: 1, height: 1, bits: 8, palette, pixels: [2] }, [blue]);
  });
});

describe("a BMP without a palette", () => {
  it.each<[string, Omit<BmpParts, "width" | "height">, number[]]>([
    ["24 bits", { bits: 24, pixels: [3, 2, 1, 0] }, [1, 2, 3]],
    ["32 bits", { bits: 32, pixels: [3, 2, 1, 9] }, [1, 2, 3]],
    ["16 bits, 5 for each colour", { bits: 16, pixels: [0x1f, 0x7c, 0, 0] }, [255, 0, 255]],
    [
      "16 bits by masks of 5, 6 and 5",
      { bits: 16, compression: 3, masks: [0xf800, 0x7e0, 0x1f], pixels: [0x21, 0x08, 0, 0] },
      [8, 4, 8],
    ],
    [
      "32 bits, red in the lowest",
      { bits: 32, compression: 3, masks: [0xff, 0xff00, 0xff0000], pixels: [1, 2, 3, 4] },
      [1, 2, 3],
    ],
    [
      "32 bits, red in the highest",
      { bits: 32, compression: 3, masks: [0xff000000, 0xff0000, 0xff00], pixels: [4, 3, 2, 1] },
      [1, 2, 3],
    ],
    [
      "32 bits by masks of 10 bits",
      { bits: 32, compression: 3, masks: [0x3ff00000, 0xffc00, 0x3ff], pixels: [0xff, 3, 0, 0] },
      [0, 0, 255],
    ],
    [
      "masks within its header",
      {
        header: 108,
        bits: 32,
        compression: 3,
        masks: [0xff, 0xff00, 0xff0000],
        pixels: [1, 2, 3, 4],
      },
      [1, 2, 3],
    ],
    [
      "a mask of alpha behind its header",
      {
        bits: 32,
        compression: 6,
        masks: [0xff, 0xff00, 0xff0000, 0xff000000],
        pixels: [1, 2, 3, 4],
      },
      [1, 2, 3],
    ],
  ])("has %s", async (_, parts, expected) => {
    await expectPixels({ ...parts, width: 1, height: 1 }, [expected]);
  });
});

describe("a BMP of runs", () => {
  const rle8 = { width: 4, height: 2, bits: 8, compression: 1, palette };
  const rle4 = { ...rle8, bits: 4, compression: 2 };
  const [r, g, b, w] = palette as [number[], number[], number[], number[]];

  it.each<[string, BmpParts, number[][]]>([
    ["of 8 bits", { ...rle8, pixels: [4, 1, 0, 0, 2, 2, 2, 3, 0, 1] }, [b, b, w, w, g, g, g, g]],
    ["of 4 bits", { ...rle4, pixels: [4, 0x12, 0, 0, 4, 0x33, 0, 1] }, [w, w, w, w, g, b, g, b]],
    [
      "and plain bytes, padded",
      { ...rle8, pixels: [0, 3, 1, 2, 3, 0, 1, 0, 0, 0, 4, 1, 0, 1] },
      [g, g, g, g, g, b, w, r],
    ],
    [
      "and plain half bytes",
      { ...rle4, pixels: [0, 3, 0x12, 0x30, 1, 0, 0, 0, 4, 0x11, 0, 1] },
      [g, g, g, g, g, b, w, r],
    ],
    [
      "with a skip and an early end",
      { ...rle8, pixels: [1, 1, 0, 2, 1, 1, 1, 2, 0, 1] },
      [r, r, b, r, g, r, r, r],
    ],
    [
      "with a run beyond the row",
      { ...rle8, pixels: [9, 1, 0, 0, 4, 2] },
      [b, b, b, b, g, g, g, g],
    ],
    ["with an empty row", { ...rle8, pixels: [0, 0, 4, 2] }, [b, b, b, b, r, r, r, r]],
  ])("has runs %s", async (_, parts, expected) => {
    await expectPixels(parts, expected);
  });

  it("ends within bounded time if its runs never end a row", async () => {
    const pixels = Array.from({ length: 100_000 }, () => [0, 2, 0, 0, 255, 1]).flat();
    await expectCode(pixelsOf(bmp({ ...rle8, pixels })), "IMAGE_CORRUPT", "its runs end before");
  });
});

describe("a BMP that cannot be read", () => {
  const plain = { width: 2, height: 2, bits: 24, pixels: [] };
  it.each<[string, BmpParts, string, string]>([
    ["cut off", plain, "IMAGE_CORRUPT", "its pixels need 68 bytes and it has 54"],
    ["without width", { ...plain, width: 0 }, "IMAGE_CORRUPT", "it has 0 × 2 pixels"],
    ["of negative width", { ...plain, width: -5 }, "IMAGE_CORRUPT", "it has -5 × 2 pixels"],
    ["of embedded JPEG", { ...plain, compression: 4 }, "IMAGE_FORMAT", "is a BMP of compression 4"],
    ["of 3 bits", { ...plain, bits: 3 }, "IMAGE_FORMAT", "is a BMP of 3 bits per pixel"],
    ["of runs in 24 bits", { ...plain, compression: 1 }, "IMAGE_CORRUPT", "24 bits per pixel"],
    [
      "of OS/2's Huffman codes",
      { ...plain, header: 64, compression: 3 },
      "IMAGE_FORMAT",
      "compression 3",
    ],
    [
      "that claims 2³¹ pixels",
      { ...plain, width: 2 ** 31 - 1 },
      "IMAGE_TOO_LARGE",
      "2147483647 × 2",
    ],
    [
      "with runs cut off",
      { ...plain, bits: 8, compression: 1, pixels: [2] },
      "IMAGE_CORRUPT",
      "its runs end before",
    ],
    [
      "with a huge palette",
      { ...plain, bits: 8, colours: 2 ** 32 - 1, offset: 0 },
      "IMAGE_CORRUPT",
      "its pixels need",
    ],
  ])("is refused: %s", async (_, parts, code, message) => {
    await expectCode(pixelsOf(bmp(parts)), code, message);
  });

  it("is refused if its header is cut off or unknown", async () => {
    const whole = bmp({ ...plain, pixels: Array(16).fill(0) });
    await expectCode(pixelsOf(whole.subarray(0, 40)), "IMAGE_CORRUPT", "ends within its header");
    await expectCode(pixelsOf(whole.subarray(0, 20)), "IMAGE_FORMAT", "a BMP image");
    whole.writeUInt32LE(66, 14);
    await expectCode(pixelsOf(whole), "IMAGE_FORMAT", "a BMP image of an unknown kind");
  });

  it("gives a typed error or pixels for any change of bytes", async () => {
    let random = 1;
    const next = (below: number) => {
      random = (random * 1664525 + 1013904223) >>> 0;
      return random % below;
    };
    const files = [
      bmp({
        width: 9,
        height: 7,
        bits: 8,
        compression: 1,
        palette,
        pixels: [9, 1, 0, 0, 0, 5, 1, 2, 3, 0, 1, 0, 0, 2, 2, 2, 0, 1],
      }),
      bmp({
        header: 108,
        width: 3,
        height: 2,
        bits: 32,
        compression: 3,
        masks: [0xff, 0xff00, 0xff0000],
        pixels: Array(24).fill(7),
      }),
      bmp({ width: 3, height: 2, bits: 4, palette, pixels: Array(8).fill(0x12) }),
    ];
    const wrong: string[] = [];
    for (let round = 0; round < 300; ++round) {
      const bytes = Buffer.from(files[round % 3]!);
      for (let i = 0; i < 3; ++i) bytes[next(i < 2 ? 66 : bytes.length)] = next(256);
      try {
        const { data, width, height } = await pixelsOf(bytes, 10_000);
        if (data.length !== width * height * 3) wrong.push(`${data.length} bytes`);
      } catch (error) {
        const { code } = error as { code?: string };
        if (!/^IMAGE_(FORMAT|CORRUPT|TOO_LARGE|LIMIT)$/.test(`${code}`)) wrong.push(`${error}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
