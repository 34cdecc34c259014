// Measures what skipping zeros saves: the time of VGG11's first linear layer by the share of nonzero inputs.
// node bench/zeros.mjs [--device cpu] [--precision float32] [--batch 1]. On a GPU also run it with --linear dense and --linear sparse
import { parseArgs } from "node:util";
import { openForcedGpu } from "../dist/device/device.js";
import { Graph, GraphBuilder, openDevice, ParameterStore, Tensor } from "../dist/index.js";
import { table } from "./markdown.mjs";
import { median, percentile } from "./statistics.mjs";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cpu" },
    precision: { type: "string", default: "float32" },
    batch: { type: "string", default: "1" },
    linear: { type: "string" },
  },
});
const batch = Number(values.batch);
const inputs = 25_088;
const outputs = 4_096;

const builder = new GraphBuilder();
const weight = builder.parameter("weight", [outputs, inputs]);
// A GPU skips zeros only after a ReLU.
const record = builder.finish({
  y: builder.gemm(builder.relu(builder.input("x", [inputs])), weight),
});
const device = await (values.linear
  ? openForcedGpu({ linear: values.linear })
  : openDevice(values.device));
const store = new ParameterStore(device, record.parameters, values.precision);
const graph = Graph.compile(device, record, store);
await store.fillNormal("weight", 0.01, 1);

const shares = [1, 0.8, 0.6, 0.4, 0.2, 0.1, 0];
const runs = 5; // Runs of each share, in turns.
const measured = shares.map(() => []);
for (let run = 0; run < runs; run++) {
  for (const [i, share] of shares.entries()) {
    const normal = Tensor.randn([batch, inputs], 2);
    const x = new Tensor(normal.shape, normal.data.map(Math.abs));
    // The same inputs are zero in each row, without a pattern.
    const draws = Tensor.randn([inputs], 3).data;
    const limit = share === 0 ? Number.NEGATIVE_INFINITY : percentile([...draws], share);
    for (let at = 0; at < x.data.length; at++) if (draws[at % inputs] > limit) x.data[at] = 0;
    const { steps } = await graph.profile({ x }, { iterations: 5 });
    measured[i].push(steps.find(({ kind }) => kind === "gemm"));
  }
}
const rows = shares.map((share, i) => {
  const ms = median(measured[i].map(({ medianMs }) => medianMs));
  const [{ bytes }] = measured[i];
  return [
    `${100 * share} %`,
    ms.toPrecision(3),
    (bytes / 1e6).toFixed(0),
    (bytes / ms / 1e6).toFixed(0),
  ];
});
console.log(`${device} in ${values.precision}, batch ${batch}\n`);
console.log(table(["inputs not zero", "ms", "MB read", "GB/s"], rows));
await graph.dispose();
await store.dispose();
