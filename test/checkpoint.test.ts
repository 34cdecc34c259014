// Reading checkpoints: what PyTorch wrote, bit for bit; and everything else refused with the right code.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateRawSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCheckpoint, Tensor, VggError, writeSafetensors } from "../lib/index.ts";
import { CheckpointFile } from "../lib/weights/file.ts";
import { valuesOf } from "./dtypes.ts";
import { int, long, pickle, rebuilt, storage, text } from "./pickle.ts";
import { parseZip, type ZipEntry, zip } from "./zip.ts";

const folder = fileURLToPath(new URL("golden/checkpoints/", import.meta.url));
const golden = (readdirSync(folder, { recursive: true }) as string[])
  .filter((name) => name.endsWith(".pth"))
  .sort();

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-checkpoint-"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

function write(bytes: Uint8Array, name = "file"): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

async function refusal(bytes: Uint8Array | string): Promise<VggError> {
  const path = typeof bytes === "string" ? bytes : write(bytes);
  const error = await readCheckpoint(path).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(VggError);
  expect((error as VggError).message.startsWith(`${path}: Expected`)).toBe(true);
  return error as VggError;
}

describe("a checkpoint that PyTorch wrote", () => {
  it.each(golden.filter((name) => !name.includes("refuse")))(
    "%s reads as it was written, bit for bit",
    async (name) => {
      const twin = JSON.parse(readFileSync(`${folder}${name}.json`, "utf8"));
      const tensors = await readCheckpoint(folder + name);
      expect([...tensors.keys()]).toEqual(Object.keys(twin));
      for (const [key, { dtype, shape, values }] of Object.entries<{
        dtype: string;
        shape: number[];
        values: number[];
      }>(twin)) {
        const tensor = tensors.get(key)!;
        expect(tensor.dtype, key).toBe(dtype);
        expect(tensor.shape, key).toEqual(shape);
        expect(valuesOf(tensor), key).toEqual(values);
      }
    },
  );

  it.each(golden.filter((name) => name.includes("refuse")))(
    "%s is refused and runs nothing",
    async (name) => {
      const error = await refusal(folder + name);
      expect(error.code).toBe("CHECKPOINT_UNSAFE");
      expect(error.message).toMatch(
        /the name "(posix\.system|torch\.nn\.modules\.container\.Sequential)"/,
      );
      expect(existsSync("this-checkpoint-ran-code")).toBe(false);
    },
  );

  it("shares memory between views of one storage", async () => {
    const tensors = await readCheckpoint(`${folder}views.pth`);
    expect(tensors.get("offset")!.data.buffer).toBe(tensors.get("whole")!.data.buffer);
  });

  it("is chosen from several dictionaries by key, and only then", async () => {
    const path = `${folder}nested-checkpoint.pth`;
    const chosen = await readCheckpoint(path, { key: "state_dict" });
    expect([...chosen.keys()]).toEqual([...(await readCheckpoint(path)).keys()]);
    await expect(readCheckpoint(path, { key: "ema" })).rejects.toMatchObject({
      code: "CHECKPOINT_FORMAT",
    });
    await expect(readCheckpoint(path, { key: 1 as never })).rejects.toThrow(TypeError);
    await expect(readCheckpoint(path, { keys: "x" } as never)).rejects.toThrow(TypeError);
    await expect(readCheckpoint(7 as never)).rejects.toThrow(
      "Expected a path for path but received 7",
    );
  });
});

