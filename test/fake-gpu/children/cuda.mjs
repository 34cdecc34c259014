// What the tests of the CUDA back end run on the fake libraries in a separate process: prints one JSON object.
import { once } from "node:events";
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, Worker } from "node:worker_threads";
import {
  DeviceTensor,
  diagnose,
  Graph,
  GraphBuilder,
  listDevices,
  openDevice,
  ParameterStore,
  Tensor,
  Vgg,
} from "../../../dist/index.js";
import { native } from "../../../dist/native/load.js";
import {
  args,
  caught,
  control,
  counts,
  file,
  mode,
  network,
  shape,
} from "../../children/fake-gpu.mjs";
import { choices } from "./cuda-choices.mjs";

const small = { imageSize: 32, numClasses: 10 };

const modes = {
  ...choices,

  async devices() {
    const device = await openDevice("auto");
    const error = await caught(openDevice("cuda"));
    return { listed: listDevices(), auto: device.info, error, diagnosis: diagnose() };
  },

  /** What models leave behind: the same after the second as after the first. */
  async leaks() {
    const seen = [];
    for (let i = 0; i < 2; i++) {
      const model = await network(await openDevice("cuda"));
      await Promise.all([1, 2, 3].map((n) => model.forward(Tensor.randn([n, 3, 32, 32]))));
      await model.dispose();
      seen.push({ ...counts(), memory: model.device.memoryStats() });
    }
    return { seen, misuse: control("misuseCount") };
  },

  /** A profile beside runs that are under way, and what it leaves behind. */
  async profile() {
    const model = await network(await openDevice("cuda"));
    const image = Tensor.randn([3, 3, 32, 32], 1);
    const expected = await model.forward(image);
    const before = counts();
    const running = [1, 2, 3].map((seed) => model.forward(Tensor.randn([3, 3, 32, 32], seed)));
    const { outputs, steps } = await model.profile(image, { iterations: 2 });
    const [beside] = await Promise.all(running);
    const after = counts();
    await model.dispose();
    return {
      kinds: steps.map(({ kind }) => kind),
      times: steps.map(({ medianMs }) => medianMs),
      isSame: [outputs.y, beside].map(({ data }) =>
        Buffer.from(data.buffer).equals(Buffer.from(expected.data.buffer)),
      ),
      before,
      after,
      misuse: control("misuseCount"),
    };
  },

  /** What the device reaches at most, in float32 and float16, and what measuring it leaves behind. */
  async roofline() {
    const device = await openDevice("cuda");
    const before = counts();
    const found = [];
    for (const precision of ["float32", "float16"])
      found.push(await device.native.roofline(precision));
    return { found, before, after: counts(), misuse: control("misuseCount") };
  },

  /** Many forwards at once on streams that run late: each must get its own answer. */
  async together() {
    const model = await network(await openDevice("cuda"));
    const images = Array.from({ length: 24 }, (_, i) =>
      Tensor.randn([1 + (i % 3), ...shape.slice(1)], i),
    );
    const alone = [];
    for (const image of images) alone.push((await model.forward(image)).data);
    const together = await Promise.all(images.map((image) => model.forward(image)));
    const differences = together.filter(({ data }, i) =>
      data.some((value, j) => Math.abs(value - alone[i][j]) > 1e-3 * Math.abs(alone[i][j]) + 1e-5),
    );
    await model.dispose();
    return {
      differences: differences.length,
      pinned: control("pinnedAllocations"),
      misuse: control("misuseCount"),
    };
  },

  /** A sticky error in mid-forward, of a kind that the fake knows, and what "auto" is after it. */
  async lost() {
    const model = await network(await openDevice("cuda"));
    const other = await network(await openDevice("cpu"), { precision: "float32" });
    await model.forward(Tensor.randn(shape));
    control("failKind", args[0]);
    control("failAt", control("calls") + 3);
    const pending = [1, 2, 3].map(() => caught(model.forward(Tensor.randn(shape))));
    const errors = await Promise.all(pending);
    control("failAt", 0);
    const calls = control("calls");
    const later = await caught(model.forward(Tensor.randn(shape)));
    const read = await caught(model.store.get("f"));
    const callsAfter = control("calls") - calls;
    const another = await caught(openDevice("cuda").then((device) => network(device)));
    await model.dispose();
    const image = Tensor.randn(shape, 1);
    const onCpu = (await other.forward(image)).data;
    const auto = await openDevice("auto");
    const model2 = await network(auto, { precision: "float32" });
    const isSame = (await model2.forward(image)).data.every((x, i) => x === onCpu[i]);
    return { errors, later, read, another, callsAfter, auto: auto.kind, isSame };
  },

  /** CUDA_ERROR_UNKNOWN from one call in mid-forward, and no more after it. */
  async unknown() {
    const model = await network(await openDevice("cuda"));
    const image = Tensor.randn(shape);
    const { data } = await model.forward(image);
    const errors = [];
    const same = [];
    control("failKind", 3);
    for (let call = 1; call <= 12; call++) {
      control("failAt", control("calls") + call);
      errors.push(await caught(model.forward(image)));
      control("failAt", 0);
      same.push((await model.forward(image)).data.every((x, i) => x === data[i]));
    }
    const auto = await openDevice("auto");
    return { errors, same, auto: auto.kind, misuse: control("misuseCount") };
  },

  async memory() {
    const error = await caught(Vgg.create("vgg11", { device: "cuda", ...small }));
    const model = await Vgg.create("vgg11", { device: "cuda", precision: "float16", ...small });
    const filling = DeviceTensor.allocate(model.device, [50_800_000]);
    const large = await caught(model.warmup([2]));
    filling.dispose();
    const logits = await model.forward(Tensor.randn(shape));
    return { error, large, shape: logits.shape, stats: model.device.memoryStats() };
  },

  async precisions() {
    const errors = {};
    for (const precision of ["tf32", "bfloat16", "float8"])
      errors[precision] = await caught(
        Vgg.create("vgg11", { device: "cuda", precision, ...small }),
      );
    const model = await Vgg.create("vgg11", {
      device: "cuda",
      precision: "float16",
      seed: 4,
      ...small,
    });
    const cpu = await Vgg.create("vgg11", { device: "cpu", seed: 4, ...small });
    const [a, b] = [
      await model.forward(Tensor.randn(shape)),
      await cpu.forward(Tensor.randn(shape)),
    ];
    const largest = Math.max(...b.data.map(Math.abs));
    return { errors, worst: Math.max(...a.data.map((x, i) => Math.abs(x - b.data[i]))) / largest };
  },

  /** A batch above the largest executable, from JavaScript's memory and from the device's. */
  async parts() {
    const model = await network(await openDevice("cuda"));
    const images = Tensor.randn([260, 3, 32, 32], 5);
    await model.forward(images);
    const launches = control("graphLaunches");
    const { data } = await model.forward(images);
    const parts = control("graphLaunches") - launches;
    const input = DeviceTensor.allocate(model.device, images.shape);
    const output = DeviceTensor.allocate(model.device, [260, 10]);
    await input.write(images);
    await model.forward(input, { into: { y: output } });
    const onDevice = (await output.read()).data;
    let worst = 0;
    for (const i of [0, 255, 256, 259]) {
      const image = new Tensor(shape, images.data.slice(i * 3072, (i + 1) * 3072));
      const alone = (await model.forward(image)).data;
      for (const [j, x] of alone.entries())
        for (const all of [data, onDevice])
          worst = Math.max(worst, Math.abs(x - all[i * 10 + j]) / (1 + Math.abs(x)));
    }
    const controller = new AbortController();
    const aborted = model.forward(images, { signal: controller.signal }).catch(String);
    controller.abort("enough");
    const huge = new GraphBuilder();
    const record = huge.finish({ y: huge.relu(huge.input("x", [8, 20000, 20000])) });
    const store = new ParameterStore(model.device, [], "float16");
    const tooLarge = await caught(Graph.compile(model.device, record, store).prepare(1));
    return { parts, worst, aborted: await aborted, tooLarge };
  },

  /** What a forward launches, and what it was said to. */
  async steps() {
    const model = await network(await openDevice("cuda", { deterministic: true }));
    const { values, rows, inputs, outputs, parameters } = model.record;
    const record = {
      values,
      rows,
      inputs: Object.values(inputs),
      outputs: Object.values(outputs),
    };
    const kinds = ["kernelLaunches", "cudnnExecutions", "matmuls", "copies"];
    const result = [];
    for (const batch of [1, 16]) {
      const images = Tensor.randn([batch, 3, 32, 32]);
      await model.forward(images);
      const before = kinds.map((kind) => control(kind));
      await model.forward(images);
      const ran = kinds.map((kind, i) => control(kind) - before[i]);
      const steps = native().planSteps(record, parameters, {
        precision: "float16",
        batch,
        form: null,
      });
      const said = ["", "cuDNN", "cuBLASLt", "copy"].map(
        (name) =>
          steps.filter(({ kernel }) => (name === "" ? kernel.includes("_") : kernel === name))
            .length,
      );
      said[3] += 2; // the upload and the download
      result.push({ ran, said, steps });
    }
    return result;
  },

  /** Copies on the device by forwards on DeviceTensors: of the first with these, of later ones, and of one into its input. */
  async direct() {
    const device = await openDevice("cuda");
    const model = await network(device);
    const allocate = (...dimensions) => DeviceTensor.allocate(device, dimensions);
    const copies = [];
    const answers = [];
    await model.forward(Tensor.randn(shape)); // to prepare it copies, too
    const pairs = Array.from({ length: 10 }, () => [allocate(...shape), allocate(1, 10)]);
    for (const pair of [pairs[0], pairs[0], pairs[0], ...pairs, pairs[9], pairs[0]]) {
      const [input, output] = pair;
      await input.write(Tensor.randn(shape, 7));
      const before = control("copies");
      await model.forward(input, { into: { y: output } });
      copies.push(control("copies") - before);
      answers.push((await output.read()).data);
    }
    const graphs = control("graphExecs");
    const b = new GraphBuilder();
    const record = b.finish({ y: b.relu(b.input("x", [4])) });
    const graph = Graph.compile(device, record, model.store);
    const both = allocate(1, 4);
    for (let i = 0; i < 3; i++) {
      await both.write(new Tensor([1, 4], new Float32Array([-1, 2, -3, 4])));
      await graph.run({ x: both }, { into: { y: both } });
    }
    const inPlace = [...(await both.read()).data];
    await graph.dispose();
    await model.dispose();
    const same = answers.every((data) => data.every((x, i) => x === answers[0][i]));
    return { copies, same, graphs, inPlace, left: control("graphExecs") };
  },

  /** Whether what is read waits for runs that do not use it: graphs that ran until it was there. */
  async reading() {
    const model = await network(await openDevice("cuda"));
    const allocate = (...dimensions) => DeviceTensor.allocate(model.device, dimensions);
    const [input, early, late] = [allocate(...shape), allocate(1, 10), allocate(1, 10)];
    await input.write(Tensor.randn(shape));
    await model.forward(input, { into: { y: early } });
    control("delayMicroseconds", 30_000);
    const before = control("graphLaunches");
    const runs = [1, 2, 3].map(() => model.forward(input, { into: { y: late } }));
    const { data } = await early.read();
    const ran = control("graphLaunches") - before;
    const same = (await late.read()).data.every((x, i) => x === data[i]);
    const ranForLate = control("graphLaunches") - before;
    await Promise.all(runs);
    return { ran, ranForLate, same, misuse: control("misuseCount") };
  },

  async both() {
    const models = await Promise.all(
      ["cuda:0", "cuda:1"].map(async (id) => network(await openDevice(id), { seed: 2 })),
    );
    const answers = await Promise.all(models.map((model) => model.forward(Tensor.randn(shape))));
    const foreign = await caught(openDevice("cuda:2"));
    return {
      ids: models.map(({ device }) => device.id),
      answers: answers.map(({ data }) => [...data]),
      foreign,
    };
  },

  async waiting() {
    const model = await network(await openDevice("cuda"));
    const image = Tensor.randn(shape);
    const first = (await model.forward(image)).data;
    const controller = new AbortController();
    const order = [];
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
    const shift = (await after).data[0] - first[0];
    const disposal = model.dispose();
    await disposal;
    return { order, shift };
  },

  /** What engines are still tried once the process exits, and what a listener that comes later meets. */
  async exit() {
    const model = await network(await openDevice("cuda"));
    const pending = model.forward(Tensor.randn(shape));
    pending.finally(() => console.log("settled"));
    while (control("cudnnExecutions") === 0) await sleep(1);
    let begun = 0;
    process.prependListener("exit", () => {
      begun = control("cudnnExecutions");
    });
    process.once("exit", () => {
      const executions = control("cudnnExecutions") - begun;
      const calls = control("calls");
      let code = "";
      try {
        DeviceTensor.allocate(model.device, shape);
      } catch (error) {
        code = error.code;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      const callsAfter = control("calls") - calls;
      console.log(JSON.stringify({ executions, code, callsAfter, misuse: control("misuseCount") }));
    });
    process.exit(7);
  },

  /** Exits in a main thread that never loaded the addon, so that a worker's model is freed then. */
  async "exit-worker"() {
    const worker = new Worker(new URL(import.meta.url), { argv: ["worker"] });
    await once(worker, "message");
    process.exit(7);
  },

  async worker() {
    const device = await openDevice("cuda", { deterministic: true });
    const model = await Vgg.create("vgg11", { device, ...small });
    await model.forward(Tensor.randn(shape));
    parentPort.postMessage("ready");
    await sleep(1e6, model);
  },
};

const result = await modes[mode]();
closeSync(file);
console.log(JSON.stringify(result));
