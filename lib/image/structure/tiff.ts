// The first directory of a TIFF: its tags, and its link to the next, because a decoder would read all directories.

/** Numbers of a TIFF in its byte order, NaN beyond its end. */
class Numbers {
  readonly #bytes: Buffer;
  readonly #isLittle: boolean;
  readonly isBig: boolean;
  /** Where the first directory begins. */
  readonly directory: number;
  readonly entries: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#isLittle = bytes[0] === 0x49;
    this.isBig = this.at(2, 2) === 43;
    this.directory = this.isBig ? this.at(8, 8) : this.at(4, 4);
    this.entries = this.at(this.directory, this.isBig ? 8 : 2);
  }

  at(place: number, size: number): number {
    const bytes = this.#bytes;
    if (!(place + size <= bytes.length)) return Number.NaN;
    if (size === 8)
      return Number(this.#isLittle ? bytes.readBigUInt64LE(place) : bytes.readBigUInt64BE(place));
    return this.#isLittle ? bytes.readUIntLE(place, size) : bytes.readUIntBE(place, size);
  }

  /** Where an entry of the directory begins. */
  entry(index: number): number {
    return this.directory + (this.isBig ? 8 : 2) + index * (this.isBig ? 20 : 12);
  }

  /** Where a tag's first value lies, and its size. The directory has thousands of entries at most. */
  find(tag: number): readonly [place: number, size: 2 | 4] | undefined {
    for (let i = 0; i < Math.min(this.entries, 4096); ++i) {
      const at = this.entry(i);
      if (this.at(at, 2) !== tag) continue;
      const size = this.at(at + 2, 2) === 3 ? 2 : 4;
      const inside = at + (this.isBig ? 12 : 8);
      const bytes = this.at(at + 4, this.isBig ? 8 : 4) * size;
      const isInside = bytes <= (this.isBig ? 8 : 4);
      return [isInside ? inside : this.at(inside, this.isBig ? 8 : 4), size];
    }
    return undefined;
  }

  /** A tag's first value. */
  value(tag: number, usual: number): number {
    const found = this.find(tag);
    return found === undefined ? usual : this.at(...found);
  }
}

/** Changes the bytes in place: files of many pages are large, and a copy would be too. */
export function cutTiff(bytes: Buffer): Buffer {
  const numbers = new Numbers(bytes);
  const link = numbers.entry(numbers.entries);
  const size = numbers.isBig ? 8 : 4;
  // Otherwise the decoder reports that the directory is truncated.
  if (link + size <= bytes.length) bytes.fill(0, link, link + size);
  return bytes;
}

const tags = {
  bits: 258,
  compression: 259,
  photometric: 262,
  planes: 284,
  tileWidth: 322,
  extraSamples: 338,
  sampleFormat: 339,
} as const;

/** Compressions that sharp's prebuilt libtiff reads. */
const compressions = [1, 2, 3, 4, 5, 7, 8, 32_773, 32_946];
const compressionNames: Readonly<Record<number, string>> = {
  6: "old-style JPEG",
  34661: "JBIG",
  34712: "JPEG 2000",
  34925: "LZMA",
  50000: "Zstandard",
  50001: "WebP",
  50002: "JPEG XL",
};
const photometrics: Readonly<Record<number, string>> = {
  8: "CIELab colours",
  9: "ICCLab colours",
  10: "ITULab colours",
  32803: "a colour filter array",
  32844: "logarithmic luminances",
  32845: "logarithmic colours",
};
const sampleFormats: Readonly<Record<number, string>> = {
  2: "signed samples",
  3: "floating samples",
  5: "complex samples",
  6: "complex samples",
};

/** Says what a sound TIFF has that its decoder cannot read. @returns undefined if nothing is known */
export function unsupportedTiff(bytes: Buffer): string | undefined {
  const numbers = new Numbers(bytes);
  const compression = numbers.value(tags.compression, 1);
  if (Number.isNaN(compression)) return undefined;
  if (!compressions.includes(compression)) {
    const name = compressionNames[compression];
    return name === undefined ? `compression ${compression}` : `${name} compression`;
  }
  const photometric = photometrics[numbers.value(tags.photometric, 1)];
  if (photometric !== undefined) return photometric;
  const samples = sampleFormats[numbers.value(tags.sampleFormat, 1)];
  if (samples !== undefined) return samples;
  const bits = numbers.value(tags.bits, 1);
  if (![1, 2, 4, 8, 16].includes(bits) && bits <= 64) return `samples of ${bits} bits`;
  const isTiled = numbers.find(tags.tileWidth) !== undefined;
  if (isTiled && numbers.value(tags.planes, 1) === 2) return "tiles of separate planes";
  return undefined;
}

/**
 * Declares colours of 16 bits that were multiplied with alpha to be plain ones, in place, because libvips divides them in
 * 16 bits and PIL in 8. @returns whether it did
 */
export function declarePlainAlpha(bytes: Buffer): boolean {
  const numbers = new Numbers(bytes);
  const extra = numbers.find(tags.extraSamples);
  const isMultiplied = extra !== undefined && numbers.at(...extra) === 1;
  if (!isMultiplied || numbers.value(tags.bits, 1) !== 16) return false;
  if (numbers.value(tags.photometric, 1) !== 2) return false;
  const [place, size] = extra;
  bytes.fill(0, place, place + size);
  // A short of value 2: unassociated alpha.
  bytes[bytes[0] === 0x49 ? place : place + size - 1] = 2;
  return true;
}
