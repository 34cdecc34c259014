// Options and named tensors: each is read once, from the caller's object or what it inherits, and never from Object.prototype.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readNamed, readOptions } from "../../lib/check.ts";
import * as exported from "../../lib/index.ts";
import { Graph, GraphBuilder, openDevice, ParameterValue, Tensor, Value } from "../../lib/index.ts";

/** A class whose constructor is private, as a program in JavaScript sees it. */
type Made<T> = new (...args: readonly unknown[]) => T;

const known = ["top", "signal"];
const read = (value: object) =>
  readOptions<{ top?: number; signal?: unknown }>(value, "options", known);

describe("options", () => {
  it("are each read once, into a separate frozen object", () => {
    let reads = 0;
    const options = read({
      get top() {
        return ++reads;
      },
    });
    expect([options.top, options.top, reads]).toEqual([1, 1, 1]);
    expect(Object.isFrozen(options)).toBe(true);
    expect(Object.getPrototypeOf(options)).toBe(null);
    expect(Object.keys(options)).toEqual(known);
  });

  it("may be inherited from a class or an object of defaults", () => {
    class Defaults {
      get top() {
        return 3;
      }
    }
    class Fields extends Defaults {
      signal = "mine";
    }
    expect(read(new Fields())).toMatchObject({ top: 3, signal: "mine" });
    expect(read(Object.create({ top: 4 })).top).toBe(4);
    expect(read(Object.create(Object.create(null, { top: { value: 5 } }))).top).toBe(5);
    expect(read(Object.assign(Object.create(null), { top: 6 })).top).toBe(6);
  });

  it.each([
    ["null", null],
    ["a number", 5],
    ["an array", [1]],
    ["a Map", new Map()],
    ["a Date", new Date()],
    ["a signal", AbortSignal.abort()],
    ["a Tensor", Tensor.zeros([1])],
  ])("are not %s", (_, value) => {
    expect(() => read(value as never)).toThrow("Expected an object for options but received");
  });

  it("have known names only", () => {
    expect(() => read({ Top: 1 })).toThrow(
      'Expected only the options top, signal for options but received "Top"',
    );
  });

  it("are checked and used as the same value", async () => {
    const device = await openDevice("cpu");
    const builder = new GraphBuilder();
    const vector = (name: string) => builder.parameter(name, [4]);
    let reads = 0;
    const y = builder.batchNorm(builder.input("x", [4, 8, 8]), {
      get weight() {
        return reads++ === 0 ? vector("w") : ({ id: 1_000_000 } as never);
      },
      ...{ bias: vector("b"), mean: vector("m"), variance: vector("v") },
    });
    const graph = Graph.compile(device, builder.finish({ y }));
    for (const { name } of graph.parameters.records) await graph.parameters.fill(name, 1);
    await graph.run({ x: Tensor.zeros([1, 4, 8, 8]) });
    expect(reads).toBe(1);
    await graph.dispose();
  });

  it("and tensors are not taken from Object.prototype", () => {
    const names = ["bias", "signal", "into", "top", "threads", "cacheFolder", "deterministic"];
    const words = ["code", "done", "then", "error", "cause", "once", "stride", "padding", "relu"];
    const others = ["get", "set", "value", "writable", "enumerable", "x", "y", "w", "metadata"];
    const pollution = [...names, ...words, ...others].map((name) => [name, 1_000_000]);
    const script = fileURLToPath(new URL("../children/hostile.mjs", import.meta.url));
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [script, JSON.stringify(pollution)],
      { encoding: "utf8" },
    );
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual([]);
  });
});

describe("named tensors", () => {
  it("are each read once, and only from the object itself", () => {
    let reads = 0;
    const named = {
      get x() {
        return ++reads;
      },
    };
    expect(readNamed(named, "inputs", ["x", "y"])).toEqual([1, undefined]);
    expect(reads).toBe(1);
    expect(() => readNamed(Object.create(named), "inputs", ["x"])).toThrow("Expected an object");
  });
});

describe("what a builder returns", () => {
  it("cannot be changed", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", [4]);
    const w = builder.parameter("w", [4, 4]);
    for (const value of [x, w]) {
      expect(Object.isFrozen(value) && Object.isFrozen(value.shape)).toBe(true);
    }
    const y = builder.gemm(x, w);
    expect(Object.isFrozen(y) && Object.isFrozen(y.shape)).toBe(true);
  });

  it("cannot be forged", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", [4]);
    const value = new (Value as unknown as Made<Value>)(builder, 999, [4], "float32");
    const heir = Object.create(x, { id: { value: 999 } }) as Value;
    for (const forged of [value, heir]) {
      expect(() => builder.relu(forged)).toThrow("Expected a recorded value for input of relu");
      expect(() => builder.finish({ y: forged })).toThrow("Expected a recorded value for output y");
    }
    const parameter = new (ParameterValue as unknown as Made<ParameterValue>)(
      builder,
      999,
      "w",
      [4, 4],
    );
    expect(() => builder.gemm(x, parameter)).toThrow(
      "Expected a recorded parameter for weight of gemm",
    );
  });
});

describe("what the package exports", () => {
  const constants = Object.entries(exported).filter(([, value]) => typeof value !== "function");
  const loose = (value: unknown, path: string): string[] => {
    if (typeof value !== "object" || value === null) return [];
    const inner = Object.entries(value).flatMap(([key, item]) => loose(item, `${path}.${key}`));
    return [...(Object.isFrozen(value) ? [] : [path]), ...inner];
  };

  it("cannot be changed", () => {
    expect(constants.map(([name]) => name).sort()).toEqual([
      "architectures",
      "errorCodes",
      "imagenetLabels",
      "version",
    ]);
    expect(constants.flatMap(([name, value]) => loose(value, name))).toEqual([]);
    expect(exported.listWeights().flatMap((entry) => loose(entry, entry.file))).toEqual([]);
  });
});
