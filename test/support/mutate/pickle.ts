// Damages pickles opcode by opcode.
import { damage, interesting, type Random, splice } from "./damage.ts";

/** The length of an opcode's argument in bytes, or (`counted`) the width of the length before it. */
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
  130: 1,
  131: 2,
  132: 4,
};
const counted: Readonly<Record<number, number>> = {
  ...{ 138: 1, 139: 4, 88: 4, 140: 1 },
  ...{ 85: 1, 84: 4, 67: 1, 66: 4 },
};
/** The number of lines after an opcode: GLOBAL, INST, and the opcodes of protocol 0. */
const lines: Readonly<Record<number, number>> = {
  ...{ 99: 2, 105: 2 },
  ...Object.fromEntries([..."ILFSVPpg"].map((opcode) => [opcode.charCodeAt(0), 1])),
};

interface Opcode {
  at: number;
  length: number;
}

/** The opcodes of a pickle, up to its end. */
export function opcodesOf(bytes: Buffer, start: number): Opcode[] {
  const opcodes: Opcode[] = [];
  for (let at = start; at < bytes.length; ) {
    const code = bytes[at]!;
    let length = 1 + (fixed[code] ?? 0);
    const width = counted[code];
    if (width !== undefined && at + 1 + width <= bytes.length)
      length = 1 + width + bytes.readUIntLE(at + 1, width);
    if (lines[code] !== undefined) {
      let end = at;
      for (let left = lines[code]; left > 0; left--) end = bytes.indexOf(0x0a, end) + 1;
      length = end - at;
    }
    // A pickle may be damaged more than once.
    if (length <= 0) break;
    opcodes.push({ at, length });
    at += length;
    if (code === 0x2e) break;
  }
  return opcodes;
}

const latin1 = (value: string) => Buffer.from(value, "latin1");
const plainOpcodes = latin1(
  "(0N\x88\x89]}){\x85\x86\x87tlaesu\x94QRb.\x93\x81\x8f\x90\x91\x92\x98G1o2dUTC",
);
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
  "cos\nsystem\n)R",
  "cargparse\nNamespace\n)\x81}b",
  "ccollections\nCounter\n",
  "ctorch\nComplexFloatStorage\n",
  "(imy\nNet\n",
  "U\x01\xff",
  "T\xff\xff\xff\x7f",
  "\x8b\x20\0\0\0",
  "I7\n",
  "S'\\x41'\n",
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

/** More empty tuples than a reader puts on its stack. */
const tuples = Buffer.alloc(100_001, ")");

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

/** Changes, drops, repeats, moves or adds one opcode of the first pickle in `pickle`. */
export function mutatePickle(random: Random, pickle: Buffer): Buffer {
  const opcodes = opcodesOf(pickle, 0);
  if (opcodes.length === 0) return damage(random, pickle);
  const isOf = (codes: number[]) => opcodes.filter(({ at }) => codes.includes(pickle[at]!));
  const integers = isOf([75, 77, 74, 138]);
  const strings = isOf([88, 140, 85]);
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
      // Changes a number by one or two, as an off-by-one error does.
      if (integers.length === 0) return pickle;
      const { at } = random.pick(integers);
      pickle[at + 1]! += random.pick([1, 2, 255, 254]);
      return pickle;
    }
    case 3: {
      if (strings.length === 0) return pickle;
      const { at, length } = random.pick(strings);
      if (random.once(2)) {
        // Another string of the pickle, such as a key instead of a name.
        const from = random.pick(strings);
        return splice(pickle, at, length, pickle.subarray(from.at, from.at + from.length));
      }
      const head = pickle[at] === 88 ? 5 : 2;
      if (length > head) pickle[at + head + random.below(length - head)] = random.below(256);
      return pickle;
    }
    case 4: {
      // A wrong length of a string, an integer or a frame.
      const withLength = isOf([88, 140, 138, 149, 128, 85, 67]);
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
      return splice(pickle, any.at, 0, random.once(20) ? tuples : random.pick(snippets));
    case 8: {
      // Repeats a run of opcodes, once or very often.
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
