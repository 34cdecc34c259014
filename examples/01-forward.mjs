// The logits of a batch of images, and the five best classes of each.
import { Tensor, Vgg } from "vgg-cudnn";

const model = await Vgg.create("vgg11", { seed: 1 });
const { shape, data } = await model.forward(Tensor.randn([2, 3, 224, 224], 7));
const logits = /** @type {Float32Array} */ (data);
for (let image = 0; image < shape[0]; image++) {
  const row = logits.subarray(image * model.numClasses, (image + 1) * model.numClasses);
  const best = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 5);
  console.log(`image ${image}: classes ${best.join(", ")}`);
}
await model.dispose();
