// The CPU's results have the same bits for any number of threads.
import { describe, expect, it } from "vitest";
import {
  type Device,
  type DeviceOptions,
  Graph,
  GraphBuilder,
  listDevices,
  openDevice,
  ParameterStore,
  type Precision,
  Tensor,
  Vgg,
} from "../../lib/index.ts";
import { isSlow } from "../support/devices.ts";

type InstructionSet = NonNullable<DeviceOptions["instructionSet"]>;

const cpu = listDevices().find(({ kind }) => kind === "cpu")!;
const instructionSets = cpu.instructionSets as InstructionSet[];
const offered = await Promise.all(
  instructionSets.map(async (instructionSet) => {
    const device = await openDevice("cpu", { instructionSet });
    const { precisions } = device.info;
    device.dispose();
    return precisions.map((precision) => ({ instructionSet, precision }));
  }),
);

/** The names of outputs whose bits are not the same in all runs. */
function differences(all: Record<string, Tensor>[]): string[] {
  const bits = ({ data }: Tensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Object.keys(all[0]!).filter((name) =>
    all.some((outputs) => !bits(outputs[name]!).equals(bits(all[0]![name]!))),
  );
}

/** A direct convolution, Winograd convolutions run image by image and by whole batches, and linear layers of odd sizes. */
function smallNetwork() {
  const builder = new GraphBuilder();
  const parameter = (name: string, ...shape: number[]) => builder.parameter(name, shape);
  const input = builder.input("x", [3, 20, 20]);
  const outputs: Record<string, typeof input> = {};
  let x = input;
  const sizes = [3, 32, 64, 256, 512, 512];
  for (let i = 0; i + 1 < sizes.length; ++i) {
    const weight = parameter(`conv${i}`, sizes[i + 1]!, sizes[i]!, 3, 3);
    x = builder.conv2d(x, weight, { padding: 1, relu: true });
    if (i === 0 || i > 2) x = builder.maxPool2d(x, { size: 2, stride: 2 });
    outputs[`conv${i}`] = x;
  }
  x = builder.flatten(x);
  for (const [i, size] of [2100, 1030, 10].entries()) {
    x = builder.gemm(x, parameter(`gemm${i}`, size, x.shape[0]!), { relu: i < 2 });
    outputs[`gemm${i}`] = x;
  }
  return builder.finish(outputs);
}

/** The small network's outputs for each batch size. */
async function computeSmall(device: Device, precision: Precision, batches: readonly number[]) {
  const record = smallNetwork();
  const store = new ParameterStore(device, record.parameters, precision);
  for (const [i, { name, shape }] of record.parameters.entries()) {
    const fanIn = shape.slice(1).reduce((a, b) => a * b);
    await store.fillNormal(name, Math.sqrt(2 / fanIn), i);
  }
  const graph = Graph.compile(device, record, store);
  try {
    const all: Record<string, Tensor> = {};
    for (const batch of batches) {
      const outputs = await graph.run({ x: Tensor.randn([batch, 3, 20, 20], 50) });
      for (const [name, tensor] of Object.entries(outputs as Record<string, Tensor>))
        all[`${name} of ${batch}`] = tensor;
    }
    return all;
  } finally {
    await graph.dispose();
    await store.dispose();
  }
}

describe("a forward has the same bits for any number of threads", () => {
  it.each(offered.flat())(
    "with $instructionSet in $precision",
    async ({ instructionSet, precision }) => {
      const all = [];
      // 16 and more threads take several images at once through the first layers. One thread takes them one by one.
      for (const threads of isSlow ? [1, 3, 33] : [1, 2, 3, 4, 7, 8, 16, 33]) {
        const device = await openDevice("cpu", { threads, instructionSet });
        all.push(await computeSmall(device, precision, [1, 2, 3, 5, 8, 16, 17]));
        device.dispose();
      }
      expect(differences(all)).toEqual([]);
    },
  );

  it("in VGG11 at 224 × 224", async () => {
    const all = [];
    for (const threads of isSlow ? [1, 24] : [1, 2, 5, 24]) {
      const device = await openDevice("cpu", { threads });
      const model = await Vgg.create("vgg11", { device, hiddenFeatures: 512, seed: 3 });
      const outputs: Record<string, Tensor> = {};
      for (const batch of [1, 7])
        outputs[`logits of ${batch}`] = await model.forward(
          Tensor.randn([batch, 3, 224, 224], batch),
        );
      all.push(outputs);
      await model.dispose();
      device.dispose();
    }
    expect(differences(all)).toEqual([]);
  });
});
