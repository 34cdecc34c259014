// Properties of the checkpoint readers for inputs that fast-check generates: views, safetensors, JSON.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckpointFile } from "../../lib/checkpoint/file.ts";
import { JsonObject, type JsonValue, parseJson } from "../../lib/checkpoint/json.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { arrayTypeOf, dtypes } from "../../lib/dtype.ts";
import {
  type DType,
  readCheckpoint,
  Tensor,
  type TensorData,
  VggError,
  writeSafetensors,
} from "../../lib/index.ts";
import { int, pickle, rebuilt, storage, text } from "../support/pickle.ts";
import { zip } from "../support/zip.ts";

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "vgg-properties-"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

const bytesOf = ({ data }: { data: TensorData }) =>
  Buffer.from(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);

describe("a view of a storage", () => {
  interface View {
    offset: number;
    shape: number[];
    strides: number[];
  }

  /** Views that slicing, permuting and expanding make of a contiguous tensor of this shape. */
  const viewOf = (dimensions: readonly number[]): fc.Arbitrary<View> => {
    const axes = dimensions.map((size, axis) => {
      const stride = dimensions.slice(axis + 1).reduce((product, d) => product * d, 1);
      return fc
        .record({
          start: fc.nat(Math.max(size - 1, 0)),
          step: fc.integer({ min: 1, max: 3 }),
          length: fc.nat(size),
        })
        .map(({ start, step, length }) => ({
          offset: size === 0 ? 0 : start * stride,
          size: Math.min(length, Math.ceil((size - start) / step)),
          stride: stride * step,
        }));
    });
    const expanded = fc.integer({ min: 0, max: 4 }).map((size) => ({ offset: 0, size, stride: 0 }));
    return fc
      .tuple(fc.tuple(...axes), fc.array(expanded, { maxLength: 2 }))
      .chain(([sliced, added]) => {
        const all = [...sliced, ...added];
        return fc
          .shuffledSubarray(all, { minLength: all.length, maxLength: all.length })
          .map((order) => ({
            offset: sliced.reduce((sum, { offset }) => sum + offset, 0),
            shape: order.map(({ size }) => size),
            strides: order.map(({ stride }) => stride),
          }));
      });
  };

  /** Reads a view element by element, by the definition. */
  function naive({ offset, shape, strides }: View): number[] {
    const [size, ...shapes] = shape;
    const [stride, ...rest] = strides;
    if (size === undefined || stride === undefined) return [offset];
    return Array.from({ length: size }, (_, i) =>
      naive({ offset: offset + i * stride, shape: shapes, strides: rest }),
    ).flat();
  }

  const storageTypes = {
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
  } as const;

  const stored = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }).chain((dimensions) =>
    fc.record({
      dimensions: fc.constant(dimensions),
      views: fc.array(viewOf(dimensions), { minLength: 1, maxLength: 4 }),
      spare: fc.nat(5),
    }),
  );

  it("reads the same values as indexing each element by the definition", async () => {
    await fc.assert(
      fc.asyncProperty(
        stored,
        fc.constantFrom(...(Object.keys(storageTypes) as (keyof typeof storageTypes)[])),
        fc.boolean(),
        async ({ dimensions, views, spare }, dtype, deflate) => {
          const elements = dimensions.reduce((product, d) => product * d, 1) + spare;
          const type = arrayTypeOf(dtype);
          const values = new type(elements);
          for (let i = 0; i < elements; i++)
            values[i] = values instanceof BigInt64Array ? BigInt(i * 7) : (i * 7) % 128;
          const from = storage(int(elements), "0", storageTypes[dtype]);
          const ints = (list: readonly number[]) => list.map(int).join("");
          const state = views.map(
            ({ offset, shape, strides }, i) =>
              `${text(`view.${i}`)}${rebuilt(from, int(offset), ints(shape), ints(strides))}`,
          );
          const path = join(scratch, "views.pth");
          writeFileSync(
            path,
            zip([
              { name: "x/data.pkl", data: pickle(`}(${state.join("")}u`) },
              { name: "x/version", data: Buffer.from("3\n") },
              { name: "x/data/0", data: new Uint8Array(values.buffer), deflate },
            ]),
          );
          const tensors = await readCheckpoint(path);
          expect([...tensors.keys()]).toEqual(views.map((_, i) => `view.${i}`));
          for (const [i, view] of views.entries()) {
            const tensor = tensors.get(`view.${i}`)!;
            expect(tensor.dtype).toBe(dtype);
            expect(tensor.shape).toEqual(view.shape);
            expect([...tensor.data]).toEqual(naive(view).map((at) => values[at]));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("safetensors", () => {
  const name = fc.string({ unit: "binary", maxLength: 12 });
  /** Any name, including those that every object inherits. */
  const anyName = fc.oneof(
    name.filter((text) => !/\p{Surrogate}/u.test(text)),
    fc.constantFrom("__proto__", "constructor", "toString", "0", "1", "", "labels"),
  );
  const tensor = fc
    .record({
      dtype: fc.constantFrom<DType>(...dtypes),
      shape: fc.oneof(
        fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 6 }),
      ),
      noise: fc.integer(),
    })
    .map(({ dtype, shape, noise }) => {
      const made = Tensor.zeros(shape, dtype);
      bytesOf(made).forEach((_, i, bytes) => {
        bytes[i] = Math.imul(noise ^ i, 0x9e3779b1) >>> 24;
      });
      return made;
    });

  it("reads as it was written: names, dtypes, shapes, bits and metadata", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(
          fc.tuple(
            anyName.filter((text) => text !== "__metadata__"),
            tensor,
          ),
          { selector: ([key]) => key, maxLength: 6 },
        ),
        fc.uniqueArray(fc.tuple(anyName, anyName), { selector: ([key]) => key, maxLength: 4 }),
        async (list, strings) => {
          const tensors = new Map(list);
          const path = join(scratch, "all.safetensors");
          // fromEntries defines properties, so __proto__ is an ordinary key.
          await writeSafetensors(path, tensors, { metadata: Object.fromEntries(strings) });
          const back = await readCheckpoint(path);
          expect(new Set(back.keys())).toEqual(new Set(tensors.keys()));
          for (const [key, { dtype, shape, data }] of tensors) {
            const read = back.get(key)!;
            expect([read.dtype, read.shape]).toEqual([dtype, shape]);
            expect(Buffer.compare(bytesOf(read), bytesOf({ data }))).toBe(0);
          }
          const checkpoint = await openCheckpoint(path);
          await checkpoint.close();
          expect(new Map(checkpoint.contents.metadata)).toEqual(new Map(strings));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("parseJson", () => {
  let file: CheckpointFile;
  beforeAll(async () => {
    const path = join(scratch, "json");
    writeFileSync(path, "");
    file = await CheckpointFile.open(path);
  });
  afterAll(() => file.close());

  /** The value as JSON.parse returns it. `fromEntries` keeps __proto__ as a key. */
  const plain = (value: JsonValue): unknown => {
    if (value instanceof JsonObject)
      return Object.fromEntries([...value.entries].map(([key, item]) => [key, plain(item)]));
    return Array.isArray(value) ? value.map(plain) : value;
  };
  const parse = (json: string | Uint8Array) => {
    try {
      return { value: plain(parseJson(file, Buffer.from(json as string))) };
    } catch (error) {
      if (error instanceof VggError && error.code === "CHECKPOINT_CORRUPT") return undefined;
      throw error;
    }
  };
  /** Whether parseJson accepts the text. If it does, JSON.parse must accept it and return the same value. */
  const agrees = (json: string): boolean => {
    const ours = parse(json);
    if (ours !== undefined) expect(ours.value).toEqual(JSON.parse(json));
    return ours !== undefined;
  };

  const integers: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(null, true, false),
      fc.maxSafeNat(),
      fc.string({ unit: "binary" }),
      fc.array(tie("value"), { maxLength: 5 }),
      fc.dictionary(fc.string({ unit: "binary" }), tie("value"), {
        maxKeys: 5,
        noNullPrototype: true,
      }),
    ),
  })).value;

  it("accepts any text of integers ≥ 0, strings, lists and objects, with any white space", () => {
    fc.assert(
      fc.property(integers, fc.constantFrom("", " ", "\t", "\n  "), (value, indent) => {
        expect(agrees(JSON.stringify(value, null, indent))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("accepts only what JSON.parse accepts, and agrees with it", () => {
    const token = fc.oneof(
      fc.constantFrom(
        ..."[]{},:",
        '"',
        "\\",
        " ",
        "\n",
        "-",
        ".",
        "e",
        "0",
        "00",
        "1",
        "9".repeat(16),
      ),
      fc.constantFrom(
        "true",
        "false",
        "null",
        "nul",
        '"a"',
        '"b"',
        '"\\u0041"',
        '"\\ud800"',
        '"\\x"',
      ),
      fc.constantFrom("\u0001", "\ufeff", "\u00a0", "\u2028", "é", "😀"),
    );
    fc.assert(
      fc.property(
        fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join("")),
        (json) => {
          agrees(json);
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it("accepts only what JSON.parse accepts if a part of a text is changed", () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.nat(3),
        fc.constantFrom("", ",", '"', "}", "]", "0", "-", "\\", " ", "1e5", ":"),
        (json, place, removed, added) => {
          const at = place % (json.length + 1);
          agrees(json);
          agrees(json.slice(0, at) + added + json.slice(at + removed));
        },
      ),
      { numRuns: 5000 },
    );
  });

  it("refuses bytes that are not UTF-8, as a reader of UTF-8 must", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), (inner) => {
        const bytes = Buffer.concat([Buffer.from('"'), inner, Buffer.from('"')]);
        const ours = parse(bytes);
        if (ours === undefined) return;
        expect(Buffer.compare(Buffer.from(bytes.toString()), bytes)).toBe(0);
        expect(ours.value).toEqual(JSON.parse(bytes.toString()));
      }),
      { numRuns: 5000 },
    );
  });
});
