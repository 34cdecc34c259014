// Models on the fake GPU (test/fake-cuda): what they answer, what fails and how, and what is left behind.
import { describe, expect, it } from "vitest";
import {
  DeviceTensor,
  Graph,
  GraphBuilder,
  openDevice,
  ParameterStore,
  Tensor,
} from "../../lib/index.ts";
import { native } from "../../lib/native/load.ts";
import { isBuilt } from "./fake-gpu.ts";
import { control, counts, network, useFakeGpu } from "./in-process.ts";
import { caught, shape } from "./network.mjs";

useFakeGpu();

describe.skipIf(!isBuilt)("a model on a GPU", () => {
  it("leaves nothing behind", async () => {
    const seen = [];
    for (let i = 0; i < 2; i++) {
      const model = await network(await openDevice("cuda"));
      await Promise.all([1, 2, 3].map((n) => model.forward(Tensor.randn([n, 3, 32, 32]))));
      await model.dispose();
      seen.push({ ...counts(), memory: model.device.memoryStats() });
    }
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]!.memory).toMatchObject({
      queuedBytes: 0,
      parameterBytes: 0,
      activationBytes: 0,
      tensorBytes: 0,
    });
    expect(control("misuseCount")).toBe(0);
  });

  it("is measured for what it reaches at most", async () => {
    const device = await openDevice("cuda");
    const before = counts();
    const found = [];
    for (const precision of ["float32", "float16"] as const)
      found.push(await device.native.roofline(precision));
    expect(found).toHaveLength(2);
    for (const { flopsPerSecond, bytesPerSecond } of found) {
      expect(flopsPerSecond).toBeGreaterThan(0);
      expect(bytesPerSecond).toBeGreaterThan(0);
    }
    expect(counts()).toEqual(before);
    expect(control("misuseCount")).toBe(0);
  });

  it("goes on after an unknown error that does not come again", async () => {
    const model = await network(await openDevice("cuda"));
    const image = Tensor.randn(shape);
    const { data } = await model.forward(image);
    const errors = [];
    const same = [];
    // CUDA_ERROR_UNKNOWN from one call in mid-forward, and no more after it.
    control("failKind", 3);
    for (let call = 1; call <= 12; call++) {
      control("failAt", control("calls") + call);
      errors.push(await caught(model.forward(image)));
      control("failAt", 0);
      same.push((await model.forward(image)).data.every((x, i) => x === data[i]));
    }
    const failed = errors.filter((error) => error !== null);
    expect(failed.length).toBeGreaterThan(3);
    for (const error of failed)
      expect(error).toMatchObject({
        name: "VggError",
        code: "INTERNAL",
        message: expect.stringContaining("CUDA_ERROR_UNKNOWN"),
      });
    expect(same).toEqual(Array(12).fill(true));
    expect((await openDevice("auto")).kind).toBe("cuda");
    expect(control("misuseCount")).toBe(0);
    await model.dispose();
  });

  it("takes a batch above the largest in parts, and refuses values that no part can hold", async () => {
    const model = await network(await openDevice("cuda"));
    const images = Tensor.randn([260, 3, 32, 32], 5);
    await model.forward(images);
    const launches = control("graphLaunches");
    const { data } = await model.forward(images);
    expect(control("graphLaunches") - launches).toBe(2);

    // From the device's memory, too.
    using input = DeviceTensor.allocate(model.device, images.shape);
    using output = DeviceTensor.allocate(model.device, [260, 10]);
    await input.write(images);
    await model.forward(input, { into: { y: output } });
    const onDevice = (await output.read()).data;
    for (const i of [0, 255, 256, 259]) {
      const image = new Tensor(shape, images.data.slice(i * 3072, (i + 1) * 3072) as Float32Array);
      const alone = (await model.forward(image)).data as Float32Array;
      for (const [j, x] of alone.entries())
        for (const all of [data, onDevice] as Float32Array[])
          expect(Math.abs(x - all[i * 10 + j]!) / (1 + Math.abs(x))).toBeLessThan(2e-3);
    }

    const controller = new AbortController();
    const aborted = model.forward(images, { signal: controller.signal }).catch(String);
    controller.abort("enough");
    expect(await aborted).toMatch(/enough/);

    const huge = new GraphBuilder();
    const record = huge.finish({ y: huge.relu(huge.input("x", [8, 20000, 20000])) });
    const store = new ParameterStore(model.device, [], "float16");
    const graph = Graph.compile(model.device, record, store);
    expect(await caught(graph.prepare(1))).toMatchObject({
      code: "UNSUPPORTED",
      message:
        "Expected at most 2147483647 elements in each value of one image on a GPU, and there are 3200000000",
    });
    await graph.dispose();
    await store.dispose();
    await model.dispose();
  });

  it("launches what was said of it without a GPU", async () => {
    const model = await network(await openDevice("cuda", { deterministic: true }));
    const { values, rows, inputs, outputs, parameters } = model.record;
    const record = {
      values,
      rows,
      inputs: Object.values(inputs),
      outputs: Object.values(outputs),
    };
    const kinds = ["kernelLaunches", "cudnnExecutions", "matmuls", "copies"];
    const kernels = [];
    for (const batch of [1, 16]) {
      const images = Tensor.randn([batch, 3, 32, 32]);
      await model.forward(images);
      const before = kinds.map((kind) => control(kind));
      await model.forward(images);
      const ran = kinds.map((kind, i) => control(kind) - before[i]!);
      const steps = native().stepCosts(record, parameters, {
        precision: "float16",
        batch,
        form: null,
      });
      const said = ["", "cuDNN", "cuBLASLt", "copy"].map(
        (name) =>
          steps.filter(({ kernel }) => (name === "" ? kernel.includes("_") : kernel === name))
            .length,
      );
      said[3]! += 2; // the upload and the download
      expect(ran).toEqual(said);
      kernels.push(steps.map(({ kernel }) => kernel));
    }
    // Input, layers and output: 10 classes are padded, so that they do not lie as the API has them.
    expect(kernels[0]).toEqual([
      "firstLayer_floats_pool_f16",
      "cuDNN",
      "adaptiveAvgPool2d_f16",
      "gemv1_f16_f32",
      "toChannelsFirst_f32",
    ]);
    expect(kernels[1]![3]).toBe("cuBLASLt");
    await model.dispose();
  });

  it("copies nothing for DeviceTensors that are reused, and remembers the last eight", async () => {
    const device = await openDevice("cuda");
    const model = await network(device);
    const allocate = (...dimensions: number[]) => DeviceTensor.allocate(device, dimensions);
    const copies = [];
    const answers = [];
    await model.forward(Tensor.randn(shape)); // to prepare it copies, too
    const pairs = Array.from({ length: 10 }, () => [allocate(...shape), allocate(1, 10)] as const);
    // The first with these, later ones, others, and the first once more.
    for (const pair of [pairs[0]!, pairs[0]!, pairs[0]!, ...pairs, pairs[9]!, pairs[0]!]) {
      const [input, output] = pair;
      await input.write(Tensor.randn(shape, 7));
      const before = control("copies");
      await model.forward(input, { into: { y: output } });
      copies.push(control("copies") - before);
      answers.push((await output.read()).data);
    }
    const ofEach = [2, 2, 2, 2, 2, 2, 2, 2, 2];
    expect(copies).toEqual([2, 0, 0, 0, ...ofEach, 0, 2]);
    for (const data of answers) expect(data).toEqual(answers[0]);

    // A forward into its own input.
    const b = new GraphBuilder();
    const record = b.finish({ y: b.relu(b.input("x", [4])) });
    const graph = Graph.compile(device, record, model.store);
    const both = allocate(1, 4);
    for (let i = 0; i < 3; i++) {
      await both.write(new Tensor([1, 4], new Float32Array([-1, 2, -3, 4])));
      await graph.run({ x: both }, { into: { y: both } });
    }
    expect([...(await both.read()).data]).toEqual([0, 2, 0, 4]);
    await graph.dispose();
    await model.dispose();
    expect(control("graphExecs")).toBe(0);
    for (const tensor of [...pairs.flat(), both]) tensor.dispose();
  });

  it("is read and written without waiting for runs that do not use it", async () => {
    const model = await network(await openDevice("cuda"));
    using input = DeviceTensor.allocate(model.device, shape);
    using early = DeviceTensor.allocate(model.device, [1, 10]);
    using late = DeviceTensor.allocate(model.device, [1, 10]);
    await input.write(Tensor.randn(shape));
    await model.forward(input, { into: { y: early } });
    control("delayMicroseconds", 30_000);
    const before = control("graphLaunches");
    const runs = [1, 2, 3].map(() => model.forward(input, { into: { y: late } }));
    const { data } = await early.read();
    expect(control("graphLaunches") - before).toBe(0);
    expect((await late.read()).data).toEqual(data);
    expect(control("graphLaunches") - before).toBe(3);
    await Promise.all(runs);
    control("delayMicroseconds", 0);
    expect(control("misuseCount")).toBe(0);
    await model.dispose();
  });

  it("keeps the order of many forwards, of writes and of disposal", async () => {
    const model = await network(await openDevice("cuda"));
    const image = Tensor.randn(shape);
    const first = (await model.forward(image)).data as Float32Array;
    const controller = new AbortController();
    const order: (number | string)[] = [];
    const runs = Array.from({ length: 30 }, (_, i) => {
      const signal = i === 20 ? controller.signal : undefined;
      return model.forward(image, signal ? { signal } : {}).then(
        ({ data }) => order.push(data.every((x, j) => x === data[j]) ? i : -1),
        (error) => order.push(`${i} ${error}`),
      );
    });
    controller.abort("enough");
    const changed = model.store.set("f", new Tensor([10], new Float32Array(10).fill(100)));
    const after = model.forward(image);
    await Promise.all(runs);
    await changed;
    const shift = ((await after).data[0] as number) - first[0]!;
    await model.dispose();
    const expected = Array.from({ length: 30 }, (_, i) => i).filter((i) => i !== 20);
    expect(order.filter((entry) => typeof entry === "number")).toEqual(expected);
    expect(order).toContain("20 enough");
    expect(shift).toBeGreaterThan(50);
  });
});
