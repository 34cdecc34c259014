// Graph and ParameterStore: what they accept and what they refuse.
import { describe, expect, it, vi } from "vitest";
import { Graph, GraphBuilder, openDevice, ParameterStore, Tensor } from "../../lib/index.ts";
import { openTestDevice } from "../support/devices.ts";

describe("Graph", () => {
  const record = () => {
    const builder = new GraphBuilder();
    const y = builder.gemm(builder.input("x", [2]), builder.parameter("weight", [2, 2]));
    return builder.finish({ y });
  };

  it("accepts only records that a builder has checked, unchanged", async () => {
    const device = await openTestDevice();
    const checked = record();
    expect(() => (checked.rows as unknown[]).push({})).toThrow(TypeError);
    expect(() => Object.assign(checked.rows[0]!, { weight: 99 })).toThrow(TypeError);
    for (const unchecked of [structuredClone(checked), null, {}]) {
      expect(() => Graph.compile(device, unchecked as never)).toThrow(
        "Expected a record of GraphBuilder.finish for record",
      );
    }
    expect(() => Graph.compile({} as never, checked)).toThrow("Expected a Device for device");
    const other = new ParameterStore(device, [{ name: "weight", shape: [3, 2] }]);
    expect(() => Graph.compile(device, checked, other)).toThrow(
      "Expected shape (3, 2) for weight but received (2, 2)",
    );
    const empty = new ParameterStore(device, []);
    expect(() => Graph.compile(device, checked, empty)).toThrow("Expected the name of a parameter");
    const elsewhere = new ParameterStore(
      await openDevice("cpu", { threads: 5 }),
      checked.parameters,
    );
    expect(() => Graph.compile(device, checked, elsewhere)).toThrow(
      `Expected parameters on ${device}`,
    );
    expect(() => new ParameterStore(device, [{ name: "w", shape: [-1] }])).toThrow(RangeError);
    expect(() => new ParameterStore(device, [{ name: "w", shape: [2 ** 30, 2 ** 30] }])).toThrow(
      RangeError,
    );
    await Promise.all([other, empty, elsewhere].map((store) => store.dispose()));
  });

  it("says that JavaScript has no memory for the outputs, and the next run works", async () => {
    const device = await openTestDevice();
    const graph = Graph.compile(device, record());
    await graph.parameters.fill("weight", 1);
    const x = new Tensor([1, 2], Float32Array.of(1, 2));
    const cause = new RangeError("Array buffer allocation failed");
    const real = Object.fromEntries;
    // The test runner calls it too, at any time.
    const fromEntries = vi.spyOn(Object, "fromEntries").mockImplementation((entries) => {
      const all = [...(entries as Iterable<[string, unknown]>)];
      if (all[0]?.[0] === "y") throw cause;
      return real(all);
    });
    try {
      await expect(graph.run({ x })).rejects.toMatchObject({ code: "OUT_OF_MEMORY", cause });
      expect(device.memoryStats().queuedBytes).toBe(0); // the run has ended
    } finally {
      fromEntries.mockRestore();
    }
    const { y } = await graph.run({ x });
    expect([...(y as Tensor).data]).toEqual([3, 3]);
    await graph.dispose();
  });

  it("keeps the signal's own reason, even one that looks like an error of the addon", async () => {
    const graph = Graph.compile(await openTestDevice(), record());
    await graph.parameters.fill("weight", 1);
    const reason = Object.assign(new Error("enough"), { code: "ABORTED" });
    const x = Tensor.zeros([1, 2]);
    const before = graph.run({ x }, { signal: AbortSignal.abort(reason) });
    await expect(before).rejects.toBe(reason);
    let end = () => {};
    const held = new Promise<void>((resolve) => {
      end = resolve;
    });
    async function* late() {
      await held;
      yield new Uint8Array(16);
    }
    const controller = new AbortController();
    const loading = graph.parameters.setPieces("weight", "float32", late());
    const waiting = graph.run({ x }, { signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    end();
    await loading;
    await graph.dispose();
  });

  it("says which parameter has no value yet", async () => {
    const device = await openTestDevice();
    const graph = Graph.compile(device, record());
    const x = Tensor.zeros([1, 2]);
    await expect(graph.run({ x })).rejects.toMatchObject({
      code: "MISSING_PARAMETER",
      message: expect.stringContaining("weight"),
    });
    await expect(graph.parameters.get("weight")).rejects.toMatchObject({
      code: "MISSING_PARAMETER",
    });
    await expect(graph.parameters.fill("weight", "1" as never)).rejects.toThrow(TypeError);
    await expect(graph.parameters.fillNormal("weight", Number.NaN)).rejects.toThrow(RangeError);
    await expect(graph.parameters.fillNormal("weight", 1, -1)).rejects.toThrow(RangeError);
    await graph.parameters.fill("weight", 1);
    await expect(graph.run({})).rejects.toThrow(
      "Expected a Tensor or DeviceTensor for x but received undefined",
    );
    await expect(graph.run({ x, z: x })).rejects.toThrow('received "z"');
    expect((await graph.run({ x })).y!.shape).toEqual([1, 2]);
    await graph.dispose();
    await graph.dispose();
    await expect(graph.run({ x })).rejects.toMatchObject({ code: "DISPOSED" });
    await expect(graph.prepare(1)).rejects.toMatchObject({ code: "DISPOSED" });
    await expect(graph.parameters.get("weight")).rejects.toMatchObject({ code: "DISPOSED" });
  });
});
