// The model: its table, its parameters, their initialisation, and the bad calls of its API.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Architecture,
  architectures,
  Graph,
  GraphBuilder,
  openDevice,
  ParameterStore,
  Tensor,
  Vgg,
  VggError,
} from "../lib/index.ts";
import { parameterTable } from "../lib/vgg/parameters.ts";
import { recordForward } from "../lib/vgg/record.ts";
import { Summary } from "../lib/vgg/summary.ts";
import { topology } from "../lib/vgg/topology.ts";
import { relativeError } from "./compare.ts";
import { normalNumber } from "./philox.ts";

const countOf = (arch: Architecture) => new Summary(topology(arch)).totalParameters;

describe("the family", () => {
  // https://docs.pytorch.org/vision/stable/models/vgg.html: num_params, GFLOPS (which are multiply-adds)
  it.each([
    ["vgg11", 132_863_336, 7.61],
    ["vgg11_bn", 132_868_840, 7.61],
    ["vgg13", 133_047_848, 11.31],
    ["vgg13_bn", 133_053_736, 11.31],
    ["vgg16", 138_357_544, 15.47],
    ["vgg16_bn", 138_365_992, 15.47],
    ["vgg19", 143_667_240, 19.63],
    ["vgg19_bn", 143_678_248, 19.63],
  ] as const)("%s has %i parameters and %d G multiply-adds", (arch, count, giga) => {
    expect(countOf(arch)).toBe(count);
    expect(new Summary(topology(arch)).totalMultiplyAdds / 1e9).toBeCloseTo(giga, 2);
  });

  it("has torchvision's eight names", () => {
    expect(architectures).toHaveLength(8);
  });

  it("names parameters as torchvision's state_dict does", () => {
    const convolutions = [0, 3, 6, 8, 11, 13, 16, 18].map((i) => `features.${i}`);
    const layers = [...convolutions, "classifier.0", "classifier.3", "classifier.6"];
    const table = parameterTable(topology("vgg11"));
    expect(table.map(({ name }) => name)).toEqual(
      layers.flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]),
    );
    expect(table.find(({ name }) => name === "classifier.0.weight")!.shape).toEqual([4096, 25088]);
    expect(table.find(({ name }) => name === "features.3.weight")!.shape).toEqual([128, 64, 3, 3]);

    const withNorm = parameterTable(topology("vgg11_bn")).map(({ name }) => name);
    expect(withNorm.slice(0, 8)).toEqual([
      "features.0.weight",
      "features.0.bias",
      "features.1.weight",
      "features.1.bias",
      "features.1.running_mean",
      "features.1.running_var",
      "features.1.num_batches_tracked",
      "features.4.weight",
    ]);
    const index = (arch: Architecture, kind: string) =>
      topology(arch).modules.flatMap((m) =>
        m.kind === kind && m.name.startsWith("features") ? [Number(m.name.slice(9))] : [],
      );
    expect(index("vgg11_bn", "conv2d")).toEqual([0, 4, 8, 11, 15, 18, 22, 25]);
    expect(index("vgg11_bn", "batchNorm")).toEqual([1, 5, 9, 12, 16, 19, 23, 26]);
    expect(index("vgg13", "conv2d")).toEqual([0, 2, 5, 7, 10, 12, 15, 17, 20, 22]);
    expect(index("vgg16", "conv2d")).toEqual([0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
    expect(index("vgg19", "conv2d")).toEqual([
      0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34,
    ]);
  });

  it("fuses each ReLU unless the layer before it is wanted, and stops after the last layer wanted", () => {
    const kinds = (outputs: string[]) =>
      recordForward(topology("vgg11"), outputs).rows.map(({ kind }) => kind);
    expect(kinds(["classifier.6"])).toEqual([
      ..."conv2d maxPool2d conv2d maxPool2d conv2d conv2d maxPool2d conv2d conv2d maxPool2d conv2d conv2d maxPool2d".split(
        " ",
      ),
      ..."adaptiveAvgPool2d flatten gemm gemm gemm".split(" "),
    ]);
    expect(kinds(["features.0", "features.1"])).toEqual(["conv2d", "relu"]);
    expect(kinds(["features.1"])).toEqual(["conv2d"]);
    expect(recordForward(topology("vgg11"), ["features.1"]).rows[0]).toMatchObject({ relu: true });
  });

  it("prints a summary as a table and gives it as data", () => {
    const summary = new Summary(topology("vgg11"));
    const text = String(summary);
    expect(text).toContain(
      "features.0 (conv2d)          (1, 64, 224, 224)         1,792     86,704,128",
    );
    expect(text).toContain("classifier.2 (dropout)");
    expect(text).toContain("Total parameters: 132,863,336");
    expect(text).toContain("Total multiply-adds: 7,609,090,048 (7.61 G)");
    expect(summary.layers).toHaveLength(29);
  });
});

