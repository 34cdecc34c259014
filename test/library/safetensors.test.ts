// safetensors files are read and written bit for bit, and damaged ones are refused.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type DType, readCheckpoint, Tensor, writeSafetensors } from "../../lib/index.ts";
import { refusal, scratch, write } from "../support/checkpoint-files.ts";

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
    const tensors = new Map<string, Tensor<DType>>();
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
    ["a header that is not an object", header("[]  "), "CHECKPOINT_FORMAT"],
    ["an unfinished header", header('{"a":'), "CHECKPOINT_CORRUPT"],
    ["text after the header", header("{}x"), "CHECKPOINT_CORRUPT"],
    [
      "bytes that are not UTF-8",
      header(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
      "CHECKPOINT_CORRUPT",
    ],
    ["half a surrogate pair", header('{"\\ud800":{}}'), "CHECKPOINT_CORRUPT"],
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
      "a size that contradicts its offsets",
      one('"dtype":"F32","shape":[3],"data_offsets":[0,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    [
      "a gap at the start",
      one('"dtype":"F32","shape":[1],"data_offsets":[4,8]'),
      "CHECKPOINT_CORRUPT",
    ],
    ["bytes after the last tensor", one(f32, 12), "CHECKPOINT_CORRUPT"],
    ["missing bytes", one(f32, 4), "CHECKPOINT_CORRUPT"],
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
    ["a path that is a number", () => writeSafetensors(3 as never, {})],
    ["an array", () => writeSafetensors(join(scratch, "x"), { a: new Float32Array(1) as never })],
    [
      "metadata of numbers",
      () => writeSafetensors(join(scratch, "x"), {}, { metadata: { x: 1 as never } }),
    ],
    [
      "a tensor under the metadata's name",
      () => writeSafetensors(join(scratch, "x"), { __metadata__: Tensor.zeros([1]) }),
    ],
  ])("is not written from %s", async (_, call) => {
    await expect(call()).rejects.toThrow(TypeError);
    expect(existsSync(join(scratch, "x"))).toBe(false);
  });
});
