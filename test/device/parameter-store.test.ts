// Parameters by name: how a store is made, and how whole tensors and pieces of bytes set them.
import { describe, expect, it } from "vitest";
import { ParameterStore, Tensor } from "../../lib/index.ts";
import { testDevice } from "../support/devices.ts";

const bytesOf = (...numbers: number[]) => new Uint8Array(Float32Array.from(numbers).buffer);

async function withStore(use: (store: ParameterStore) => Promise<void>): Promise<void> {
  const store = new ParameterStore(testDevice, [{ name: "w", shape: [2, 2] }]);
  await store.fill("w", 7);
  try {
    await use(store);
  } finally {
    await store.dispose();
  }
}

describe("a store of parameters", () => {
  it.each([
    ["nothing", null, TypeError, "an array of parameters for records"],
    ["a number", 5, TypeError, "an array of parameters for records"],
    ["null as a record", [null], TypeError, "an object for records[0]"],
    ["a record without a name", [{ shape: [1] }], TypeError, "a name for records[0].name"],
    ["a record without a shape", [{ name: "w" }], TypeError, "the shape of w"],
    [
      "a name twice",
      [
        { name: "w", shape: [1] },
        { name: "w", shape: [2] },
      ],
      RangeError,
      "a name not yet in use for records[1].name",
    ],
  ])("refuses %s", (_, records, type, message) => {
    const make = () => new ParameterStore(testDevice, records as never);
    expect(make).toThrow(type);
    expect(make).toThrow(message);
  });

  it("accepts only tensors whose length and shape agree, and tensors are frozen", async () => {
    const tensor = Tensor.zeros([2, 2]);
    expect(Object.isFrozen(tensor)).toBe(true);
    expect(() => Object.assign(tensor, { dtype: "float64" })).toThrow(TypeError);
    await withStore(async (store) => {
      const data = new Float32Array(2);
      Object.defineProperty(data, "length", { value: 4 });
      const forged = { ...tensor, data };
      Object.setPrototypeOf(forged, Tensor.prototype);
      await expect(store.set("w", forged as Tensor)).rejects.toThrow("Expected 4 elements for w");
      expect([...(await store.get("w")).data]).toEqual([7, 7, 7, 7]);
    });
  });
});

describe("bytes in pieces", () => {
  it.each([
    ["one piece", [bytesOf(1, 2, 3, 4)]],
    ["two", [bytesOf(1, 2), bytesOf(3, 4)]],
    ["empty pieces among others", [bytesOf(), bytesOf(1, 2, 3), bytesOf(), bytesOf(4)]],
    [
      "a view at an odd offset",
      [Buffer.concat([Buffer.alloc(3), bytesOf(1, 2, 3, 4)]).subarray(3)],
    ],
  ])("make a parameter: %s", async (_, pieces) => {
    await withStore(async (store) => {
      await store.setPieces("w", "float32", pieces);
      expect([...(await store.get("w")).data]).toEqual([1, 2, 3, 4]);
    });
  });

  it.each<[string, unknown, unknown, new () => Error, string]>([
    ["too few", [bytesOf(1, 2)], "float32", RangeError, "4 elements in all for pieces"],
    ["no pieces", [], "float32", RangeError, "4 elements in all"],
    ["too many", [bytesOf(1, 2, 3, 4, 5)], "float32", RangeError, "4 elements in all"],
    ["part of an element", [new Uint8Array(7)], "float32", RangeError, "a multiple of 4 bytes"],
    ["strings", ["abcd"], "float32", TypeError, "a Uint8Array for a piece"],
    ["another array", [new Float32Array(4)], "float32", TypeError, "a Uint8Array for a piece"],
    ["a buffer", [new ArrayBuffer(16)], "float32", TypeError, "a Uint8Array for a piece"],
    ["nothing", undefined, "float32", TypeError, "an iterable of Uint8Arrays"],
    ["an object that is not iterable", {}, "float32", TypeError, "an iterable of Uint8Arrays"],
    ["another dtype", [bytesOf(1, 2, 3, 4)], "int32", RangeError, "float32, float64"],
    ["no dtype", [bytesOf(1, 2, 3, 4)], undefined, TypeError, "float32, float64"],
  ])("are refused: %s", async (_, pieces, dtype, type, message) => {
    await withStore(async (store) => {
      const setting = store.setPieces("w", dtype as "float32", pieces as never);
      await expect(setting).rejects.toBeInstanceOf(type);
      await expect(setting).rejects.toThrow(message);
      await store.fill("w", 1);
      expect([...(await store.get("w")).data]).toEqual([1, 1, 1, 1]);
    });
  });

  it("that never arrive are ended by their signal, and let the calls behind them go on", async () => {
    await withStore(async (store) => {
      let isReturned = false;
      const hanging = {
        [Symbol.asyncIterator]: () => ({
          next: () => new Promise<never>(() => {}),
          return: async () => {
            isReturned = true;
            return { done: true as const, value: undefined };
          },
        }),
      };
      const controller = new AbortController();
      const setting = store.setPieces("w", "float32", hanging, { signal: controller.signal });
      const behind = store.get("w");
      controller.abort("stop");
      await expect(setting).rejects.toBe("stop");
      expect([...(await behind).data]).toEqual([7, 7, 7, 7]);
      expect(isReturned).toBe(true);
    });
  });

  it("stay written if their source then fails, and the call rejects with its error", async () => {
    await withStore(async (store) => {
      async function* failing() {
        yield bytesOf(1, 2);
        throw new Error("the disk is gone");
      }
      await expect(store.setPieces("w", "float32", failing())).rejects.toThrow("the disk is gone");
      expect([...(await store.get("w")).data]).toEqual([1, 2, 7, 7]);
    });
  });
});
