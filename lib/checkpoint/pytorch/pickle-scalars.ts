// Reads the values that a pickle spells out: numbers, texts and bytes, as Python 2 and 3 write them.
import { type PickleReader, textOf } from "./pickle-reader.js";
import { Float, InertData, type PickleValue } from "./pickle-values.js";

/** Reads the value of an opcode. @returns undefined if the opcode is none of these */
export function readScalar(reader: PickleReader, opcode: number): PickleValue | undefined {
  switch (opcode) {
    case 0x4e: // NONE
      return null;
    case 0x88: // NEWTRUE
      return true;
    case 0x89: // NEWFALSE
      return false;
    case 0x4b: // BININT1
      return reader.uint8();
    case 0x4d: // BININT2
      return reader.uint16();
    case 0x4a: // BININT
      return reader.int32();
    case 0x8a: // LONG1
      return reader.long(reader.uint8());
    case 0x8b: // LONG4
      return reader.long(reader.size32());
    case 0x49: // INT
    case 0x4c: // LONG
      return integerOf(reader, reader.line());
    case 0x46: // FLOAT
      return floatOf(reader, reader.line());
    case 0x47: // BINFLOAT
      return new Float(reader.float64());
    default:
      return readText(reader, opcode);
  }
}

function readText(reader: PickleReader, opcode: number): PickleValue | undefined {
  switch (opcode) {
    case 0x58: // BINUNICODE
      return reader.text(reader.uint32());
    case 0x8c: // SHORT_BINUNICODE
      return reader.text(reader.uint8());
    case 0x8d: // BINUNICODE8
      return reader.text(reader.size64());
    case 0x56: // UNICODE
      return unescapeUnicode(reader.latin1Line(maxLine));
    case 0x55: // SHORT_BINSTRING
      return reader.text(reader.uint8(), true);
    case 0x54: // BINSTRING
      return reader.text(reader.size32(), true);
    case 0x53: // STRING
      return textOf(unquote(reader, reader.latin1Line(maxLine)), true);
    case 0x43: // SHORT_BINBYTES
      return bytes(reader, reader.uint8());
    case 0x42: // BINBYTES
      return bytes(reader, reader.uint32());
    case 0x8e: // BINBYTES8
    case 0x96: // BYTEARRAY8
      return bytes(reader, reader.size64());
    case 0x97: // NEXT_BUFFER
      return new InertData("a buffer outside the pickle");
    default:
      return undefined;
  }
}

const maxLine = 2 ** 16;

/** Skips bytes: no tensor's description needs them. */
function bytes(reader: PickleReader, length: number): InertData {
  reader.skip(length);
  return new InertData("bytes");
}

function integerOf(reader: PickleReader, line: string): PickleValue {
  if (line === "00" || line === "01") return line === "01";
  if (!/^[+-]?\d+L?$/.test(line)) throw reader.corrupt("an integer");
  const digits = line.replace(/L$/, "");
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}

function floatOf(reader: PickleReader, line: string): Float {
  const special = { inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY };
  if (line === "inf" || line === "-inf") return new Float(special[line]);
  const value = Number(line);
  if (Number.isNaN(value) && line !== "nan") throw reader.corrupt("a floating-point number");
  return new Float(value);
}

const hex = (digits: string) => Number.parseInt(digits, 16);

/** Undoes Python's encoding raw-unicode-escape. */
function unescapeUnicode(line: string): string {
  return line.replace(
    /\\u([0-9a-fA-F]{4})|\\U(0010[0-9a-fA-F]{4}|000[0-9a-fA-F]{5})/g,
    (_, narrow?: string, wide?: string) => String.fromCodePoint(hex(narrow ?? wide!)),
  );
}

const escapes: Readonly<Record<string, string>> = {
  ...{ "\\": "\\", "'": "'", '"': '"', a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" },
  ...{ v: "\v", "\n": "" },
};

/** Returns the bytes of a text in Python 2's quotes. */
function unquote(reader: PickleReader, line: string): Buffer {
  const quoted = /^(['"])(.*)\1$/s.exec(line.trimEnd());
  if (quoted === null) throw reader.corrupt("a text in quotes");
  const plain = quoted[2]!.replace(
    /\\(?:x([0-9a-f]{2})|([0-7]{1,3})|([\s\S]))/gi,
    (all, code?: string, octal?: string, letter?: string) => {
      if (code !== undefined) return String.fromCharCode(hex(code));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 255);
      return Object.hasOwn(escapes, letter!) ? escapes[letter!]! : all;
    },
  );
  return Buffer.from(plain, "latin1");
}
