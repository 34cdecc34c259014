// The modes of cuda.mjs that are about what the back end chooses between.
import { openForcedGpu } from "../../../dist/device/device.js";
import {
  DeviceTensor,
  Graph,
  GraphBuilder,
  openDevice,
  ParameterStore,
  Tensor,
} from "../../../dist/index.js";
import { args, caught, control, network, shape } from "./process.mjs";

const forced = JSON.parse(process.env.FORCED_KERNELS ?? "{}");

/** Runs convolutions with and without a pool. Returns their outputs, and cuDNN's executions of one forward. */
async function convolve(device) {
  const b = new GraphBuilder();
  let y = b.relu(b.input("x", [64, 12, 20]));
  for (const [i, channels] of [64, 64, 128].entries()) {
    const weight = b.parameter(`w${i}`, [channels, 64, 3, 3]);
    const bias = b.parameter(`b${i}`, [channels]);
    y = b.conv2d(y, weight, { bias, padding: 1, relu: true });
    if (i === 1) y = b.maxPool2d(y);
  }
  const record = b.finish({ y });
  const store = new ParameterStore(device, record.parameters, "float16");
  const graph = Graph.compile(device, record, store);
  for (const [i, { name }] of record.parameters.entries()) await store.fillNormal(name, 0.05, 1, i);
  const x = Tensor.randn([2, 64, 12, 20], 2);
  await graph.run({ x });
  const before = control("cudnnExecutions");
  const { data } = (await graph.run({ x })).y;
  const executions = control("cudnnExecutions") - before;
  await graph.dispose();
  await store.dispose();
  return { data: [...data], executions };
}

