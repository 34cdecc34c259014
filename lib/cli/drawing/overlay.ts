// Draws a map of distances over an image: red where two images differ, pale grey where they do not.
import type { Drawing } from "./png.js";

/** A pixel of this distance is drawn in full red, unless the map has greater ones. */
const usualScale = 0.5;

/** Draws a map (height, width) over pixels (height, width, 3) of the same size. */
export function overlay(
  map: Float32Array,
  pixels: Uint8Array,
  width: number,
  height: number,
): Drawing {
  let scale = usualScale;
  for (const value of map) scale = Math.max(scale, value);
  const data = new Uint8Array(pixels.length);
  for (let i = 0; i < map.length; i++) {
    const grey = 0.299 * pixels[3 * i]! + 0.587 * pixels[3 * i + 1]! + 0.114 * pixels[3 * i + 2]!;
    const pale = 255 - 0.4 * (255 - grey);
    // The root shows small distances too.
    const share = Math.sqrt(map[i]! / scale);
    data[3 * i] = pale * (1 - share) + 230 * share;
    data[3 * i + 1] = pale * (1 - share) + 20 * share;
    data[3 * i + 2] = pale * (1 - share) + 20 * share;
  }
  return { width, height, data };
}
