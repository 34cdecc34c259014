// Removes the first directory's link to the next in a TIFF, because a decoder would read all directories.

/** Changes the bytes in place: files of many pages are large, and a copy would be too. */
export function cutTiff(bytes: Buffer): Buffer {
  const isLittle = bytes[0] === 0x49;
  const number = (at: number, size: number): number => {
    if (!(at + size <= bytes.length)) return Number.NaN;
    if (size === 8) return Number(isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
    return isLittle ? bytes.readUIntLE(at, size) : bytes.readUIntBE(at, size);
  };
  const isBig = number(2, 2) === 43;
  const [offsetSize, countSize, entrySize] = isBig ? [8, 8, 20] : [4, 2, 12];
  const directory = number(isBig ? 8 : 4, offsetSize!);
  const link = directory + countSize! + number(directory, countSize!) * entrySize!;
  // Otherwise the decoder reports that the directory is truncated.
  if (link + offsetSize! <= bytes.length) bytes.fill(0, link, link + offsetSize!);
  return bytes;
}
