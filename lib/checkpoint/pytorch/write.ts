// Writes a state dict as PyTorch's zip format, so that torch.load(path, weights_only=True) reads it.
import { crc32 } from "node:zlib";
import { optionOf, rangeError } from "../../check.js";
import type { DType } from "../../dtype.js";
import { VggError } from "../../errors.js";
import { replaceFile } from "../../files/replace.js";
import { nativeData } from "../../tensor.js";
import { contiguousStrides } from "../checkpoint.js";
import { checkWritable, type LazyTensor } from "../safetensors.js";
import { maxPickleBytes } from "./pickle.js";
import { maxStringBytes } from "./pickle-reader.js";

const storageNames: Readonly<Partial<Record<DType, string>>> = {
  float32: "FloatStorage",
  float64: "DoubleStorage",
  float16: "HalfStorage",
  bfloat16: "BFloat16Storage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  int16: "ShortStorage",
  int32: "IntStorage",
  int64: "LongStorage",
  bool: "BoolStorage",
};

const alignment = 64; // PyTorch aligns storages so that they can be mapped
const maxBytes = 0xffffffff; // larger offsets would need zip64

const u16 = (value: number) => Buffer.of(value & 255, value >> 8);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const text = (value: string) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from("X"), u32(bytes.byteLength), bytes]);
};
const integer = (value: number) =>
  value < 2 ** 31
    ? Buffer.concat([Buffer.from("J"), u32(value)])
    : Buffer.concat([Buffer.of(0x8a, 8), u32(value % 2 ** 32), u32(Math.floor(value / 2 ** 32))]);
const name = (module: string, item: string) => Buffer.from(`c${module}\n${item}\n`);
const tuple = (items: Buffer[]) => Buffer.concat([Buffer.from("("), ...items, Buffer.from("t")]);
const orderedDict = Buffer.concat([name("collections", "OrderedDict"), Buffer.from(")R")]);

/** Pickles an OrderedDict of tensors with protocol 2. Storage i belongs to the i-th tensor alone. */
function pickleStateDict(tensors: ReadonlyMap<string, LazyTensor>): Buffer {
  const items = [...tensors].map(([key, tensor], index) => {
    checkWritable(key, tensor);
    if (Buffer.byteLength(key) > maxStringBytes)
      throw rangeError(`a name of at most ${maxStringBytes} bytes`, "tensors", key);
    const { dtype, shape } = tensor;
    // An empty tensor's strides are never used and may not fit into 64 bits, so write zeros.
    const strides = contiguousStrides(shape.includes(0) ? shape.map(() => 0) : shape);
    const storageName = optionOf(storageNames, dtype);
    if (storageName === undefined) {
      throw new VggError(
        "CHECKPOINT_UNSUPPORTED",
        `Expected a dtype that a .pth file has a storage for but ${key} is ${dtype}; write safetensors`,
      );
    }
    const elements = shape.reduce((product, dimension) => product * dimension, 1);
    const id = tuple([
      text("storage"),
      name("torch", storageName),
      text(String(index)),
      text("cpu"),
      integer(elements),
    ]);
    return Buffer.concat([
      text(key),
      name("torch._utils", "_rebuild_tensor_v2"),
      tuple([
        Buffer.concat([id, Buffer.from("Q")]),
        integer(0),
        tuple(shape.map(integer)),
        tuple(strides.map(integer)),
        Buffer.of(0x89),
        orderedDict,
      ]),
      Buffer.from("R"),
    ]);
  });
  return Buffer.concat([
    Buffer.of(0x80, 2),
    orderedDict,
    Buffer.from("("),
    ...items,
    Buffer.from("u."),
  ]);
}

/**
 * Writes a temporary file beside the target and renames it when it is complete.
 * @throws {VggError} CHECKPOINT_UNSUPPORTED a dtype without a storage type, or more than 4 GiB; DISK_FULL, FOLDER_UNUSABLE
 * @throws {RangeError} no file, or contents that `readCheckpoint` refuses; nothing is written
 */
export async function writePytorch(
  path: string,
  tensors: ReadonlyMap<string, LazyTensor>,
): Promise<void> {
  if (tensors.size > 65_000) {
    throw new VggError(
      "CHECKPOINT_UNSUPPORTED",
      `Expected at most 65000 tensors for a .pth file but received ${tensors.size}; write safetensors`,
    );
  }
  const pickle = pickleStateDict(tensors);
  if (pickle.byteLength > maxPickleBytes) {
    throw rangeError(
      `names and shapes that take at most ${maxPickleBytes} bytes`,
      "tensors",
      pickle.byteLength,
    );
  }
  await replaceFile(path, async (file) => {
    const directory: Buffer[] = [];
    let offset = 0;
    const record = async (recordName: string, bytes: Uint8Array) => {
      const encoded = Buffer.from(`archive/${recordName}`);
      const start = offset + 30 + encoded.byteLength;
      const padding = (alignment - ((start + 4) % alignment)) % alignment;
      if (start + 4 + padding + bytes.byteLength > maxBytes) {
        throw new VggError(
          "CHECKPOINT_UNSUPPORTED",
          `Expected at most ${maxBytes} bytes for a .pth file; write safetensors`,
        );
      }
      // Version 0, no flags, stored, no time. The sizes and the checksum are known.
      const common = Buffer.concat([
        u16(0),
        u16(0),
        u16(0),
        u16(0),
        u16(0x21),
        u32(crc32(bytes)),
        u32(bytes.byteLength),
        u32(bytes.byteLength),
        u16(encoded.byteLength),
      ]);
      const extra = Buffer.concat([Buffer.from("FB"), u16(padding), Buffer.alloc(padding, "Z")]);
      await file.write(
        Buffer.concat([u32(0x04034b50), common, u16(extra.byteLength), encoded, extra]),
      );
      await file.write(bytes);
      const rest = Buffer.concat([u16(0), u16(0), u16(0), u16(0), u32(0), u32(offset)]);
      directory.push(Buffer.concat([u32(0x02014b50), u16(0), common, rest, encoded]));
      offset = start + extra.byteLength + bytes.byteLength;
    };
    await record("data.pkl", pickle);
    await record("byteorder", Buffer.from("little"));
    let index = 0;
    for (const [key, tensor] of tensors) {
      const data = nativeData(await tensor.read(), key);
      await record(
        `data/${index++}`,
        new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      );
    }
    await record("version", Buffer.from("3\n"));
    const bytes = Buffer.concat(directory);
    const count = u16(directory.length);
    await file.write(
      Buffer.concat([
        bytes,
        u32(0x06054b50),
        u16(0),
        u16(0),
        count,
        count,
        u32(bytes.byteLength),
        u32(offset),
        u16(0),
      ]),
    );
  });
}
