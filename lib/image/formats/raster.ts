// Formats that this package reads itself, because libvips's prebuilt binaries do not: what their readers share.
import type { Slices } from "./slices.js";

/** An image whose header was read. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  /** Checks that the file is whole, and decodes it to (height, width, 3). @throws {Damaged} */
  read(): Slices<Uint8Array>;
}

/** The file is cut off or contradicts itself. The message is a sentence's end: "… but its width is 0". */
export class Damaged extends Error {}

/** The file is of a kind of its format that is not supported. The message is a sentence's end. */
export class Unsupported extends Error {}
