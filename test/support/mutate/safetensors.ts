// Damages safetensors files: a word of the header, its length, or the data.
import { damage, type Random } from "./damage.ts";

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

/** Changes words of the header's text and corrects its length. */
export function mutateSafetensors(random: Random, bytes: Buffer): Buffer {
  const length = Number(bytes.readBigUInt64LE(0));
  let json = bytes.toString("utf8", 8, 8 + length);
  let data: Buffer = bytes.subarray(8 + length);
  const replace = (pattern: RegExp, values: readonly string[]) => {
    const matches = [...json.matchAll(pattern)];
    if (matches.length === 0) return;
    const match = random.pick(matches);
    // Half of the time, the value is a word of the same header, such as another tensor's offset or a name in use.
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
