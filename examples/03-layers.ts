// Prints the outputs of inner layers, by torchvision's module names.
import { Tensor, Vgg } from "vgg-cudnn";

const model = await Vgg.create("vgg11", { seed: 1 });
const names = model.summary().layers.map(({ name }) => name);
const layers = await model.forward(Tensor.randn([1, 3, 224, 224], 7), { outputs: names });
for (const [name, { shape, data }] of Object.entries(layers)) {
  const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
  console.log(name.padEnd(14), `(${shape.join(", ")})`.padEnd(20), mean.toFixed(4));
}
await model.dispose();
