// The images of the tests: real ones of the library's tests, and patterns that a network tells apart.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const golden = fileURLToPath(new URL("../../../test/golden/images/", import.meta.url));

/** Paths of real images: JPEG, PNG, WebP and GIF. */
export const photos = [
  ...["chroma420.jpg", "portrait.jpg", "rotated.jpg", "landscape.png"],
  ...["gray.png", "photo.webp", "palette.gif", "small.png"],
].map((name) => join(golden, name));

/** The number of patterns. */
export const patterns = 64;

const side = 48;

/** Writes the patterns as PPM files: waves of different directions, lengths and colours. @returns their paths */
export function writePatterns(folder: string): string[] {
  return Array.from({ length: patterns }, (_, index) => {
    const path = join(folder, `pattern-${index}.ppm`);
    const pixels = new Uint8Array(3 * side * side);
    const angle = (index * Math.PI) / 11;
    const waves = 1 + (index % 7);
    for (let at = 0; at < pixels.length; at++) {
      const [channel, x, y] = [at % 3, Math.floor(at / 3) % side, Math.floor(at / 3 / side)];
      const along = (x * Math.cos(angle) + y * Math.sin(angle)) / side;
      const phase = (index * (channel + 1)) / 5;
      pixels[at] = 127.5 + 127 * Math.sin(2 * Math.PI * waves * along + phase);
    }
    writeFileSync(path, Buffer.concat([Buffer.from(`P6\n${side} ${side}\n255\n`), pixels]));
    return path;
  });
}