describe("a zip checkpoint", () => {
  const bytes = readFileSync(`${folder}zip.pth`);
  const entries = () => parseZip(bytes);
  const edited = (edit: (list: ZipEntry[]) => ZipEntry[] | undefined) => {
    const list = entries();
    return zip(edit(list) ?? list);
  };
  const entry = (list: ZipEntry[], suffix: string) =>
    list.find(({ name }) => name.endsWith(suffix))!;

  it("reads when written by another zip program: deflated, with zip64 fields, or with a comment", async () => {
    const expected = await readCheckpoint(`${folder}zip.pth`);
    const variants = [
      zip(entries()),
      zip(entries().map((e) => ({ ...e, deflate: true }))),
      zip(entries(), { zip64: true }),
      zip(entries(), { comment: "made by hand" }),
    ];
    for (const variant of variants) expect(await readCheckpoint(write(variant))).toEqual(expected);
  });

  it("detects each flipped bit of each record", async () => {
    let at = 0;
    for (const { name } of entries()) at = Math.max(at, bytes.lastIndexOf(name));
    const directory = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    let detected = 0;
    let flipped = 0;
    for (let i = 700; i < directory; i += 37) {
      const copy = Buffer.from(bytes);
      copy[i]! ^= 1 << (i % 8);
      flipped++;
      // A bit of the padding between records, or of a time stamp, changes nothing that is read.
      const read = await readCheckpoint(write(copy)).catch((error) => error);
      if (read instanceof VggError) detected++;
      else expect(read).toEqual(await readCheckpoint(`${folder}zip.pth`));
    }
    expect(detected / flipped).toBeGreaterThan(0.6);
    const data = Buffer.from(bytes);
    const weights = data.indexOf("zip/data/0") + 200;
    data[weights]! ^= 1;
    expect((await refusal(data)).message).toContain("CRC-32");
    expect((await readCheckpoint(write(data), { verify: false })).size).toBe(6);
  });

  it.each<[string, Uint8Array, string]>([
    ["nothing", new Uint8Array(0), "CHECKPOINT_FORMAT"],
    ["two letters", Buffer.from("PK"), "CHECKPOINT_CORRUPT"],
    ["half of a file", bytes.subarray(0, bytes.length / 2), "CHECKPOINT_CORRUPT"],
    ["all but the last byte", bytes.subarray(0, -1), "CHECKPOINT_CORRUPT"],
    ["a byte after the end", Buffer.concat([bytes, Buffer.of(0)]), "CHECKPOINT_CORRUPT"],
    [
      "random bytes",
      Buffer.from(Array.from({ length: 999 }, (_, i) => (i * i * 31) % 256)),
      "CHECKPOINT_FORMAT",
    ],
    ["a text", Buffer.from("weights=1\n"), "CHECKPOINT_FORMAT"],
    [
      "a zip without data.pkl",
      edited((l) => l.filter(({ name }) => !name.endsWith("data.pkl"))),
      "CHECKPOINT_FORMAT",
    ],
    [
      "a zip without a storage",
      edited((l) => l.filter(({ name }) => !name.endsWith("data/3"))),
      "CHECKPOINT_CORRUPT",
    ],
    ["a name twice", edited((l) => [...l, entry(l, "data/0")]), "CHECKPOINT_CORRUPT"],
    [
      "two folders",
      edited((l) => [...l, { ...entry(l, "data/0"), name: "other/data/0" }]),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a path upwards",
      edited((l) => [...l, { ...entry(l, "data/0"), name: "../../etc/passwd" }]),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "TorchScript",
      edited((l) => [...l, { name: "zip/constants.pkl", data: Buffer.from("x") }]),
      "CHECKPOINT_FORMAT",
    ],
    [
      "big-endian",
      edited((l) => [...l, { name: "zip/byteorder", data: Buffer.from("big") }]),
      "CHECKPOINT_UNSUPPORTED",
    ],
    ["an encrypted record", zip(entries(), { flags: 1 }), "CHECKPOINT_UNSUPPORTED"],
    ["another compression", zip(entries(), { method: 12 }), "CHECKPOINT_UNSUPPORTED"],
    [
      "a header that contradicts the directory",
      zip(entries(), { localName: "zip/data.pkx" }),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a storage too short",
      edited((l) =>
        l.map((e) => (e.name.endsWith("data/1") ? { ...e, data: e.data.subarray(4) } : e)),
      ),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a pickle with trailing bytes",
      edited((l) =>
        l.map((e) =>
          e.name.endsWith("data.pkl")
            ? { ...e, data: Buffer.concat([e.data, Buffer.of(0x2e)]) }
            : e,
        ),
      ),
      "CHECKPOINT_CORRUPT",
    ],
  ])("refuses %s", async (_, file, code) => {
    expect((await refusal(file)).code).toBe(code);
  });

  it("refuses records that overlap", async () => {
    const copy = Buffer.from(zip(entries()));
    // The second entry's place becomes the first one's: names differ, so the header contradicts; the same names overlap.
    const first = copy.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    const second = copy.indexOf(Buffer.from([0x50, 0x4b, 1, 2]), first + 4);
    copy.copy(copy, second + 42, first + 42, first + 46);
    expect((await refusal(copy)).code).toBe("CHECKPOINT_CORRUPT");
  });

  it("refuses a bomb before it inflates it", async () => {
    const zeros = Buffer.alloc(200 * 2 ** 20);
    const packed = deflateRawSync(zeros);
    const bomb = zip([
      { name: "bomb/data.pkl", data: zeros, packed, crc: crc32(zeros) },
      { name: "bomb/version", data: Buffer.from("3\n") },
    ]);
    expect((await refusal(bomb)).code).toBe("CHECKPOINT_LIMIT");
  });
});

