// Resizes have PIL's bytes for every filter, in colour and grey, and whole preprocessings have torchvision's.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Preprocessing, preprocess } from "../../lib/index.ts";
import { native } from "../../lib/native/load.ts";
import { cropOf, folder, lie } from "../support/images.ts";

interface Golden {
  readonly resizes: readonly {
    readonly width: number;
    readonly height: number;
    readonly toWidth: number;
    readonly toHeight: number;
    readonly RGB: Readonly<Record<string, string>>;
    readonly L: Readonly<Record<string, string>>;
  }[];
  readonly transforms: readonly {
    readonly image: string;
    readonly options: Partial<Preprocessing>;
    readonly crop: string;
    readonly at: readonly number[];
    readonly values: readonly number[];
  }[];
}

const file = new URL("../golden/preprocessing.json", import.meta.url);
const golden: Golden = JSON.parse(readFileSync(file, "utf8"));
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

describe("the addon's resizeCrop, against PIL", () => {
  it.each(golden.resizes)("resizes $width × $height to $toWidth × $toHeight", async (entry) => {
    const { width, height, toWidth, toHeight } = entry;
    const pixels = Uint8Array.from(
      { length: width * height * 3 },
      (_, i) => Math.imul(i, 2654435761) >>> 24,
    );
    const geometry = { width, height, resizedWidth: toWidth, resizedHeight: toHeight };
    const whole = { left: 0, top: 0, cropWidth: toWidth, cropHeight: toHeight };
    for (const [channels, digests] of [
      [3, entry.RGB],
      [1, entry.L],
    ] as const) {
      for (const [index, [name, expected]] of Object.entries(digests).entries()) {
        const interpolation = name as Preprocessing["interpolation"];
        // Another orientation for each filter and size. test/addon/image.test.ts compares all of them.
        for (const orientation of [1, 2 + ((width + height + index) % 7)]) {
          const resized = await native().resizeCrop(lie(pixels, width, height, orientation), {
            ...geometry,
            ...whole,
            orientation,
            interpolation,
            channels,
          });
          expect(digest(new Uint8Array(resized)), `${name} ${channels} ${orientation}`).toBe(
            expected,
          );
        }
      }
    }
  });

  it.each(["nearest", "box", "bilinear", "bicubic", "lanczos"] as const)(
    "computes a window of %s as the whole",
    async (interpolation) => {
      const [width, height, resizedWidth, resizedHeight] = [301, 97, 83, 140];
      const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) ^ (i >> 5));
      const geometry = { width, height, resizedWidth, resizedHeight, interpolation };
      const cut = async (left: number, top: number, cropWidth: number, cropHeight: number) => {
        const window = { left, top, cropWidth, cropHeight, orientation: 1, channels: 3 } as const;
        const copy = pixels.slice();
        return new Uint8Array(await native().resizeCrop(copy, { ...geometry, ...window }));
      };
      const whole = await cut(0, 0, resizedWidth, resizedHeight);
      const part = await cut(20, 31, 50, 77);
      for (let y = 0; y < 77; ++y) {
        const from = ((31 + y) * resizedWidth + 20) * 3;
        expect(part.subarray(y * 150, (y + 1) * 150)).toEqual(whole.subarray(from, from + 150));
      }
    },
  );
});

describe("preprocess, against torchvision's transforms", () => {
  it.each(golden.transforms)("makes $options of $image", async (entry) => {
    const source = join(folder, entry.image);
    expect(digest(await cropOf(source, entry.options))).toBe(entry.crop);
    const tensor = await preprocess(source, entry.options);
    const { crop = 0, channels = 3 } = entry.options;
    expect(tensor.shape).toEqual([1, channels, crop, crop]);
    expect(entry.at.map((i) => tensor.data[i])).toEqual(entry.values);
  });
});
