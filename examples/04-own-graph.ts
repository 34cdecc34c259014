// Builds your own network from the same operations. It takes the bytes of an image and returns the two best classes.
import { Graph, GraphBuilder, openDevice, Tensor } from "vgg-cudnn";

const builder = new GraphBuilder();
const pixels = builder.input("pixels", [16, 16, 3], "uint8"); // (N, H, W, C)
const image = builder.normalize(pixels, {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
});
const features = builder.conv2d(image, builder.parameter("conv", [8, 3, 3, 3]), {
  padding: 1,
  relu: true,
});
const row = builder.flatten(builder.maxPool2d(features));
const scores = builder.softmax(builder.gemm(row, builder.parameter("linear", [10, 8 * 8 * 8])));
const record = builder.finish(builder.topK(scores, 2));

const graph = Graph.compile(await openDevice(), record);
await graph.parameters.fillNormal("conv", 0.1, 1, 0);
await graph.parameters.fillNormal("linear", 0.1, 1, 1);
const bytes = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 7) % 256);
const { values, indices } = await graph.run({ pixels: new Tensor([1, 16, 16, 3], bytes) });
console.log(indices.data, values.data);
await graph.dispose();
