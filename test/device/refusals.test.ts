// Bad calls of class Vgg each give a clear error, leak nothing, and leave the next call working.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { precisions } from "../../lib/dtype.ts";
import { Tensor, Vgg } from "../../lib/index.ts";
import { testDevice, testKind } from "../support/devices.ts";

describe("Vgg", () => {
  let model: Vgg;
  const shape = [1, 3, 32, 32];
  beforeAll(async () => {
    model = await Vgg.create("vgg11_bn", {
      device: testDevice,
      imageSize: 32,
      numClasses: 10,
      hiddenFeatures: 64,
      seed: 5,
    });
  });
  afterAll(() => model.dispose());

  describe("refuses, and the next call works:", () => {
    const refusals: [string, () => Promise<unknown>, new (...args: never[]) => Error, string][] = [
      [
        "a wrong rank",
        () => model.forward(Tensor.zeros([3, 32, 32])),
        RangeError,
        "Expected shape (N, 3, H, W), H and W from 32, for input but received (3, 32, 32)",
      ],
      [
        "a wrong channel count",
        () => model.forward(Tensor.zeros([1, 4, 32, 32])),
        RangeError,
        "Expected shape (N, 3, H, W), H and W from 32, for input but received (1, 4, 32, 32)",
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
        "Expected shape (N, 3, H, W), H and W from 32, for input but received ()",
      ],
      [
        "float64 data",
        () => model.forward(Tensor.zeros(shape, "float64") as never),
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
        'Expected only the options signal, into, outputs, batched, priority, timeoutMs, client, onTiming for options but received "output"',
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
        "a signal that is an empty object",
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
        "a parameter name that is a number",
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
        () => model.setParameter("classifier.6.bias", Tensor.zeros([10], "int32")),
        TypeError,
        "Expected dtype float32, float64, float16, bfloat16 for classifier.6.bias but received int32",
      ],
      [
        "a parameter that is not a Tensor",
        () => model.setParameter("classifier.6.bias", [1] as never),
        TypeError,
        "Expected a Tensor for classifier.6.bias but received [1]",
      ],
      [
        "null as a state dict",
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
        "a strict that is not a boolean",
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
        "an architecture that is not a string",
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
        "options that are a string",
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
        "hiddenFeatures 0",
        () => Vgg.create("vgg11", { hiddenFeatures: 0 }),
        RangeError,
        "Expected an integer from 1 to 65536 for hiddenFeatures but received 0",
      ],
      [
        "hiddenFeatures 1.5",
        () => Vgg.create("vgg11", { hiddenFeatures: 1.5 }),
        RangeError,
        "Expected an integer from 1 to 65536 for hiddenFeatures but received 1.5",
      ],
      [
        "hiddenFeatures 65,537",
        () => Vgg.create("vgg11", { hiddenFeatures: 65_537 }),
        RangeError,
        "Expected an integer from 1 to 65536 for hiddenFeatures but received 65537",
      ],
      [
        "hiddenFeatures as a string",
        () => Vgg.create("vgg11", { hiddenFeatures: "64" as never }),
        TypeError,
        'hiddenFeatures but received "64"',
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
      const lacking = precisions.filter((name) => !model.device.info.precisions.includes(name));
      if (testKind === "cpu") expect(lacking).toEqual(["tf32", "bfloat16"]);
      for (const precision of lacking) {
        const error = await Vgg.create("vgg11", { device: testDevice, precision }).catch((e) => e);
        expect(error).toMatchObject({ name: "VggError", code: "UNSUPPORTED" });
        expect(error.message).toContain(", which has float32");
      }
    });

    it("a precision that does not exist, naming those that do", async () => {
      const precision = "float8" as never;
      const error = await Vgg.create("vgg11", { device: testDevice, precision }).catch((e) => e);
      expect(error).toBeInstanceOf(RangeError);
      expect(error.message).toBe(
        'Expected one of float32, tf32, float16, bfloat16 for precision but received "float8"',
      );
    });

    it("images that are larger than a device can hold or count", async () => {
      const { parameterBytes } = model.device.memoryStats();
      const large = await Vgg.create("vgg11", {
        device: testDevice,
        imageSize: 8192,
        inChannels: 4096,
      }).catch((e) => e);
      const [code, message] =
        testKind === "cpu"
          ? [
              "OUT_OF_MEMORY",
              /^Expected \d+ bytes of host memory but \d+ are available( within .+)?$/,
            ]
          : ["UNSUPPORTED", /^Expected at most 2147483647 elements in each value of one image /];
      expect(large).toMatchObject({ name: "VggError", code });
      expect(large.message).toMatch(message);
      expect(model.device.memoryStats().parameterBytes).toBe(parameterBytes);
      expect((await model.forward(Tensor.zeros(shape))).shape).toEqual([1, 10]);
    });

    it("a batch that no machine can hold, as OUT_OF_MEMORY", async () => {
      const { parameterBytes } = model.device.memoryStats();
      expect(model.device.memoryStats().parameterBytes).toBe(parameterBytes);
      await expect(model.warmup([2_000_000_000])).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
      expect((await model.forward(Tensor.zeros(shape))).shape).toEqual([1, 10]);
    });

    it("with the caller in the stack trace", async () => {
      const pending = model.warmup([2_000_000_000]);
      const error = await (async function theCaller() {
        await pending;
      })().catch((e: Error) => e);
      expect((error as Error).stack).toContain("theCaller");
    });
  });
});
