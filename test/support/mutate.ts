// Damaged checkpoints for the fuzz test: seeded, and aware of the formats, so that mutants get past sums and lengths.
import { parseZip, type ZipEntry, zip } from "./zip.ts";

export const formats = ["zip", "deflated", "zip64", "legacy", "safetensors"] as const;
export type Format = (typeof formats)[number];

/** Well-formed files by format. */
export type Corpus = Readonly<Record<Format, readonly Buffer[]>>;

/** Mulberry32: integers below a bound, the same for the same seed on every machine. */
export class Random {
  #state: number;

  constructor(seed: number, iteration: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(iteration + 1, 0x85ebca6b)) >>> 0;
  }

  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }
}

/** The iteration's format and file: they depend on nothing but the corpus, the seed and the number. */
export function mutant(
  corpus: Corpus,
  seed: number,
  iteration: number,
): { format: Format; bytes: Buffer } {
  const random = new Random(seed, iteration);
  const format = formats[iteration % formats.length]!;
  // A third are damaged bytes of any place, the others knowing what they damage; some both.
  const isBlind = random.once(3);
  // Entries are changed in a plain zip file, then zipped in the format.
  const isZip = format !== "legacy" && format !== "safetensors";
  let bytes: Buffer = Buffer.from(random.pick(corpus[!isBlind && isZip ? "zip" : format]));
  if (!isBlind) bytes = structured[format](random, bytes);
  if (isBlind || random.once(20))
    for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--) bytes = damage(random, bytes);
  return { format, bytes };
}

const wide = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];

/** A number that programs get wrong, in `width` bytes. */
function interesting(random: Random, width: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(random.pick(wide));
  return bytes.subarray(0, width);
}

