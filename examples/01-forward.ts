// The logits of a batch of images, and the five best classes of each.
import { Tensor, Vgg } from "vgg-cudnn";

const model = await Vgg.create("vgg11", { seed: 1 });
const images = Tensor.randn([2, 3, 224, 224], 7);
const logits = await model.forward(images);
for (const image of [0, 1]) {
  const row = logits.data.subarray(image * model.numClasses, (image + 1) * model.numClasses);
  const ranked = [...row.entries()].sort(([, a], [, b]) => b - a);
  const best = ranked.slice(0, 5).map(([index]) => index);
  console.log(`image ${image}: classes ${best.join(", ")}`);
}
await model.dispose();