describe("Vgg", () => {
  let model: Vgg;
  const shape = [1, 3, 32, 32];
  beforeAll(async () => {
    model = await Vgg.create("vgg11_bn", { device: "cpu", imageSize: 32, numClasses: 10, seed: 5 });
  });
  afterAll(() => model.dispose());

  it("says what it is", () => {
    expect(model.arch).toBe("vgg11_bn");
    expect(model.device.id).toBe("cpu");
    expect(model.precision).toBe("float32");
    expect(model.numClasses).toBe(10);
    expect(model.isDisposed).toBe(false);
    const parameters = [...model.parameters()];
    expect(parameters[0]).toEqual({
      name: "features.0.weight",
      shape: [64, 3, 3, 3],
      dtype: "float32",
      isTrainable: true,
    });
    const trained = parameters.filter(({ isTrainable }) => isTrainable);
    expect(trained.reduce((sum, { shape: s }) => sum + s.reduce((a, b) => a * b, 1), 0)).toBe(
      model.parameterCount,
    );
  });

  it("initialises as torchvision does, the same on every machine", async () => {
    const entries = [...model.parameters()].map(({ name }) => name);
    const deviations: Record<string, number> = {
      "features.0.weight": Math.sqrt(2 / (64 * 9)),
      "features.25.weight": Math.sqrt(2 / (512 * 9)),
      "classifier.3.weight": 0.01,
    };
    for (const [name, deviation] of Object.entries(deviations)) {
      const data = (await model.getParameter(name)).data as Float32Array;
      for (const i of [0, 1, 2, 3, 1001, data.length - 1]) {
        const expected = normalNumber(i, 5, entries.indexOf(name)) * deviation;
        expect(Math.abs(data[i]! - expected)).toBeLessThan(2e-6 * deviation);
      }
      const actual = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length);
      expect(Math.abs(actual / deviation - 1)).toBeLessThan(0.05);
    }
    for (const [suffix, value] of Object.entries({
      weight: 1,
      bias: 0,
      running_mean: 0,
      running_var: 1,
    })) {
      expect(
        new Set((await model.getParameter(`features.1.${suffix}`)).data as Float32Array),
      ).toEqual(new Set([value]));
    }
    expect((await model.getParameter("features.1.num_batches_tracked")).data).toEqual(
      BigInt64Array.of(0n),
    );
    // Pinned: any change of a bit on any machine shows.
    const bytes = (await model.getParameter("classifier.3.weight")).data;
    const hash = createHash("sha256").update(new Uint8Array(bytes.buffer)).digest("hex");
    expect(hash).toBe("397968e06cc5aec005d7019996a2ff1b681f4d9f93237e04773436b06ee284fb");
  });

  it("keeps every bit of a parameter, whatever the device makes of it", async () => {
    for (const { name, shape: s, dtype } of [...model.parameters()].filter(
      ({ name }) => !name.startsWith("classifier.3"),
    )) {
      const before = await model.getParameter(name);
      const tensor = dtype === "int64" ? new Tensor([], BigInt64Array.of(7n)) : Tensor.randn(s, 9);
      await model.setParameter(name, tensor);
      const after = await model.getParameter(name);
      expect(after.shape).toEqual(s);
      expect(
        Buffer.compare(Buffer.from(after.data.buffer), Buffer.from(tensor.data.buffer)),
        name,
      ).toBe(0);
      await model.setParameter(name, before);
    }
  });

  it("lets a new parameter take effect in the next forward, folded batch normalisation included", async () => {
    const input = Tensor.randn(shape, 2);
    const before = await model.forward(input);
    for (const name of [
      "classifier.6.bias",
      "features.1.running_mean",
      "features.0.weight",
      "classifier.0.weight",
    ]) {
      const old = await model.getParameter(name);
      const changed = new Tensor(
        old.shape,
        (old.data as Float32Array).map((x) => x * 1.5 + 1e-3),
      );
      await model.setParameter(name, changed);
      expect((await model.forward(input)).data, name).not.toEqual(before.data);
      await model.setParameter(name, old);
      expect((await model.forward(input)).data, name).toEqual(before.data);
    }
  });

  it("takes what a state dict holds, and gives it back", async () => {
    const state = await model.stateDict();
    expect([...state.keys()]).toEqual([...model.parameters()].map(({ name }) => name));
    const input = Tensor.randn(shape, 4);
    const logits = await model.forward(input);
    const other = await Vgg.create("vgg11_bn", {
      device: "cpu",
      imageSize: 32,
      numClasses: 10,
      seed: 6,
    });
    expect((await other.forward(input)).data).not.toEqual(logits.data);
    expect(await other.loadStateDict(state)).toEqual({ missing: [], unexpected: [] });
    expect((await other.forward(input)).data).toEqual(logits.data);
    expect((await other.stateDict()).get("classifier.0.bias")).toEqual(
      state.get("classifier.0.bias"),
    );
    // Older files lack num_batches_tracked; an object is as good as a Map.
    const old = Object.fromEntries(
      [...state].filter(([name]) => !name.endsWith("num_batches_tracked")),
    );
    expect(await other.loadStateDict(old)).toEqual({ missing: [], unexpected: [] });
    await other.dispose();
  });

  it("names every key that differs in one error, and then changes nothing", async () => {
    const input = Tensor.randn(shape, 4);
    const before = await model.forward(input);
    const tensors = new Map([
      ["features.0.weight", Tensor.zeros([64, 3, 3, 3])],
      ["features.0.bias", Tensor.zeros([63])],
      ["extra.one", Tensor.zeros([1])],
      ["extra.two", Tensor.zeros([1])],
    ]);
    const error = await model.loadStateDict(tensors).catch((e) => e);
    expect(error).toBeInstanceOf(VggError);
    expect(error.code).toBe("STATE_DICT_MISMATCH");
    expect(error.message).toContain("Missing keys: features.1.weight, features.1.bias,");
    expect(error.message).toContain("classifier.6.bias");
    expect(error.message).toContain("Unexpected keys: extra.one, extra.two");
    expect(error.message).toContain("Other shapes: features.0.bias (expected (64), received (63))");
    await expect(model.loadStateDict(tensors, { strict: false })).rejects.toThrow(
      "features.0.bias",
    );
    expect((await model.forward(input)).data).toEqual(before.data);

    const partial = new Map([
      ["classifier.6.bias", Tensor.zeros([10])],
      ["extra", Tensor.zeros([1])],
    ]);
    const difference = await model.loadStateDict(partial, { strict: false });
    expect(difference.unexpected).toEqual(["extra"]);
    expect(difference.missing).toContain("features.0.weight");
  });

  it("gives layers by name, the ReLU after them not applied", async () => {
    const input = Tensor.randn(shape, 1);
    const layers = await model.forward(input, {
      outputs: ["features.0", "features.2", "classifier.5", "classifier.6"],
    });
    expect(Object.keys(layers).sort()).toEqual([
      "classifier.5",
      "classifier.6",
      "features.0",
      "features.2",
    ]);
    expect(layers["features.0"].shape).toEqual([1, 64, 32, 32]);
    expect(Math.min(...(layers["features.0"].data as Float32Array))).toBeLessThan(0);
    expect(Math.min(...(layers["features.2"].data as Float32Array))).toBe(0);
    const logits = (await model.forward(input)).data as Float32Array;
    expect(relativeError(layers["classifier.6"].data as Float32Array, logits)).toBeLessThan(1e-5);
  });

  it("warms up for batch sizes", async () => {
    await model.warmup([1, 3]);
    await model.warmup();
    expect((await model.forward(Tensor.zeros([3, 3, 32, 32]))).shape).toEqual([3, 10]);
    await expect(model.warmup([0])).rejects.toThrow(
      "Expected an integer from 1 to 2147483647 for batchSizes but received 0",
    );
    await expect(model.warmup(3 as never)).rejects.toThrow(TypeError);
  });

  describe("refuses, and goes on", () => {
    const refusals: [string, () => Promise<unknown>, new (...args: never[]) => Error, string][] = [
      [
        "a wrong rank",
        () => model.forward(Tensor.zeros([3, 32, 32])),
        RangeError,
        "Expected shape (N, 3, 32, 32) for input but received (3, 32, 32)",
      ],
      [
        "a wrong channel count",
        () => model.forward(Tensor.zeros([1, 4, 32, 32])),
        RangeError,
        "Expected shape (N, 3, 32, 32) for input but received (1, 4, 32, 32)",
      ],
      [
        "a wrong image size",
        () => model.forward(Tensor.zeros([1, 3, 31, 32])),
        RangeError,
        "(1, 3, 31, 32)",
      ],
      [
        "an empty batch",
        () => model.forward(Tensor.zeros([0, 3, 32, 32])),
        RangeError,
        "Expected a batch of at least 1 image for input but received (0, 3, 32, 32)",
      ],
      [
        "a scalar",
        () => model.forward(Tensor.zeros([])),
        RangeError,
        "Expected shape (N, 3, 32, 32) for input but received ()",
      ],
      [
        "float64 data",
        () => model.forward(Tensor.zeros(shape, "float64")),
        TypeError,
        "Expected dtype float32 for input but received float64",
      ],
      [
        "a bare array",
        () => model.forward(new Float32Array(3072) as never),
        TypeError,
        "Expected a Tensor or DeviceTensor for input but received an instance of Float32Array",
      ],
      [
        "nothing",
        () => model.forward(undefined as never),
        TypeError,
        "Expected a Tensor or DeviceTensor for input but received undefined",
      ],
      [
        "an unknown option",
        () => model.forward(Tensor.zeros(shape), { output: 1 } as never),
        TypeError,
        'Expected only the options signal, into, outputs for options but received "output"',
      ],
      [
        "an unknown layer",
        () => model.forward(Tensor.zeros(shape), { outputs: ["features.99"] }),
        RangeError,
        "features.99",
      ],
      [
        "no layers",
        () => model.forward(Tensor.zeros(shape), { outputs: [] }),
        TypeError,
        "Expected an array of layer names for options.outputs",
      ],
      [
        "a signal that is none",
        () => model.forward(Tensor.zeros(shape), { signal: {} as never }),
        TypeError,
        "Expected an AbortSignal for options.signal",
      ],
      [
        "an unknown parameter",
        () => model.getParameter("features.99.weight"),
        RangeError,
        'Expected the name of a parameter of vgg11_bn for name but received "features.99.weight"',
      ],
      [
        "a parameter's name that is none",
        () => model.setParameter(7 as never, Tensor.zeros([1])),
        TypeError,
        "Expected the name of a parameter for name but received 7",
      ],
      ["__proto__ as a parameter", () => model.getParameter("__proto__"), RangeError, "__proto__"],
      [
        "a parameter of the wrong shape",
        () => model.setParameter("classifier.6.bias", Tensor.zeros([11])),
        RangeError,
        "Expected shape (10) for classifier.6.bias but received (11)",
      ],
      [
        "a parameter of the same size in another shape",
        () => model.setParameter("classifier.6.bias", Tensor.zeros([2, 5])),
        RangeError,
        "(2, 5)",
      ],
      [
        "a parameter of another dtype",
        () => model.setParameter("classifier.6.bias", Tensor.zeros([10], "float64")),
        TypeError,
        "Expected dtype float32 for classifier.6.bias",
      ],
      [
        "a parameter that is no tensor",
        () => model.setParameter("classifier.6.bias", [1] as never),
        TypeError,
        "Expected a Tensor for classifier.6.bias but received [1]",
      ],
      [
        "a state dict that is none",
        () => model.loadStateDict(null as never),
        TypeError,
        "Expected a Map or an object of Tensors for tensors but received null",
      ],
      [
        "a state dict of arrays",
        () => model.loadStateDict({ "classifier.6.bias": [1] as never }),
        TypeError,
        "Expected a Tensor for classifier.6.bias",
      ],
      [
        "strict that is no boolean",
        () => model.loadStateDict(new Map(), { strict: "yes" as never }),
        TypeError,
        "options.strict",
      ],
      [
        "an unknown architecture",
        () => Vgg.create("vgg12" as never),
        RangeError,
        'Expected one of vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn for arch but received "vgg12"',
      ],
      [
        "an architecture that is no string",
        () => Vgg.create(11 as never),
        TypeError,
        "for arch but received 11",
      ],
      [
        "an inherited name as architecture",
        () => Vgg.create("toString" as never),
        RangeError,
        "for arch",
      ],
      [
        "options that are none",
        () => Vgg.create("vgg11", "cpu" as never),
        TypeError,
        'Expected an object for options but received "cpu"',
      ],
      [
        "a misspelt option",
        () => Vgg.create("vgg11", { numclasses: 10 } as never),
        TypeError,
        'received "numclasses"',
      ],
      [
        "numClasses 0",
        () => Vgg.create("vgg11", { numClasses: 0 }),
        RangeError,
        "Expected an integer from 1 to 1000000 for numClasses but received 0",
      ],
      [
        "numClasses 1e9",
        () => Vgg.create("vgg11", { numClasses: 1e9 }),
        RangeError,
        "numClasses but received 1000000000",
      ],
      [
        "numClasses 2.5",
        () => Vgg.create("vgg11", { numClasses: 2.5 }),
        RangeError,
        "numClasses but received 2.5",
      ],
      [
        "numClasses NaN",
        () => Vgg.create("vgg11", { numClasses: Number.NaN }),
        RangeError,
        "numClasses but received NaN",
      ],
      [
        "numClasses as a string",
        () => Vgg.create("vgg11", { numClasses: "10" as never }),
        TypeError,
        'numClasses but received "10"',
      ],
      [
        "inChannels 0",
        () => Vgg.create("vgg11", { inChannels: 0 }),
        RangeError,
        "inChannels but received 0",
      ],
      [
        "imageSize 31",
        () => Vgg.create("vgg11", { imageSize: 31 }),
        RangeError,
        "Expected an integer from 32 to 8192 for imageSize but received 31",
      ],
      [
        "imageSize NaN",
        () => Vgg.create("vgg11", { imageSize: Number.NaN }),
        RangeError,
        "imageSize but received NaN",
      ],
      ["a seed of -1", () => Vgg.create("vgg11", { seed: -1 }), RangeError, "seed but received -1"],
      [
        "an unknown device",
        () => Vgg.create("vgg11", { device: "tpu" as never }),
        RangeError,
        'Expected "auto", "cpu", "cuda" or "cuda:N" for device but received "tpu"',
      ],
      [
        "a device that is a number",
        () => Vgg.create("vgg11", { device: 0 as never }),
        TypeError,
        "for device but received 0",
      ],
      [
        "an unknown precision",
        () => Vgg.create("vgg11", { precision: "int4" as never }),
        RangeError,
        'precision but received "int4"',
      ],
    ];
    it.each(refusals)("%s", async (_, call, type, message) => {
      const { parameterBytes, tensorBytes } = model.device.memoryStats();
      const error = await call().then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(type);
      expect((error as Error).message).toContain(message);
      expect(model.device.memoryStats()).toMatchObject({ parameterBytes, tensorBytes });
      expect((await model.forward(Tensor.zeros(shape))).shape).toEqual([1, 10]);
    });

    it("a precision that the device lacks, naming those it has", async () => {
      const error = await Vgg.create("vgg11", { device: "cpu", precision: "bfloat16" }).catch(
        (e) => e,
      );
      expect(error).toMatchObject({ name: "VggError", code: "UNSUPPORTED" });
      expect(error.message).toContain("Expected one of float32");
    });

    it("what no machine can hold, as OUT_OF_MEMORY", async () => {
      const { parameterBytes } = model.device.memoryStats();
      const large = await Vgg.create("vgg11", {
        device: "cpu",
        imageSize: 8192,
        inChannels: 4096,
      }).catch((e) => e);
      expect(large).toMatchObject({ name: "VggError", code: "OUT_OF_MEMORY" });
      expect(large.message).toMatch(/^Expected \d+ bytes of host memory but \d+ are available$/);
      expect(model.device.memoryStats().parameterBytes).toBe(parameterBytes);
      await expect(model.warmup([2_000_000_000])).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
      expect((await model.forward(Tensor.zeros(shape))).shape).toEqual([1, 10]);
    });

    it("points at the caller's line", async () => {
      const pending = model.warmup([2_000_000_000]);
      const error = await (async function theCaller() {
        await pending;
      })().catch((e: Error) => e);
      expect((error as Error).stack).toContain("theCaller");
    });
  });
});

describe("Graph", () => {
  const record = () => {
    const builder = new GraphBuilder();
    const y = builder.gemm(builder.input("x", [2]), builder.parameter("weight", [2, 2]));
    return builder.finish({ y });
  };

  it("takes only what a builder has checked, unchanged", async () => {
    const device = await openDevice("cpu");
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
    expect(() => Graph.compile(device, checked, elsewhere)).toThrow("Expected parameters on cpu");
    expect(() => new ParameterStore(device, [{ name: "w", shape: [-1] }])).toThrow(RangeError);
    expect(() => new ParameterStore(device, [{ name: "w", shape: [2 ** 30, 2 ** 30] }])).toThrow(
      RangeError,
    );
    await Promise.all([other, empty, elsewhere].map((store) => store.dispose()));
  });

  it("says which parameter has no value yet", async () => {
    const device = await openDevice("cpu");
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