function splice(bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

const noise = (random: Random, length: number) =>
  Buffer.from(Array.from({ length }, () => random.below(256)));

/** Bytes without knowledge of a format. */
function damage(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(random.below(random.pick([2, 9, 65, 1025])) + 1, bytes.length - at);
  const elsewhere = random.below(bytes.length + 1);
  const range = bytes.subarray(elsewhere, elsewhere + length);
  switch (random.below(8)) {
    case 0: {
      for (let i = random.below(8); i >= 0 && bytes.length > 0; i--)
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      return bytes;
    }
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return splice(bytes, at, 0, noise(random, length));
    case 3:
      return splice(bytes, at, length, Buffer.alloc(0));
    case 4:
      return splice(bytes, at, 0, range);
    case 5:
      return splice(bytes, at, length, range);
    case 6: {
      const value = interesting(random, random.pick([1, 2, 4, 8]));
      return splice(bytes, at, value.length, value);
    }
    default:
      return splice(bytes, at, length, Buffer.alloc(length, random.pick([0, 0xff, 0x20])));
  }
}

const structured: Readonly<Record<Format, (random: Random, bytes: Buffer) => Buffer>> = {
  zip: (random, bytes) => mutateZip(random, bytes, {}),
  deflated: (random, bytes) => mutateZip(random, bytes, { deflate: true }),
  zip64: (random, bytes) => mutateZip(random, bytes, { zip64: true }),
  legacy: mutateLegacy,
  safetensors: mutateSafetensors,
};

// --- Pickles ---

/** How long an opcode's argument is: a number, or the width of the length before it. */
const fixed: Readonly<Record<number, number>> = {
  128: 1,
  149: 8,
  75: 1,
  77: 2,
  74: 4,
  71: 8,
  113: 1,
  114: 4,
  104: 1,
  106: 4,
};
const counted: Readonly<Record<number, number>> = { 138: 1, 88: 4, 140: 1 };
const globalOpcode = 0x63;

interface Opcode {
  at: number;
  length: number;
}

/** The opcodes of a pickle, up to its end. */
function opcodesOf(bytes: Buffer, start: number): Opcode[] {
  const opcodes: Opcode[] = [];
  for (let at = start; at < bytes.length; ) {
    const code = bytes[at]!;
    let length = 1 + (fixed[code] ?? 0);
    const width = counted[code];
    if (width !== undefined && at + 1 + width <= bytes.length)
      length = 1 + width + bytes.readUIntLE(at + 1, width);
    if (code === globalOpcode) length = bytes.indexOf(0x0a, bytes.indexOf(0x0a, at) + 1) + 1 - at;
    // A pickle may be damaged more than once.
    if (length <= 0) break;
    opcodes.push({ at, length });
    at += length;
    if (code === 0x2e) break;
  }
  return opcodes;
}

const latin1 = (value: string) => Buffer.from(value, "latin1");
const plainOpcodes = latin1("(0N\x88\x89]}){\x85\x86\x87tlaesu\x94QRb.\x93\x81\x8fG1o2d");
const snippets = [
  "ctorch._utils\n_rebuild_tensor_v2\n",
  "ctorch._utils\n_rebuild_tensor_v3\n",
  "ctorch._utils\n_rebuild_parameter\n",
  "ccollections\nOrderedDict\n",
  "ctorch\nFloatStorage\n",
  "ctorch\nDoubleStorage\n",
  "ctorch\nBoolStorage\n",
  "ctorch.storage\nUntypedStorage\n",
  "ctorch\nuint16\n",
  "ctorch\nfloat64\n",
  "ctorch\nSize\n",
  "cos\nsystem\n",
  "cbuiltins\neval\n",
  "X\x01\x00\x00\x00a",
  "\x8c\x00",
  "]}){",
  "(((",
  "h\x00",
  "h\x01",
  "q\x00",
  "]q\x00h\x00a",
  "}q\x00h\x00Ns",
  "\x80\x04",
  "G\x7f\xf0\x00\x00\x00\x00\x00\x00",
].map(latin1);

/** An integer as a pickle writes it. */
function integerOpcode(random: Random): Buffer {
  switch (random.below(4)) {
    case 0:
      return Buffer.from([0x4b, random.below(8)]);
    case 1:
      return Buffer.concat([latin1("M"), interesting(random, 2)]);
    case 2:
      return Buffer.concat([latin1("J"), interesting(random, 4)]);
    default:
      return Buffer.concat([latin1("\x8a\x08"), interesting(random, 8)]);
  }
}

/** One opcode of the first pickle in `pickle` changed, dropped, repeated, moved or added. */
function mutatePickle(random: Random, pickle: Buffer): Buffer {
  const opcodes = opcodesOf(pickle, 0);
  if (opcodes.length === 0) return damage(random, pickle);
  const isOf = (codes: number[]) => opcodes.filter(({ at }) => codes.includes(pickle[at]!));
  const integers = isOf([75, 77, 74, 138]);
  const strings = isOf([88, 140]);
  const any = random.pick(opcodes);
  const other = random.pick(opcodes);
  switch (random.below(10)) {
    case 0:
    case 1: {
      if (integers.length === 0) return pickle;
      const { at, length } = random.pick(integers);
      return splice(pickle, at, length, integerOpcode(random));
    }
    case 2: {
      // By one or two: what an error of counting gives.
      if (integers.length === 0) return pickle;
      const { at } = random.pick(integers);
      pickle[at + 1]! += random.pick([1, 2, 255, 254]);
      return pickle;
    }
    case 3: {
      if (strings.length === 0) return pickle;
      const { at, length } = random.pick(strings);
      if (random.once(2)) {
        // Another string of its kind: a key instead of a name.
        const from = random.pick(strings);
        return splice(pickle, at, length, pickle.subarray(from.at, from.at + from.length));
      }
      const head = pickle[at] === 88 ? 5 : 2;
      if (length > head) pickle[at + head + random.below(length - head)] = random.below(256);
      return pickle;
    }
    case 4: {
      // A length that lies, of a string, an integer or a frame.
      const withLength = isOf([88, 140, 138, 149, 128]);
      if (withLength.length === 0) return pickle;
      const { at } = random.pick(withLength);
      const width = pickle[at] === 88 ? 4 : pickle[at] === 149 ? 8 : 1;
      return splice(pickle, at + 1, width, interesting(random, width));
    }
    case 5:
      pickle[any.at] = random.pick([...plainOpcodes]);
      return pickle;
    case 6:
      return splice(pickle, any.at, any.length, Buffer.alloc(0));
    case 7:
      return splice(pickle, any.at, 0, random.pick(snippets));
    case 8: {
      // A run of opcodes again, once or very often.
      const from = opcodes.indexOf(any);
      const last = opcodes[Math.min(from + random.below(8), opcodes.length - 1)]!;
      const run = pickle.subarray(any.at, last.at + last.length);
      const times = random.once(10) ? 1 + random.below(2000) : 1;
      return splice(pickle, other.at, 0, Buffer.concat(Array<Buffer>(times).fill(run)));
    }
    default:
      return splice(pickle, any.at, any.length, pickle.subarray(other.at, other.at + other.length));
  }
}

// --- Zip ---

function mutateZip(
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
      // A record of other bytes, its sum right.
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

/** Fields as [offset, width] of each kind of header. */
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

/** One field of one header: a number that programs get wrong, one off, or the same field of another header. */
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

// --- Legacy ---

function mutateLegacy(random: Random, bytes: Buffer): Buffer {
  // Magic, protocol, system, object, keys.
  const starts: number[] = [];
  let end = 0;
  for (let i = 0; i < 5; i++) {
    starts.push(end);
    const last = opcodesOf(bytes, end).at(-1);
    if (last === undefined) break;
    end = last.at + last.length;
  }
  if (random.once(5) && end + 8 <= bytes.length) {
    // A count before a storage, or the number of bytes behind it.
    const count = random.once(2)
      ? interesting(random, 8)
      : Buffer.from(BigUint64Array.of(BigInt(random.below(200))).buffer);
    return splice(bytes, end, 8, count);
  }
  if (random.once(10)) return splice(bytes, end, 0, noise(random, 1 + random.below(16)));
  let mutated = bytes;
  // Mostly the object; from the last pickle to the first, that the places before stay.
  const chosen = random.once(3) ? random.pick(starts.slice(1)) : starts[3]!;
  for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--) {
    const head = mutated.subarray(0, chosen);
    mutated = Buffer.concat([head, mutatePickle(random, Buffer.from(mutated.subarray(chosen)))]);
  }
  return mutated;
}

// --- safetensors ---

const numbers = [
  "0",
  "1",
  "2",
  "4",
  "8",
  "-1",
  "1.5",
  "1e3",
  "-0",
  "00",
  "2147483647",
  "2147483648",
  "4294967296",
  "9007199254740991",
  "9007199254740992",
  "4611686018427387904",
  "18446744073709551616",
  "null",
  "[]",
  "{}",
  '"1"',
  "true",
  "NaN",
];
const words = [
  '"F32"',
  '"F64"',
  '"BF16"',
  '"U8"',
  '"BOOL"',
  '"I64"',
  '"C64"',
  '"__metadata__"',
  '"__proto__"',
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"labels"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\x"',
  '""',
];

/** The header as text, one word of it changed, and its length set right. */
function mutateSafetensors(random: Random, bytes: Buffer): Buffer {
  const length = Number(bytes.readBigUInt64LE(0));
  let json = bytes.toString("utf8", 8, 8 + length);
  let data: Buffer = bytes.subarray(8 + length);
  const replace = (pattern: RegExp, values: readonly string[]) => {
    const matches = [...json.matchAll(pattern)];
    if (matches.length === 0) return;
    const match = random.pick(matches);
    // Often a word of the same header: an offset of another tensor, a name that is there already.
    const value = random.once(2) ? random.pick(matches)[0] : random.pick(values);
    json = json.slice(0, match.index) + value + json.slice(match.index + match[0].length);
  };
  for (let i = random.pick([0, 0, 1, 2]); i >= 0; i--) {
    switch (random.below(7)) {
      case 0:
      case 1:
        replace(/\d+/g, numbers);
        break;
      case 2:
        replace(/"[^"]*"/g, words);
        break;
      case 3:
        replace(/[[\]{},:]/g, ["", "[", "]", "{", "}", ",", ":", " ", "[".repeat(50)]);
        break;
      case 4:
        replace(/"[^"]*":\{[^}]*\},?/g, ["", '"a":{},', '"b":[],']);
        break;
      case 5:
        data = damage(random, Buffer.from(data));
        break;
      default:
        json = random.once(2) ? `${json}${" ".repeat(random.below(20))}` : ` \n${json}`;
    }
  }
  let header: Buffer = Buffer.from(json);
  if (random.once(10)) header = damage(random, header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length + (random.once(20) ? random.pick([1, -1, 8]) : 0)));
  return Buffer.concat([size, header, data]);
}