const tensor = (elements: string, offset: string, shape: string, strides: string) =>
  rebuilt(storage(elements), offset, shape, strides);
const stateDict = (value: string) => pickle(`}${text("w")}${value}s`);
const file = (data: Uint8Array, storageBytes = 24) =>
  zip([
    { name: "x/data.pkl", data },
    { name: "x/data/0", data: Buffer.alloc(storageBytes, 1) },
    { name: "x/version", data: Buffer.from("3\n") },
  ]);

describe("a pickle", () => {
  it("may hold strided views", async () => {
    const path = write(file(stateDict(tensor(int(6), int(1), int(2) + int(2), int(2) + int(1)))));
    expect((await readCheckpoint(path)).get("w")!.shape).toEqual([2, 2]);
    const expanded = write(file(stateDict(tensor(int(6), int(5), int(1000), int(0)))));
    expect((await readCheckpoint(expanded)).get("w")!.size).toBe(1000);
  });

  it.each<[string, Uint8Array, string]>([
    ["a call of os.system", pickle("cos\nsystem\n", `(${text("true")}tR`), "CHECKPOINT_UNSAFE"],
    ["builtins.eval", pickle("cbuiltins\neval\n", `(${text("1")}tR`), "CHECKPOINT_UNSAFE"],
    ["an unknown name that is never called", pickle("cnumpy\nndarray\n0}"), "CHECKPOINT_UNSAFE"],
    ["a name from the stack", pickle(text("os"), text("system"), "\x93"), "CHECKPOINT_UNSAFE"],
    ["a call of a storage type", pickle("ctorch\nFloatStorage\n)R"), "CHECKPOINT_UNSAFE"],
    [
      "bytearray(2**32)",
      pickle("cbuiltins\nbytearray\n", `(${long(2n ** 32n)}tR`),
      "CHECKPOINT_UNSAFE",
    ],
    ["INST", pickle("(ios\nsystem\n"), "CHECKPOINT_UNSAFE"],
    ["NEWOBJ", pickle("ccollections\nOrderedDict\n)\x81"), "CHECKPOINT_UNSAFE"],
    ["BUILD of a list", pickle("]}b"), "CHECKPOINT_UNSAFE"],
    ["a module's persistent id", pickle(`(${text("module")}NtQ`), "CHECKPOINT_UNSAFE"],
    ["a string as persistent id", pickle(text("0"), "Q"), "CHECKPOINT_UNSAFE"],
    [
      "a path as storage key",
      stateDict(`ctorch._utils\n_rebuild_tensor_v2\n(${storage(int(6), "../0")}${int(0)})))tR`),
      "CHECKPOINT_CORRUPT",
    ],
    ["nothing on the stack", pickle(""), "CHECKPOINT_CORRUPT"],
    ["a missing mark", pickle("t"), "CHECKPOINT_CORRUPT"],
    ["a missing memo", pickle("h\x07"), "CHECKPOINT_CORRUPT"],
    ["two values at the end", pickle("}}"), "CHECKPOINT_CORRUPT"],
    ["a string past the end", pickle("X\xff\xff\x00\x00a"), "CHECKPOINT_CORRUPT"],
    ["a huge string", pickle("X\xff\xff\xff\x7fa"), "CHECKPOINT_LIMIT"],
    ["a huge integer", pickle("\x8a\xff"), "CHECKPOINT_LIMIT"],
    ["no dictionary", pickle("]"), "CHECKPOINT_FORMAT"],
    [
      "a view past its storage",
      stateDict(tensor(int(6), int(1), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "an offset past its storage",
      stateDict(tensor(int(6), int(6), int(1), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    ["a negative offset", stateDict(tensor(int(6), int(-1), int(1), int(1))), "CHECKPOINT_CORRUPT"],
    ["a negative stride", stateDict(tensor(int(6), int(5), int(6), int(-1))), "CHECKPOINT_CORRUPT"],
    ["a negative size", stateDict(tensor(int(6), int(0), int(-6), int(1))), "CHECKPOINT_CORRUPT"],
    [
      "sizes whose product overflows",
      stateDict(tensor(int(6), int(0), long(2n ** 40n) + long(2n ** 40n), int(0) + int(0))),
      "CHECKPOINT_LIMIT",
    ],
    [
      "a view of 4 TiB over 24 bytes",
      stateDict(tensor(int(6), int(0), int(2 ** 30) + int(1024), int(0) + int(0))),
      "CHECKPOINT_LIMIT",
    ],
    [
      "strides that overflow",
      stateDict(tensor(int(6), int(0), int(3), long(2n ** 62n))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "as many strides as sizes",
      stateDict(tensor(int(6), int(0), int(2) + int(3), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a storage larger than its record",
      stateDict(tensor(int(7), int(0), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a storage of 2^62 elements",
      stateDict(tensor(long(2n ** 62n), int(0), int(6), int(1))),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a complex storage",
      stateDict(
        `ctorch._utils\n_rebuild_tensor_v2\n(${storage(int(3), "0", "ComplexFloatStorage")}${int(0)}(${int(3)}t(${int(1)}t\x89ccollections\nOrderedDict\n)RtR`,
      ),
      "CHECKPOINT_UNSUPPORTED",
    ],
    [
      "two state dicts",
      pickle(
        `}(${text("model")}}${text("w")}${tensor(int(6), int(0), int(6), int(1))}s${text("state_dict")}}${text("w")}${tensor(int(6), int(0), int(6), int(1))}su`,
      ),
      "CHECKPOINT_FORMAT",
    ],
  ])("is refused with %s", async (_, data, code) => {
    expect((await refusal(file(data))).code).toBe(code);
  });

  it("that is nested or refers to itself is read without harm", async () => {
    const deep = pickle("}", text("w"), "(".repeat(50_000), "t".repeat(50_000), "s");
    expect((await readCheckpoint(write(file(deep)))).size).toBe(0);
    const loop = pickle("}q\x00", text("self"), "h\x00s");
    expect((await readCheckpoint(write(file(loop)))).size).toBe(0);
    // Ten lists of ten of the list before: 10^10 leaves in a few bytes.
    const laughs = pickle(
      "]q\x00",
      ...Array.from(
        { length: 10 },
        (_, i) => `0](${`h${String.fromCharCode(i)}`.repeat(10)}eq${String.fromCharCode(i + 1)}`,
      ),
      "0}",
    );
    expect((await readCheckpoint(write(file(laughs)))).size).toBe(0);
  });
});

describe("a pickle that asks for much", () => {
  const lists = {
    "a list of itself": "]q\x00h\x00a",
    "a list of 8^30 leaves": `]q\x00${`0(${"h\x00".repeat(8)}lq\x00`.repeat(30)}`,
  };
  const many = (count: number, item: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => item(i)).join("");

  it.each<[string, () => Uint8Array, string]>([
    ...Object.entries(lists).flatMap(([name, list]): [string, () => Uint8Array, string][] => [
      [
        `${name} as a number`,
        () => stateDict(tensor(list, int(0), int(6), int(1))),
        "CHECKPOINT_CORRUPT",
      ],
      [
        `${name} as a size`,
        () => stateDict(tensor(int(6), int(0), list, int(1))),
        "CHECKPOINT_CORRUPT",
      ],
      [`${name} as a persistent id`, () => pickle(`(${list}tQ`), "CHECKPOINT_UNSAFE"],
    ]),
    [
      "a shape of 50,000 sizes in 50,000 tensors",
      () =>
        pickle(
          `(${int(1).repeat(50_000)}tq\x000ctorch._utils\n_rebuild_tensor_v2\nq\x010${storage(int(6))}q\x020`,
          `](${`h\x01(h\x02${int(0)}h\x00h\x00tR`.repeat(50_000)}e`,
        ),
      "CHECKPOINT_LIMIT",
    ],
    [
      "an OrderedDict of 50,000 pairs 50,000 times",
      () =>
        pickle(
          `](${many(50_000, (i) => `${int(i)}N\x86`)}e\x85q\x000ccollections\nOrderedDict\nq\x010`,
          `](${"h\x01h\x00R".repeat(50_000)}e`,
        ),
      "CHECKPOINT_LIMIT",
    ],
    [
      "4,000,000 dictionaries",
      () => pickle("]", `(${"}".repeat(50_000)}e`.repeat(80)),
      "CHECKPOINT_LIMIT",
    ],
    [
      "one tensor under 120,000 names",
      () =>
        pickle(
          `${tensor(int(6), int(0), int(6), int(1))}q\x000}`,
          ...["a", "b", "c"].map(
            (letter) => `(${many(40_000, (i) => `${text(letter + i)}h\x00`)}u`,
          ),
        ),
      "CHECKPOINT_LIMIT",
    ],
  ])("is refused at once with %s", async (_, data, code) => {
    expect((await refusal(file(data()))).code).toBe(code);
  });

  it("is read at once with a dictionary of 40,000 numbers under 40,000 names", async () => {
    const data = pickle(
      `}(${many(40_000, (i) => `${int(i)}N`)}uq\x000}(${many(40_000, (i) => `${text(`${i}`)}h\x00`)}u`,
    );
    expect((await readCheckpoint(write(file(data)))).size).toBe(0);
  });
});

/** A legacy file: its pickles, then storage 0. */
const legacy = (root: Uint8Array, count: number, data: Uint8Array) => {
  const elements = Buffer.alloc(8);
  elements.writeBigInt64LE(BigInt(count));
  return Buffer.concat([
    pickle("\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"),
    pickle(int(1001)),
    pickle("}"),
    root,
    pickle(`](${text("0")}e`),
    elements,
    data,
  ]);
};

describe("a legacy checkpoint", () => {
  const bytes = readFileSync(`${folder}legacy.pth`);
  it.each<[string, Uint8Array, string]>([
    ["half of it", bytes.subarray(0, bytes.length / 2), "CHECKPOINT_CORRUPT"],
    ["all but its last byte", bytes.subarray(0, -1), "CHECKPOINT_CORRUPT"],
    ["a byte after its end", Buffer.concat([bytes, Buffer.of(0)]), "CHECKPOINT_CORRUPT"],
    ["its magic alone", bytes.subarray(0, 15), "CHECKPOINT_CORRUPT"],
    ["another protocol", Buffer.from(bytes).fill(0xea, 18, 19), "CHECKPOINT_FORMAT"],
    ["another magic", Buffer.from(bytes).fill(0, 8, 9), "CHECKPOINT_FORMAT"],
  ])("is refused as %s", async (_, data, code) => {
    expect((await refusal(data)).code).toBe(code);
  });

  it("is refused with another count before a storage", async () => {
    const copy = Buffer.from(bytes);
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(108n);
    const at = copy.indexOf(count);
    expect(at).toBeGreaterThan(0);
    for (const wrong of [-1n, 107n, 2n ** 60n]) {
      copy.writeBigInt64LE(wrong, at);
      expect((await refusal(copy)).code).toBe("CHECKPOINT_CORRUPT");
    }
  });

  it("may hold tensors of another dtype than their storage", async () => {
    const other = (type: string, elements: number, dtype: string) =>
      stateDict(
        `ctorch._utils\n_rebuild_tensor_v3\n(${storage(int(elements), "0", type)}${int(0)}(${int(3)}t(${int(1)}t\x89}ctorch\n${dtype}\ntR`,
      ).toString("latin1");
    const read = (type: string, elements: number, dtype: string) =>
      write(
        legacy(
          Buffer.from(other(type, elements, dtype), "latin1"),
          elements,
          Buffer.from([1, 0, 2, 0, 3, 0]),
        ),
      );
    for (const path of [
      read("ShortStorage", 3, "uint16"),
      read("ByteStorage", 6, "uint16"),
      read("UntypedStorage", 6, "uint16"),
    ]) {
      const tensor = (await readCheckpoint(path)).get("w")!;
      expect(tensor.dtype).toBe("uint16");
      expect([...tensor.data]).toEqual([1, 2, 3]);
    }
    for (const [type, elements, dtype] of [
      ["ShortStorage", 3, "uint32"],
      ["ShortStorage", 3, "float64"],
    ] as const) {
      expect((await refusal(read(type, elements, dtype))).code).toBe("CHECKPOINT_CORRUPT");
    }
  });

  it("is refused with a list of itself as a key or a protocol", async () => {
    const list = pickle("]q\x00h\x00a");
    const magic = bytes.subarray(0, 15);
    expect((await refusal(Buffer.concat([magic, list]))).code).toBe("CHECKPOINT_FORMAT");
    const root = stateDict(tensor(int(1), int(0), int(1), int(1)));
    const data = Buffer.concat([magic, pickle(int(1001)), pickle("}"), root, list]);
    expect((await refusal(data)).code).toBe("CHECKPOINT_CORRUPT");
  });

  it("as a tar file of 2017 is refused with advice", async () => {
    const path = write(bytes, "inner.pth");
    for (const format of ["ustar", "v7"]) {
      const tar = join(scratch, `${format}.tar`);
      execFileSync("tar", ["--format", format, "-cf", tar, "-C", scratch, "inner.pth"]);
      const error = await refusal(tar);
      expect(error.code).toBe("CHECKPOINT_FORMAT");
      expect(error.message).toContain("save it again");
    }
    expect((await readCheckpoint(path)).size).toBe(6);
  });
});

describe("a file", () => {
  it("is read at most 1 GiB at a time: Node ends the process at 2", async () => {
    const short = await CheckpointFile.open(write(Buffer.from("short")));
    await expect(short.readInto(new Uint8Array(2 ** 31), 0)).rejects.toMatchObject({
      code: "CHECKPOINT_UNREADABLE",
    });
    await short.close();
  });

  it("that is missing, a directory or a FIFO is refused", async () => {
    for (const path of [join(scratch, "missing.pth"), scratch, "/dev/zero"]) {
      expect((await refusal(path)).code).toBe("CHECKPOINT_UNREADABLE");
    }
    const fifo = join(scratch, "fifo");
    execFileSync("mkfifo", [fifo]);
    expect((await refusal(fifo)).code).toBe("CHECKPOINT_UNREADABLE");
  });
});

describe("safetensors", () => {
  const header = (json: string | Uint8Array, data = 0) => {
    const body = Buffer.from(json as string);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(body.length));
    return Buffer.concat([length, body, Buffer.alloc(data)]);
  };
  const one = (fields: string, data = 8) => header(`{"a":{${fields}}}`, data);
  const f32 = '"dtype":"F32","shape":[2],"data_offsets":[0,8]';

  it("keeps every dtype, shape, bit and metadata", async () => {
    const tensors = new Map<string, Tensor>();
    for (const dtype of [
      "float32",
      "float64",
      "float16",
      "bfloat16",
      "float8_e4m3fn",
      "float8_e5m2",
      "bool",
      "int8",
      "uint8",
      "int16",
      "uint16",
      "int32",
      "uint32",
      "int64",
      "uint64",
    ] as const) {
      const tensor = Tensor.zeros([2, 3], dtype);
      new Uint8Array(tensor.data.buffer).forEach((_, i, b) => {
        b[i] = dtype === "bool" ? i % 2 : i * 41;
      });
      tensors.set(`layer.${dtype}`, tensor);
    }
    tensors.set("scalar", new Tensor([], Float32Array.of(3.5)));
    tensors.set("empty", Tensor.zeros([0, 4]));
    tensors.set("__proto__", Tensor.zeros([1]));
    const path = join(scratch, "all.safetensors");
    await writeSafetensors(path, tensors, { metadata: { format: "pt", note: 'ü "quoted"' } });
    const back = await readCheckpoint(path);
    expect(new Set(back.keys())).toEqual(new Set(tensors.keys()));
    for (const [name, tensor] of tensors) {
      expect(back.get(name)!.dtype).toBe(tensor.dtype);
      expect(back.get(name)!.shape).toEqual(tensor.shape);
      expect(Buffer.from(new Uint8Array(back.get(name)!.data.buffer))).toEqual(
        Buffer.from(new Uint8Array(tensor.data.buffer)),
      );
    }
    expect(readdirSync(scratch).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("has a header of bounded size", async () => {
    const path = write(header(`{"__metadata__":{"x":"${"y".repeat(2000)}"}}`));
    expect((await readCheckpoint(path)).size).toBe(0);
    await expect(readCheckpoint(path, { maxHeaderBytes: 1000 })).rejects.toMatchObject({
      code: "CHECKPOINT_LIMIT",
    });
    await expect(readCheckpoint(path, { maxHeaderBytes: 1e9 })).rejects.toThrow(RangeError);
  });

  it("accepts what the reference accepts: white space before the header, an empty tensor, an extra field", async () => {
    expect((await readCheckpoint(write(header(` {"a":{${f32}}}  `, 8)))).size).toBe(1);
    expect(
      (
        await readCheckpoint(
          write(one(`"dtype":"F32","shape":[0,1099511627],"data_offsets":[0,0]`, 0)),
        )
      ).size,
    ).toBe(1);
    expect((await readCheckpoint(write(one(`${f32},"extra":1`)))).size).toBe(1);
    expect((await readCheckpoint(write(header("{}")))).size).toBe(0);
  });

  it.each<[string, Uint8Array, string]>([
    [
      "a length beyond the file",
      Buffer.concat([Buffer.from([200, 0, 0, 0, 0, 0, 0, 0]), Buffer.from("{}")]),
      "CHECKPOINT_CORRUPT",
    ],
    ["no object", header("[]  "), "CHECKPOINT_FORMAT"],
    ["an unfinished header", header('{"a":'), "CHECKPOINT_CORRUPT"],
    ["text after the header", header("{}x"), "CHECKPOINT_CORRUPT"],
    [
      "bytes that are no UTF-8",
      header(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
      "CHECKPOINT_CORRUPT",
    ],
    ["a key twice", header(`{"a":{${f32}},"a":{${f32}}}`, 8), "CHECKPOINT_CORRUPT"],
    ["a field twice", one(`${f32},"dtype":"F32"`), "CHECKPOINT_CORRUPT"],
    ["metadata twice", header(`{"__metadata__":{"x":"1","x":"2"}}`), "CHECKPOINT_CORRUPT"],
    ["metadata of numbers", header(`{"__metadata__":{"x":1}}`), "CHECKPOINT_CORRUPT"],
    [
      "a float as offset",
      one('"dtype":"F32","shape":[2],"data_offsets":[0,8.0]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "an exponent as size",
      one('"dtype":"F32","shape":[2e0],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a negative size",
      one('"dtype":"F32","shape":[-2],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a size beyond 2^53",
      one('"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "sizes that overflow",
      one('"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a string as size",
      one('"dtype":"F32","shape":["2"],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "an end before the beginning",
      one('"dtype":"F32","shape":[2],"data_offsets":[8,0]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "another size than its offsets",
      one('"dtype":"F32","shape":[3],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a gap at the start",
      one('"dtype":"F32","shape":[1],"data_offsets":[4,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    ["bytes after the last tensor", one(f32, 12), "CHECKPOINT_CORRUPT"],
    ["bytes missing", one(f32, 4), "CHECKPOINT_CORRUPT"],
    [
      "an overlap",
      header(`{"a":{${f32}},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a hole",
      header(`{"a":{${f32}},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "an unknown dtype",
      one('"dtype":"f32","shape":[2],"data_offsets":[0,8]'),
      "CHECKPOINT_UNSUPPORTED",
    ],
    ["a missing dtype", one('"shape":[2],"data_offsets":[0,8]'), "CHECKPOINT_CORRUPT"],
    [
      "__proto__ as dtype",
      one('"dtype":"__proto__","shape":[2],"data_offsets":[0,8]'),
      "CHECKPOINT_UNSUPPORTED",
    ],
    [
      "4,000,000 objects",
      header(`{"a":{${f32},"extra":[${"{},".repeat(4_000_000)}{}]}}`, 8),
      "CHECKPOINT_LIMIT",
    ],
    ["deep nesting", header(`{"a":${"[".repeat(200)}${"]".repeat(200)}}`), "CHECKPOINT_CORRUPT"],
  ])("is refused with %s", async (_, data, code) => {
    expect((await refusal(data)).code).toBe(code);
  });

  it.each<[string, () => Promise<void>]>([
    ["a path that is none", () => writeSafetensors(3 as never, {})],
    ["an array", () => writeSafetensors(join(scratch, "x"), { a: new Float32Array(1) as never })],
    [
      "metadata of numbers",
      () => writeSafetensors(join(scratch, "x"), {}, { metadata: { x: 1 as never } }),
    ],
    [
      "the name of the metadata",
      () => writeSafetensors(join(scratch, "x"), { __metadata__: Tensor.zeros([1]) }),
    ],
  ])("is not written from %s", async (_, call) => {
    await expect(call()).rejects.toThrow(TypeError);
    expect(existsSync(join(scratch, "x"))).toBe(false);
  });
});
