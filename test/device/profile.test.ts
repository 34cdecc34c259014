// Graph.profile and Vgg.profile: every row and module appears once, outputs equal those that run gives, and bad options are refused.
import { describe, expect, it } from "vitest";
import { Graph, GraphBuilder, ParameterStore, Tensor, Vgg } from "../../lib/index.ts";
import { devices, testDevice, testKind } from "../support/devices.ts";

/** A record with every row that a back end may merge with its neighbours into one step. */
function record() {
  const b = new GraphBuilder();
  const p = (name: string, ...dimensions: number[]) => b.parameter(name, dimensions);
  const image = b.input("image", [16, 16, 3], "uint8");
  let y = b.normalize(image, { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] });
  y = b.conv2d(y, p("w1", 16, 3, 3, 3), { padding: 1 });
  const norm = { weight: p("s", 16), bias: p("t", 16), mean: p("m", 16), variance: p("v", 16) };
  y = b.maxPool2d(b.batchNorm(y, { ...norm, relu: true }));
  y = b.conv2d(y, p("w2", 24, 16, 3, 3), { bias: p("b2", 24), padding: 1, relu: true });
  y = b.adaptiveAvgPool2d(b.maxPool2d(y), [2, 2]);
  y = b.gemm(b.flatten(y), p("w3", 10, 96), { bias: p("b3", 10) });
  const best = b.topK(b.softmax(y), 3);
  return b.finish({ logits: y, probabilities: best.values, indices: best.indices });
}

for (const { name, precision, open } of devices) {
  describe(`Graph.profile on ${name}`, () => {
    it("times each row in one step and gives the same outputs as run", async () => {
      const device = await open();
      const graphRecord = record();
      const store = new ParameterStore(device, graphRecord.parameters, precision);
      for (const [i, parameter] of graphRecord.parameters.entries())
        await store.fillNormal(parameter.name, 0.2, 7, i);
      await store.fill("v", 1);
      const graph = Graph.compile(device, graphRecord, store);
      const bytes = Uint8Array.from({ length: 3 * 768 }, (_, i) => (i * 31) % 256);
      const inputs = { image: new Tensor([3, 16, 16, 3], bytes) };
      const expected = await graph.run(inputs);
      const { outputs, steps } = await graph.profile(inputs, { warmup: 1, iterations: 3 });
      for (const [key, tensor] of Object.entries(expected)) {
        const profiled = outputs[key as keyof typeof outputs];
        expect(profiled.shape).toEqual(tensor.shape);
        expect(profiled.data).toEqual(tensor.data);
      }
      expect(steps.flatMap(({ rows }) => rows)).toEqual(graphRecord.rows.map((_, i) => i));
      expect(steps.flatMap(({ kind }) => kind.split("+")).sort()).toEqual(
        [
          ...graphRecord.rows.map(({ kind }) => kind),
          ...steps.flatMap(({ kind }) => (kind === "input" || kind === "output" ? [kind] : [])),
        ].sort(),
      );
      for (const { medianMs, bytes: moved, outputShape } of steps) {
        expect(medianMs).toBeGreaterThanOrEqual(0);
        expect(moved).toBeGreaterThan(0);
        expect(outputShape[0]).toBe(3);
      }
      const products = 3 * (16 * 16 * 16 * 27 + 24 * 8 * 8 * 144 + 10 * 96);
      expect(steps.reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0)).toBe(products);
      await graph.dispose();
      await store.dispose();
    });
  });
}

describe("Vgg.profile", () => {
  const options = { device: testDevice, imageSize: 32, numClasses: 10, hiddenFeatures: 64 };

  it("names every module once, and a folded batch normalisation with its convolution", async () => {
    await using model = await Vgg.create("vgg11_bn", options);
    const layers = await model.profile(2, { iterations: 1 });
    const { layers: modules, totalMultiplyAdds } = model.summary();
    const names = layers.flatMap(({ name }) => name.split("+"));
    expect(names.filter((name) => name !== "input" && name !== "output")).toEqual(
      modules.map(({ name }) => name),
    );
    const first = layers.find(({ name }) => name.startsWith("features.0"))!;
    expect(first.name).toContain("features.0+features.1+features.2");
    expect(first.kind).toMatch(/^conv2d\+batchNorm/);
    expect(layers.reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0)).toBe(
      2 * totalMultiplyAdds,
    );
    expect(layers.at(-1)).toMatchObject({ name: "output", outputShape: [2, 10] });
  });

  it("counts the products that the device computes, and the parameters as it stores them", async () => {
    const width = 1024;
    await using model = await Vgg.create("vgg11", { ...options, hiddenFeatures: width });
    const layers = await model.profile(2, { iterations: 1 });
    const pixels = 16 * 16;
    const filters = 64 * 128;
    const second = layers.find(({ name }) => name.startsWith("features.3"))!;
    expect(second.multiplyAdds).toBe(2 * pixels * 9 * filters);
    const [perPixel, perFilter] = testKind === "cpu" ? [36 / 16, 36] : [9, 9];
    expect(second.products).toBe(2 * pixels * perPixel * filters);
    const activations = 2 * (pixels * 64 + (pixels / 4) * 128);
    expect(second.bytes).toBe(4 * (activations + perFilter * filters + 128));
    const linear = layers.find(({ name }) => name.startsWith("classifier.3"))!;
    // A CPU reads the weights of inputs that are not zero in both images.
    const read = linear.products / linear.multiplyAdds;
    expect(read).toBeGreaterThan(0.3);
    if (testKind === "cpu") expect(read).toBeLessThan(0.9);
    else expect(read).toBe(1);
    expect(linear.bytes).toBe(4 * (2 * 2 * width + read * width ** 2 + width));
    const [many] = (await model.profile(7, { iterations: 1 })).filter(({ name }) =>
      name.startsWith("classifier.3"),
    );
    expect(many!.products).toBe(many!.multiplyAdds);
  });

  it("refuses what forward refuses, and invalid iteration counts", async () => {
    const model = await Vgg.create("vgg11", options);
    for (const wrong of [{ iterations: 0 }, { warmup: -1 }, { iterations: 1.5 }])
      await expect(model.profile(1, wrong)).rejects.toThrow(RangeError);
    await expect(model.profile(0)).rejects.toThrow("for input but received 0");
    await expect(model.profile("1" as never)).rejects.toThrow(TypeError);
    await expect(model.profile(1, { runs: 3 } as never)).rejects.toThrow('received "runs"');
    await expect(model.profile(Tensor.zeros([1, 3, 8, 8]))).rejects.toThrow(
      "Expected shape (N, 3, H, W), H and W from 32, for input",
    );
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(model.profile(1, { signal })).rejects.toBe(reason);
    const late = new AbortController();
    const profiling = model.profile(1, { iterations: 1_000_000, signal: late.signal });
    setTimeout(() => late.abort(reason), 20);
    await expect(profiling).rejects.toBe(reason);
    await model.dispose();
    await expect(model.profile(1)).rejects.toMatchObject({ code: "DISPOSED" });
  });
});
