// TIFFs of 16 bits with alpha and other extra samples.
import { describe, expect, it } from "vitest";
import { pixelsOf, tiffOfExtras } from "../support/images.ts";

describe("a TIFF with extra samples", () => {
  it.each([
    [[1], 255], // 0x55 divided by an alpha of 0x55
    [[2], 0x55],
    [[1, 0], 0x55],
    [[2, 0], 0x55],
  ])("of the meanings %j is read", async (extras, level) => {
    expect([...(await pixelsOf(tiffOfExtras(extras))).data]).toEqual(new Array(6).fill(level));
  });
});