export const choices = {
  /** One forward, by what the cache holds and what it costs. */
  async forward() {
    const device = await openDevice("cuda", { deterministic: args[0] === "deterministic" });
    const model = await network(device, { seed: 3 });
    // More than our own kernel for linear layers takes.
    const image = args[0] === "batch" ? Tensor.randn([9, 3, 32, 32]) : Tensor.randn(shape);
    const { data } = await model.forward(image);
    const [executions, matmuls] = ["cudnnExecutions", "matmuls"].map((name) => control(name));
    await model.forward(image);
    return {
      data: [...data],
      executions,
      compilations: control("compilations"),
      matmuls,
      // Of one forward.
      steady: control("matmuls") - matmuls,
      convolutions: control("cudnnExecutions") - executions,
      misuse: control("misuseCount"),
    };
  },

  /** Where each engine of cuDNN's computes wrong numbers. */
  async wrong() {
    const outcomes = [];
    for (const deterministic of [false, true]) {
      const device = await openDevice("cuda", { deterministic });
      const model = await network(device);
      const { code, message } = await caught(model.forward(Tensor.randn(shape)));
      outcomes.push({ code, message });
      await model.dispose();
      device.dispose();
    }
    return { outcomes, misuse: control("misuseCount") };
  },

  /** A device with kernels that do not exist. */
  async refused() {
    return caught(openForcedGpu(forced));
  },

  /** Convolutions that our own kernel can do: cuDNN's executions of one forward. */
  async convolutions() {
    const device = await (args[0] === "deterministic"
      ? openDevice("cuda", { deterministic: true })
      : openForcedGpu(forced));
    return {
      ...(await convolve(device)),
      launches: control("kernelLaunches"),
      misuse: control("misuseCount"),
    };
  },

  /** The same on several devices of one process. */
  async beside() {
    const executions = {};
    for (const kernels of [{ form: "cudnn" }, { form: "direct" }, { linear: "sparse" }]) {
      const device = await openForcedGpu(kernels);
      executions[device] = (await convolve(device)).executions;
    }
    return { executions, misuse: control("misuseCount") };
  },

  /** A forward of many small linear layers, then a large one: counts how often its weight is kept. */
  async deep() {
    const device = await openDevice("cuda");
    const b = new GraphBuilder();
    const sizes = [...Array(70).fill(8), 8200, 4096];
    let y = b.input("x", [8]);
    for (const [i, outputs] of sizes.slice(1).entries()) {
      const weight = b.parameter(`${i}.weight`, [outputs, sizes[i]]);
      y = b.gemm(y, weight, { bias: b.parameter(`${i}.bias`, [outputs]), relu: true });
    }
    const record = b.finish({ y });
    const store = new ParameterStore(device, record.parameters, "float16");
    const graph = Graph.compile(device, record, store);
    for (const { name } of record.parameters) await store.fill(name, 0);
    await graph.run({ x: Tensor.randn([1, 8]) });
    const copies = Math.round(device.memoryStats().parameterBytes / (2 * 8200 * 4096));
    await graph.dispose();
    await store.dispose();
    return {
      copies,
      launches: control("kernelLaunches"),
      left: control("deviceAllocations"),
      misuse: control("misuseCount"),
    };
  },

  /**
   * A linear layer of half zeros, with what is written to its weight between forwards; the bytes of parameters at the end.
   * With "once" there is one forward and nothing is written: of a large weight each write takes the fake GPU seconds.
   */
  async linear() {
    const isOnce = args.at(-1) === "once";
    const [inputs, outputs, fillingBytes] = args.filter((each) => each !== "once").map(Number);
    const b = new GraphBuilder();
    const weight = b.parameter("weight", [outputs, inputs]);
    const bias = b.parameter("bias", [outputs]);
    const y = b.gemm(b.relu(b.input("x", [inputs])), weight, { bias });
    const record = b.finish({ y });
    const x = Tensor.randn([1, inputs], 2);
    x.data[0] = -1;
    const answers = [];
    let parameterBytes, used, bytes;
    for (const kind of ["cpu", "cuda"]) {
      const device = await (kind === "cpu" ? openDevice(kind) : openForcedGpu(forced));
      const store = new ParameterStore(
        device,
        record.parameters,
        kind === "cpu" ? "float32" : "float16",
      );
      const graph = Graph.compile(device, record, store);
      await store.fillNormal("bias", 1, 3);
      const own = [];
      const forward = async () => own.push((await graph.run({ x })).y.data);
      let filling;
      if (kind === "cuda" && fillingBytes) {
        await store.fill("weight", 0);
        await graph.run({ x: Tensor.randn([2, inputs]) });
        filling = DeviceTensor.allocate(device, [fillingBytes / 4]);
      }
      await store.fillNormal("weight", inputs ** -0.5, 4);
      await forward();
      const values = isOnce ? [] : (await store.get("weight")).data;
      for (const first of isOnce ? [] : [Number.POSITIVE_INFINITY, 0.5]) {
        values[0] = first; // of an input that is zero
        await store.set("weight", new Tensor([outputs, inputs], values));
        await forward();
      }
      answers.push(own);
      if (kind === "cuda") {
        parameterBytes = device.memoryStats().parameterBytes;
        const { steps } = await graph.profile({ x }, { iterations: 1 });
        const step = steps.find(({ kind }) => kind.endsWith("gemm"));
        used = step.products / outputs;
        bytes = step.bytes;
      }
      filling?.dispose();
      await graph.dispose();
      await store.dispose();
    }
    const [onCpu, onGpu] = answers;
    // The greatest difference of each forward; NaN belongs to the first output alone.
    const worst = onGpu.map((row, i) =>
      row.reduce(
        (most, value, j) =>
          Number.isNaN(value) && Number.isNaN(onCpu[i][j])
            ? most
            : Math.max(most, Math.abs(value - onCpu[i][j])),
        0,
      ),
    );
    return {
      worst,
      firsts: onGpu.map(([first]) => Number.isNaN(first)),
      parameterBytes,
      positive: x.data.filter((value) => value > 0).length,
      used,
      bytes,
      launches: control("kernelLaunches"),
      left: control("deviceAllocations"),
      misuse: control("misuseCount"),
    };
  },
};
