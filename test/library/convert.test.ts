// The conversion between float32 and the 16-bit types.
import { describe, expect, it } from "vitest";
import { convertTensor } from "../../lib/checkpoint/convert.ts";
import { Tensor } from "../../lib/index.ts";

describe("convertTensor", () => {
  it("rounds to nearest, ties to even, as PyTorch does", () => {
    const cases: [number, number, number][] = [
      // value, float16 bits, bfloat16 bits
      [1, 0x3c00, 0x3f80],
      [-0, 0x8000, 0x8000],
      [65504, 0x7bff, 0x4780],
      [65520, 0x7c00, 0x4780],
      [2 ** -24, 0x0001, 0x3380],
      [2 ** -25, 0x0000, 0x3300],
      [3 * 2 ** -25, 0x0002, 0x33c0],
      [1 + 2 ** -11, 0x3c00, 0x3f80],
      [1 + 3 * 2 ** -11, 0x3c02, 0x3f80],
      [1 + 2 ** -8, 0x3c04, 0x3f80],
      [1 + 3 * 2 ** -8, 0x3c0c, 0x3f82],
      [Number.POSITIVE_INFINITY, 0x7c00, 0x7f80],
      [Number.NaN, 0x7e00, 0x7fc0],
      [6.1e-5, 0x03ff, 0x3880],
    ];
    const tensor = new Tensor(
      [cases.length],
      Float32Array.from(cases, ([value]) => value),
    );
    expect([...(convertTensor(tensor, "float16").data as Uint16Array)]).toEqual(
      cases.map(([, half]) => half),
    );
    expect([...(convertTensor(tensor, "bfloat16").data as Uint16Array)]).toEqual(
      cases.map(([, , brain]) => brain),
    );
  });

  it("returns every 16-bit number unchanged through float32 and back", () => {
    for (const dtype of ["float16", "bfloat16"] as const) {
      const all = new Tensor(
        [65536],
        Uint16Array.from({ length: 65536 }, (_, i) => i),
        dtype,
      );
      const back = convertTensor(convertTensor(all, "float32"), dtype).data as Uint16Array;
      const isNaN16 = (bits: number) =>
        dtype === "float16" ? (bits & 0x7fff) > 0x7c00 : (bits & 0x7fff) > 0x7f80;
      for (let bits = 0; bits < 65536; bits++)
        expect(isNaN16(bits) ? isNaN16(back[bits]!) : back[bits] === bits).toBe(true);
    }
  });
});
