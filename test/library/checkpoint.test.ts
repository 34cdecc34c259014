// Checkpoints are read bit for bit as PyTorch wrote them, and everything else is refused with the right code.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { CheckpointFile } from "../../lib/checkpoint/file.ts";
import { readCheckpoint, VggError } from "../../lib/index.ts";
import { folder, refusal, scratch, stateDict, tensor, write } from "../support/checkpoint-files.ts";
import { valuesOf } from "../support/dtypes.ts";
import { int, pickle, storage, text } from "../support/pickle.ts";
import { parseZip, type ZipEntry, zip } from "../support/zip.ts";

const golden = (readdirSync(folder, { recursive: true }) as string[])
  .filter((name) => name.endsWith(".pth"))
  .sort();

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
        /an object of "(posix\.system|torch\.nn\.modules\.container\.Sequential)", whose code is never run here; save the state dict alone/,
      );
      expect(existsSync("this-checkpoint-ran-code")).toBe(false);
    },
  );

  it("shares memory between views of one storage", async () => {
    const tensors = await readCheckpoint(`${folder}views.pth`);
    expect(tensors.get("offset")!.data.buffer).toBe(tensors.get("whole")!.data.buffer);
  });

  it("with several dictionaries is read by key, and an unknown key is refused", async () => {
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
    await expect(readCheckpoint("nowhere.pth")).rejects.toThrow(/^nowhere\.pth: no such file$/);
    await expect(readCheckpoint("-")).rejects.toThrow("not from standard input");
    await expect(readCheckpoint("https://example.org/vgg11.pth")).rejects.toMatchObject({
      code: "CHECKPOINT_UNREADABLE",
      message: expect.stringContaining("weights are read from a file, not from an address"),
    });
  });
});

describe("a zip checkpoint", () => {
  it.each(["", "0\n", "11\n", "x"])("refuses version %j", async (version) => {
    const entries = parseZip(readFileSync(join(folder, "float16.pth")));
    const others = entries.filter(({ name }) => !name.endsWith("/version"));
    expect(others).toHaveLength(entries.length - 1);
    const name = entries[0]!.name.replace(/[^/]*$/, "version");
    const code = (await refusal(zip([...others, { name, data: Buffer.from(version) }]))).code;
    expect(code).toBe("CHECKPOINT_UNSUPPORTED");
    expect((await refusal(zip(others))).code).toBe("CHECKPOINT_CORRUPT");
  });

  it("refuses several disks", async () => {
    const bytes = zip(parseZip(readFileSync(join(folder, "float16.pth"))));
    const end = bytes.length - 22;
    const entry = bytes.readUInt32LE(end + 16);
    for (const at of [end + 4, end + 6, end + 8, entry + 34]) {
      const changed = Buffer.from(bytes);
      changed.writeUInt16LE(1, at);
      expect((await refusal(changed)).code).toBe("CHECKPOINT_UNSUPPORTED");
    }
  });

  const bytes = readFileSync(`${folder}zip.pth`);
  const entries = () => parseZip(bytes);
  const edited = (edit: (list: ZipEntry[]) => ZipEntry[] | undefined) => {
    const list = entries();
    return zip(edit(list) ?? list);
  };
  const entry = (list: ZipEntry[], suffix: string) =>
    list.find(({ name }) => name.endsWith(suffix))!;

  it("is read if another zip program wrote it: deflated, with zip64 fields, or with a comment", async () => {
    const expected = await readCheckpoint(`${folder}zip.pth`);
    const variants = [
      zip(entries()),
      zip(entries().map((e) => ({ ...e, deflate: true }))),
      zip(entries(), { zip64: true }),
      zip(entries(), { comment: "made by hand" }),
    ];
    for (const variant of variants) expect(await readCheckpoint(write(variant))).toEqual(expected);
  });

  it("detects a flip of any bit of any record", async () => {
    let at = 0;
    for (const { name } of entries()) at = Math.max(at, bytes.lastIndexOf(name));
    const directory = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    let detected = 0;
    let flipped = 0;
    for (let i = 700; i < directory; i += 37) {
      const copy = Buffer.from(bytes);
      copy[i]! ^= 1 << (i % 8);
      flipped++;
      // A flip in the padding between records, or in a time stamp, changes nothing that is read.
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
    ["text", Buffer.from("weights=1\n"), "CHECKPOINT_FORMAT"],
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
      "a path to a parent folder",
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
      "a storage that is too short",
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
    // The second entry gets the first one's offset. Different names contradict the header; equal names overlap.
    const first = copy.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    const second = copy.indexOf(Buffer.from([0x50, 0x4b, 1, 2]), first + 4);
    copy.copy(copy, second + 42, first + 42, first + 46);
    expect((await refusal(copy)).code).toBe("CHECKPOINT_CORRUPT");
  });

  it("refuses a zip bomb before inflating it", async () => {
    const zeros = Buffer.alloc(200 * 2 ** 20);
    const packed = deflateRawSync(zeros);
    const bomb = zip([
      { name: "bomb/data.pkl", data: zeros, packed, crc: crc32(zeros) },
      { name: "bomb/version", data: Buffer.from("3\n") },
    ]);
    expect((await refusal(bomb)).code).toBe("CHECKPOINT_LIMIT");
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

  it("is refused if the count before a storage is wrong", async () => {
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

  it("may hold tensors whose dtype differs from their storage's", async () => {
    const other = (type: string, elements: number, dtype: string) =>
      stateDict(
        `ctorch._utils\n_rebuild_tensor_v3\n(${storage(`${int(elements)}N`, "0", type)}${int(0)}(${int(3)}t(${int(1)}t\x89}ctorch\n${dtype}\ntR`,
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

  it("is refused if a key or the protocol is a list that holds itself", async () => {
    const list = pickle("]q\x00h\x00a");
    const magic = bytes.subarray(0, 15);
    expect((await refusal(Buffer.concat([magic, list]))).code).toBe("CHECKPOINT_FORMAT");
    const root = stateDict(tensor(int(1), int(0), int(1), int(1)));
    const data = Buffer.concat([magic, pickle(int(1001)), pickle("}"), root, list]);
    expect((await refusal(data)).code).toBe("CHECKPOINT_CORRUPT");
  });

  it("in the tar format of 2017 is refused with advice", async () => {
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
  it("is read at most 1 GiB at a time, because Node ends the process at 2 GiB", async () => {
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
    await expect(readCheckpoint("")).rejects.toMatchObject({
      code: "CHECKPOINT_UNREADABLE",
      message: '"": Expected the path of a file but received an empty one',
    });
    const fifo = join(scratch, "fifo");
    execFileSync("mkfifo", [fifo]);
    expect((await refusal(fifo)).code).toBe("CHECKPOINT_UNREADABLE");
  });
});
