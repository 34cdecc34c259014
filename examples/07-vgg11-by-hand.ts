// Builds VGG11 layer by layer, prints the layers and the number of parameters, and runs the network once.
import { Graph, GraphBuilder, openDevice, Tensor, type Value } from "vgg-cudnn";

const builder = new GraphBuilder();
const show = (name: string, { shape }: Value) =>
  console.log(name.padEnd(22), `(N, ${shape.join(", ")})`);

let value: Value = builder.input("images", [3, 224, 224]); // (N, C, H, W)
show("images", value);

// A number is the filter count of a 3 × 3 convolution with padding 1. "M" is a 2 × 2 max pool.
const configuration = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"] as const;
let index = 0; // torchvision's module number. A convolution and its ReLU are two modules.
for (const filters of configuration) {
  const name = `features.${index}`;
  if (filters === "M") {
    value = builder.maxPool2d(value, { size: 2 });
    index += 1;
    show(`${name} maxPool2d`, value);
  } else {
    const weight = builder.parameter(`${name}.weight`, [filters, value.shape[0]!, 3, 3]);
    const bias = builder.parameter(`${name}.bias`, [filters]);
    value = builder.conv2d(value, weight, { bias, padding: 1, relu: true });
    index += 2;
    show(`${name} conv2d`, value);
  }
}

value = builder.flatten(builder.adaptiveAvgPool2d(value, [7, 7]));
show("flatten", value);
for (const [name, outputs] of [
  ["classifier.0", 4096],
  ["classifier.3", 4096],
  ["classifier.6", 1000],
] as const) {
  const weight = builder.parameter(`${name}.weight`, [outputs, value.shape[0]!]);
  const bias = builder.parameter(`${name}.bias`, [outputs]);
  value = builder.gemm(value, weight, { bias, relu: name !== "classifier.6" });
  show(`${name} gemm`, value);
}
const record = builder.finish({ logits: value });

const sizeOf = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1);
const total = record.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
console.log(`${total.toLocaleString("en-US")} parameters`);

const graph = Graph.compile(await openDevice(), record);
for (const [stream, { name, shape }] of record.parameters.entries()) {
  const fanOut = shape[0]! * 9;
  if (shape.length === 1) await graph.parameters.fill(name, 0);
  else if (shape.length === 2) await graph.parameters.fillNormal(name, 0.01, 1, stream);
  else await graph.parameters.fillNormal(name, Math.sqrt(2 / fanOut), 1, stream);
}
const { logits } = await graph.run({ images: Tensor.randn([1, 3, 224, 224]) });
console.log(logits.shape);
await graph.dispose();
