// Damages zip files: the pickle in them, a record, or a field of a header.
import { parseZip, type ZipEntry, zip } from "../zip.ts";
import { damage, interesting, type Random, splice } from "./damage.ts";
import { mutatePickle } from "./pickle.ts";

export function mutateZip(
  random: Random,
  bytes: Buffer,
  { deflate = false, zip64 = false }: { deflate?: boolean; zip64?: boolean },
): Buffer {
  const options = { zip64 };
  const entries: ZipEntry[] = parseZip(bytes).map((entry) => ({
    ...entry,
    data: Buffer.from(entry.data),
    ...(deflate ? { deflate } : {}),
  }));
  const chosen = random.pick(entries);
  switch (random.below(8)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const record = entries.find(({ name }) => name.endsWith("data.pkl"))!;
      for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--)
        record.data = mutatePickle(random, record.data as Buffer);
      return zip(entries, options);
    }
    case 4:
      return mutateDirectory(random, zip(entries, options));
    case 5:
      // Damages a record and corrects its checksum.
      chosen.data = damage(random, chosen.data as Buffer);
      return zip(entries, options);
    case 6: {
      if (random.once(2)) chosen.crc = random.below(2 ** 32);
      else chosen.packed = damage(random, Buffer.from(chosen.data));
      return zip(entries, options);
    }
    default: {
      const at = entries.indexOf(chosen);
      const edit = random.below(4);
      if (edit === 0) entries.splice(at, 1);
      if (edit === 1) entries.splice(random.below(entries.length), 0, { ...chosen });
      if (edit === 2) chosen.name = random.pick(entries).name;
      if (edit === 3) chosen.name = damage(random, Buffer.from(chosen.name)).toString("latin1");
      return zip(entries, { ...options, comment: random.once(4) ? "PK\x05\x06" : "" });
    }
  }
}

/** The fields of each kind of header as [offset, width]. */
const fields: readonly (readonly [number, readonly (readonly [number, number])[]])[] = [
  [
    0x02014b50,
    [
      [8, 2],
      [10, 2],
      [16, 4],
      [20, 4],
      [24, 4],
      [28, 2],
      [30, 2],
      [32, 2],
      [42, 4],
      [48, 8],
    ],
  ],
  [
    0x04034b50,
    [
      [6, 2],
      [8, 2],
      [14, 4],
      [18, 4],
      [22, 4],
      [26, 2],
      [28, 2],
    ],
  ],
  [
    0x06054b50,
    [
      [4, 2],
      [8, 2],
      [10, 2],
      [12, 4],
      [16, 4],
      [20, 2],
    ],
  ],
  [
    0x06064b50,
    [
      [4, 8],
      [24, 8],
      [32, 8],
      [40, 8],
      [48, 8],
    ],
  ],
  [
    0x07064b50,
    [
      [4, 4],
      [8, 8],
      [16, 4],
    ],
  ],
];

/** Changes a field of a header: to a number that programs often get wrong, by one, or to the same field of another header. */
function mutateDirectory(random: Random, bytes: Buffer): Buffer {
  const [signature, list] = random.pick(fields);
  const mark = Buffer.alloc(4);
  mark.writeUInt32LE(signature);
  const places: number[] = [];
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 4)) places.push(at);
  if (places.length === 0) return damage(random, bytes);
  const [offset, width] = random.pick(list);
  const at = random.pick(places) + offset;
  if (at + width > bytes.length) return bytes;
  switch (random.below(3)) {
    case 0:
      return splice(bytes, at, width, interesting(random, width));
    case 1: {
      const from = random.pick(places) + offset;
      bytes.copy(bytes, at, from, Math.min(from + width, bytes.length));
      return bytes;
    }
    default:
      bytes[at]! += random.pick([1, 255]);
      return bytes;
  }
}
