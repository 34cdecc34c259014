// Our VGG11 for measurements: one set of parameters, a graph from float32 images and one from pixels, and the modes of running them.
import { imageNetMean, imageNetStd } from "../dist/image/preprocessing.js";
import {
  DeviceTensor,
  Graph,
  GraphBuilder,
  openDevice,
  ParameterStore,
  Tensor,
} from "../dist/index.js";
import { recordForward, recordModules } from "../dist/vgg/record.js";
import { logitsName, topology } from "../dist/vgg/topology.js";
import { difference } from "./common.mjs";

/** Records the network from uint8 pixels (N, H, W, 3), as `classify` sends them, to logits. */
function recordPixels(network) {
  const builder = new GraphBuilder();
  const pixels = builder.input("pixels", [network.imageSize, network.imageSize, 3], "uint8");
  const image = builder.normalize(pixels, { mean: imageNetMean, std: imageNetStd });
  const { value } = recordModules(builder, network, image, []);
  return builder.finish({ [logitsName]: value });
}

/** Fills a store with random parameters that keep activations in the order of 1. */
async function fill(store, parameters) {
  for (const [i, { name, shape }] of parameters.entries()) {
    const fan = shape.slice(1).reduce((product, extent) => product * extent, 1);
    await store.fillNormal(name, shape.length > 1 ? Math.sqrt(2 / fan) : 0.01, 1, i);
  }
}

/** The CPU's logits of a few images with the same parameters, by image size. */
const references = new Map();
const referenceImages = 2;
async function referenceOf(imageSize) {
  if (!references.has(imageSize)) {
    const device = await openDevice("cpu");
    const record = recordForward(topology("vgg11", { imageSize }), [logitsName]);
    const store = new ParameterStore(device, record.parameters, "float32");
    const graph = Graph.compile(device, record, store);
    await fill(store, record.parameters);
    const input = Tensor.randn([referenceImages, 3, imageSize, imageSize], 1);
    const logits = (await graph.run({ input }))[logitsName].data;
    references.set(imageSize, { images: input.data, logits });
    await graph.dispose();
    await store.dispose();
  }
  return references.get(imageSize);
}

export class OurVgg {
  /** Creates a model with its own parameters. The values are the same in each. `isQuick` makes few calls. */
  static async create(device, precision, imageSize, isQuick) {
    const ours = new OurVgg();
    const network = topology("vgg11", { imageSize });
    const record = recordForward(network, [logitsName]);
    Object.assign(ours, { device, precision, imageSize, isQuick });
    ours.inFlight = isQuick ? 2 : 4;
    /** Minimum calls of a mode in one round. */
    ours.leastCalls = isQuick ? 1 : 3;
    ours.store = new ParameterStore(device, record.parameters, precision);
    ours.floats = Graph.compile(device, record, ours.store);
    ours.pixels = Graph.compile(device, recordPixels(network), ours.store);
    await fill(ours.store, record.parameters);
    return ours;
  }

  async dispose() {
    await this.floats.dispose();
    await this.pixels.dispose();
    await this.store.dispose();
  }

  /** Returns a function for each mode, which measures for `sliceMs` and returns milliseconds. */
  async prepare(batch, sliceMs) {
    const { device, imageSize, inFlight } = this;
    const images = Tensor.randn([batch, 3, imageSize, imageSize], batch);
    const reference = await referenceOf(imageSize);
    const compared = Math.min(batch, referenceImages);
    const values = images.data.length / batch;
    images.data.set(reference.images.subarray(0, compared * values));
    const bytes = new Uint8Array(batch * imageSize * imageSize * 3);
    for (let i = 0, state = batch; i < bytes.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      bytes[i] = state >>> 24;
    }
    const pixels = new Tensor([batch, imageSize, imageSize, 3], bytes);
    const inputs = [];
    const outputs = [];
    for (let slot = 0; slot < inFlight; slot++) {
      inputs.push(DeviceTensor.allocate(device, images.shape));
      outputs.push(DeviceTensor.allocate(device, [batch, 1000]));
      await inputs[slot].write(images);
    }
    const onDevice = (slot) =>
      this.floats.run({ input: inputs[slot] }, { into: { [logitsName]: outputs[slot] } });
    const fromFloats = () => this.floats.run({ input: images });
    const fromPixels = () => this.pixels.run({ pixels });
    const start = performance.now();
    await fromFloats();
    const prepareMs = performance.now() - start;
    // Pin the memory for all calls that will be under way.
    for (const call of [fromFloats, fromPixels])
      await Promise.all(Array.from({ length: inFlight }, call));
    for (let slot = 0; slot < inFlight; slot++) await onDevice(slot);
    const logits = (await outputs[0].read()).data.subarray(0, compared * 1000);
    return {
      prepareMs,
      /** The difference of the first images' logits from the CPU's, relative to the largest. */
      error: difference(logits, reference.logits.subarray(0, compared * 1000)),
      modes: {
        device: () => latencies(onDevice, sliceMs, this.leastCalls),
        "device, queued": () => pipelined(onDevice, sliceMs, this),
        pixels: () => latencies(fromPixels, sliceMs, this.leastCalls),
        "pixels, queued": () => pipelined(fromPixels, sliceMs, this),
        floats: () => latencies(fromFloats, sliceMs, this.leastCalls),
        "floats, queued": () => pipelined(fromFloats, sliceMs, this),
      },
      /** Milliseconds of each step on the GPU's clock. Null if this version has no profile. */
      profile: async () =>
        typeof this.floats.profile === "function"
          ? (await this.floats.profile({ input: images }, this.isQuick ? { iterations: 1 } : {}))
              .steps
          : null,
      dispose: () => {
        for (const tensor of [...inputs, ...outputs]) tensor.dispose();
      },
    };
  }
}

/** Milliseconds of each call, one after the other. */
async function latencies(work, sliceMs, leastCalls) {
  const times = [];
  const until = performance.now() + sliceMs;
  do {
    const start = performance.now();
    await work(0);
    times.push(performance.now() - start);
  } while (performance.now() < until || times.length < leastCalls);
  return times;
}

/** Milliseconds per call with several in flight, each with separate buffers. */
async function pipelined(work, sliceMs, { inFlight, leastCalls }) {
  let count = 0;
  const start = performance.now();
  const chain = async (slot) => {
    for (let i = 0; i < leastCalls || performance.now() - start < sliceMs; i++) {
      await work(slot);
      count++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, slot) => chain(slot)));
  return [(performance.now() - start) / count];
}
