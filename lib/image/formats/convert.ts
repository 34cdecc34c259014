// Samples of other kinds to 8-bit RGB, as PIL's convert("RGB") does.
import type { Frame } from "../structure/gif.js";
import { ranges, type Slices, slice } from "./slices.js";

/** Grey samples (pixels) to RGB. */
export function* greyToRgb(grey: Uint8Array): Slices<Uint8Array> {
  const rgb = new Uint8Array(grey.length * 3);
  yield* ranges(grey.length, (from, to) => {
    for (let i = from, at = 3 * from; i < to; ++i, at += 3)
      rgb[at] = rgb[at + 1] = rgb[at + 2] = grey[i]!;
  });
  return rgb;
}

/** Grey samples of 16 bits to RGB: 255 and above are white. */
export function* clipToRgb(grey: Uint16Array): Slices<Uint8Array> {
  const rgb = new Uint8Array(grey.length * 3);
  yield* ranges(grey.length, (from, to) => {
    for (let i = from, at = 3 * from; i < to; ++i, at += 3)
      rgb[at] = rgb[at + 1] = rgb[at + 2] = Math.min(255, grey[i]!);
  });
  return rgb;
}

/** RGB with alpha (pixels, 4) to RGB. The colour below the alpha is kept. */
export function* dropAlpha(rgba: Uint8Array): Slices<Uint8Array> {
  const pixels = rgba.length / 4;
  const rgb = new Uint8Array(pixels * 3);
  yield* ranges(pixels, (from, to) => {
    for (let i = 4 * from, at = 3 * from; i < 4 * to; i += 4, at += 3) {
      rgb[at] = rgba[i]!;
      rgb[at + 1] = rgba[i + 1]!;
      rgb[at + 2] = rgba[i + 2]!;
    }
  });
  return rgb;
}

/** Fills an RGB image (pixels, 3) outside a frame, in place. */
export function* fillAround(rgb: Uint8Array, width: number, frame: Frame): Slices<Uint8Array> {
  const { left, top, around } = frame;
  const [right, bottom] = [left + frame.width, top + frame.height];
  const [red, green, blue] = around as [number, number, number];
  const fill = (y: number, from: number, to: number) => {
    for (let at = (y * width + from) * 3; at < (y * width + to) * 3; at += 3) {
      rgb[at] = red;
      rgb[at + 1] = green;
      rgb[at + 2] = blue;
    }
  };
  const each = (begin: number, end: number) => {
    for (let y = begin; y < end; ++y) {
      if (y < top || y >= bottom) fill(y, 0, width);
      else {
        fill(y, 0, Math.min(left, width));
        fill(y, Math.min(right, width), width);
      }
    }
  };
  yield* ranges(rgb.length / 3 / width, each, Math.ceil(slice / width));
  return rgb;
}

/** RGB (pixels, 4) whose colours were multiplied with the alpha, to RGB. 8 bits at every step. */
export function* divideByAlpha(rgba: Uint8Array): Slices<Uint8Array> {
  const pixels = rgba.length / 4;
  const rgb = new Uint8Array(pixels * 3);
  yield* ranges(pixels, (from, to) => {
    for (let i = 4 * from, at = 3 * from; i < 4 * to; i += 4, at += 3) {
      const alpha = rgba[i + 3]! || 255;
      for (let channel = 0; channel < 3; ++channel)
        rgb[at + channel] = Math.min(255, Math.trunc((255 * rgba[i + channel]!) / alpha));
    }
  });
  return rgb;
}

/** a × b / 255, rounded. */
function product(a: number, b: number): number {
  const sum = a * b + 128;
  return ((sum >> 8) + sum) >> 8;
}

/**
 * CMYK (pixels, channels) to RGB: (255 - c)(255 - k) / 255. Channels from the fifth on are ignored.
 * @param samples 16-bit samples count by their high byte
 * @param isInverted 255 means no ink, as in JPEG
 */
export function* cmykToRgb(
  samples: Uint8Array | Uint16Array,
  channels: number,
  isInverted: boolean,
): Slices<Uint8Array> {
  const pixels = samples.length / channels;
  const shift = samples.BYTES_PER_ELEMENT === 2 ? 8 : 0;
  const flip = isInverted ? 255 : 0;
  const rgb = new Uint8Array(pixels * 3);
  yield* ranges(pixels, (from, to) => {
    for (let i = channels * from, at = 3 * from; at < 3 * to; i += channels, at += 3) {
      const light = 255 - ((samples[i + 3]! >> shift) ^ flip);
      for (let ink = 0; ink < 3; ++ink)
        rgb[at + ink] = light - product((samples[i + ink]! >> shift) ^ flip, light);
    }
  });
  return rgb;
}
