// Tensors as bytes: numbers of every datatype, BYTES elements, and sizes that do not fit.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bytesOfElements,
  checkShape,
  datatypes,
  elementSize,
  readElements,
} from "../../lib/protocol/tensors.ts";
import type { Datatype } from "../../lib/protocol/types.ts";

const jpeg = Buffer.from("ffd8ffe000104a46494600010101", "hex");

describe("numbers", () => {
  it("have the array of their datatype", () => {
    const bytes = Uint8Array.from({ length: 16 }, (_, index) => index);
    const kinds = datatypes
      .filter((datatype) => datatype !== "BYTES")
      .map((datatype) => {
        const shape = [16 / elementSize(datatype)];
        return [datatype, readElements(datatype, shape, bytes, "x").constructor.name];
      });
    expect(Object.fromEntries(kinds)).toEqual({
      BOOL: "Uint8Array",
      UINT8: "Uint8Array",
      UINT16: "Uint16Array",
      UINT32: "Uint32Array",
      UINT64: "BigUint64Array",
      INT8: "Int8Array",
      INT16: "Int16Array",
      INT32: "Int32Array",
      INT64: "BigInt64Array",
      FP16: "Uint16Array",
      BF16: "Uint16Array",
      FP32: "Float32Array",
      FP64: "Float64Array",
    });
  });

  it("are little-endian, at any place in a body", () => {
    for (const offset of [0, 1, 2, 3]) {
      const body = Buffer.alloc(offset + 8);
      body.writeFloatLE(1.5, offset);
      body.writeFloatLE(-2, offset + 4);
      const data = readElements("FP32", [2], body.subarray(offset), "x");
      expect([...(data as Float32Array)]).toEqual([1.5, -2]);
    }
  });

  it("have exactly the bytes of their shape", () => {
    for (const size of [0, 7, 9, 12])
      expect(() => readElements("FP32", [1, 2], new Uint8Array(size), "input x")).toThrow(
        `Expected 8 bytes, as [1,2] FP32 has, for input x but received ${size}`,
      );
  });
});

describe("BYTES", () => {
  it("come back as they were written", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 }), (elements) => {
        const bytes = bytesOfElements(elements);
        const read = readElements("BYTES", [elements.length], bytes, "x") as Uint8Array[];
        expect(read.map((element) => [...element])).toEqual(elements.map((e) => [...e]));
      }),
    );
  });

  it("are refused if bytes are missing or left over", () => {
    const bytes = bytesOfElements([Buffer.from("ab"), Buffer.from("c")]);
    const read = (count: number, size: number) => () =>
      readElements(
        "BYTES",
        [count],
        Buffer.concat([bytes, Buffer.alloc(9)]).subarray(0, size),
        "x",
      );
    expect(read(2, 11)).not.toThrow();
    expect(read(2, 10)).toThrow(
      "at least 11 bytes, up to the end of element 1, for x but received 10",
    );
    expect(read(2, 7)).toThrow("at least 8 bytes, for the lengths of 2 elements, for x");
    expect(read(2, 9)).toThrow("at least 10 bytes");
    expect(read(2, 12)).toThrow("Expected 11 bytes, as the lengths of 2 elements say, for x");
    expect(read(1, 11)).toThrow("Expected 6 bytes");
    expect(read(2 ** 40, 11)).toThrow("at least 4398046511104 bytes");
  });

  it("may be one image without its length, as perf_analyzer sends it", () => {
    expect(readElements("BYTES", [1, 1], jpeg, "x")).toEqual([jpeg]);
    const [element] = readElements("BYTES", [1], bytesOfElements([jpeg]), "x") as Uint8Array[];
    expect(Buffer.from(element!)).toEqual(jpeg);
    expect(() => readElements("BYTES", [2], jpeg, "x")).toThrow("Expected at least");
    expect(() => readElements("BYTES", [1], Buffer.from("some text, no image"), "x")).toThrow();
  });

  it("fail with an error of the table, whatever the bytes", () => {
    const names = fc.constantFrom<Datatype>(...datatypes);
    fc.assert(
      fc.property(names, fc.array(fc.nat(5)), fc.uint8Array(), (datatype, shape, bytes) => {
        try {
          readElements(datatype, shape, bytes, "x");
        } catch (error) {
          expect(error).toMatchObject({ name: "ServeError", status: 400 });
        }
      }),
    );
  });
});

describe("shapes", () => {
  it("are 1 to 8 integers whose product can be counted", () => {
    expect(checkShape([1, 0, 3], "x")).toEqual([1, 0, 3]);
    for (const shape of [
      undefined,
      "1",
      [],
      Array(9).fill(1),
      [-1],
      [1.5],
      ["2"],
      [2 ** 4, 2 ** 60],
    ])
      expect(() => checkShape(shape, "x"), String(shape)).toThrow(/^Expected .* x /);
    expect(() => checkShape([2 ** 40, 2 ** 40], "the shape of x")).toThrow(
      "Expected fewer elements",
    );
  });
});
