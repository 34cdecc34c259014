// The logits of a batch of images, and the five best classes of each.
import { Tensor, Vgg } from "vgg-cudnn";

const model = await Vgg.create("vgg11", { seed: 1 });
const logits = await model.forward(Tensor.randn([2, 3, 224, 224], 7));
for (let image = 0; image < logits.shape[0]; image++) {
  const row = logits.data.subarray(image * model.numClasses, (image + 1) * model.numClasses);
  const best = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 5);
  console.log(`image ${image}: classes ${best.join(", ")}`);
}
await model.dispose();
