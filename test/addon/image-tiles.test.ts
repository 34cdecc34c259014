// Tiled images are refused before a decoder sees them if the tiles cover the image many times over.
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { checkTiles } from "../../lib/image/structure.ts";
import { preprocess } from "../../lib/index.ts";
import { avifGrid, box, fullBox, numbers } from "../support/hostile-images.ts";
import { expectCode, pixelsOf, plain } from "../support/images.ts";

describe("tiles", () => {
  it("of an AVIF must cover the image only about once", async () => {
    const side = 512;
    const tile = await plain(side, side).avif({ effort: 0 }).toBuffer();
    const { width, data } = await pixelsOf(avifGrid(tile, side, 2, 1000));
    expect([width, data.length]).toEqual([1000, 3_000_000]);
    await expectCode(
      preprocess(avifGrid(tile, side, 5, 64)),
      "IMAGE_LIMIT",
      "Expected tiles of at most 4012288 pixels for an image of 4096 but it has 6553600",
    );
  });

  describe("of a damaged AVIF are counted", async () => {
    const tile = await plain(512, 512).avif({ effort: 0 }).toBuffer();
    const grid = avifGrid(tile, 512, 5, 64);
    const message = "tiles of at most 4012288 pixels for an image of 4096 but it has 6553600";
    const changed = (change: (file: Buffer) => void) => {
      const file = Buffer.from(grid);
      change(file);
      return file;
    };
    /** Adds a box at the end of the meta box. File offsets are wrong then. */
    const grown = (box: Buffer) => {
      const from = grid.readUInt32BE(0);
      const size = grid.readUInt32BE(from);
      const file = Buffer.concat([grid.subarray(0, from + size), box, grid.subarray(from + size)]);
      file.writeUInt32BE(size + box.length, from);
      return file;
    };

    const long = box("uuid", Buffer.alloc(16), numbers(2, 3, 1, 2));
    const tiles = Array.from({ length: 25 }, (_, index) => index + 2);
    const behindUuid = grown(fullBox("iref", 0, long, box("dimg", numbers(2, 1, 25, ...tiles))));
    behindUuid.write("free", behindUuid.indexOf("iref"));

    // The decoder reads these.
    it.each([
      [
        "a size of references that is too small",
        changed((file) => file.writeUInt32BE(12, file.indexOf("dimg") - 4)),
      ],
      [
        "a size of references that is too large",
        changed((file) => file.writeUInt32BE(4_000_000, file.indexOf("dimg") - 4)),
      ],
      [
        "a count of properties that exceeds the items",
        changed((file) => file.writeUInt32BE(100, file.indexOf("ipma") + 8)),
      ],
    ])("with %s", async (_, file) => {
      expect((await sharp(file).raw().toBuffer()).length).toBe(64 * 64 * 3);
      await expectCode(preprocess(file), "IMAGE_LIMIT", message);
    });

    it.each([
      ["a property that is cut off", changed((file) => file.write("ispe", file.indexOf("pixi")))],
      ["references that are cut off", grown(fullBox("iref", 0, box("dimg", numbers(2, 2, 9))))],
      ["references after a box with a long header", behindUuid],
      ["a second main image", grown(fullBox("pitm", 0, numbers(2, 2)))],
      [
        "an entry that is cut off, and a second entry of a tile",
        grown(
          fullBox(
            "iinf",
            0,
            numbers(2, 2),
            box("infe", numbers(1, 2)),
            fullBox("infe", 2, numbers(2, 2, 0), Buffer.from("grid\0")),
          ),
        ),
      ],
    ])("with %s", (_, file) => {
      expect(() => checkTiles(file, "AVIF", 64 * 64, "test")).toThrow(message);
    });
  });

  it("of a TIFF are bounded by the decoder", async () => {
    const tiled = await plain(64, 64)
      .tiff({ tile: true, tileWidth: 64, tileHeight: 64, compression: "deflate" })
      .toBuffer();
    expect((await pixelsOf(Uint8Array.from(tiled))).width).toBe(64);
    for (const tag of [322, 323]) {
      const entry = Buffer.alloc(8);
      entry.writeUInt16LE(tag);
      const at = [3, 4]
        .map((type) => {
          entry.writeUInt16LE(type, 2);
          entry.writeUInt32LE(1, 4);
          return tiled.indexOf(entry);
        })
        .find((found) => found >= 0)!;
      tiled.writeUInt16LE(4096, at + 8);
    }
    await expectCode(preprocess(tiled), "IMAGE_CORRUPT", "tile size out of range");
  });
});
