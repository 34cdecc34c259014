// Reads, changes and copies parameters by torchvision's names.
import { Tensor, Vgg } from "vgg-cudnn";

const options = { imageSize: 64, numClasses: 10 };
const model = await Vgg.create("vgg11_bn", { ...options, seed: 1 });
for (const { name, shape, dtype } of model.parameters()) console.log(name, shape, dtype);

await model.setParameter("classifier.6.bias", new Tensor([10], new Float32Array(10).fill(0.5)));
console.log((await model.getParameter("classifier.6.bias")).data);

const copy = await Vgg.create("vgg11_bn", options);
await copy.loadStateDict(await model.stateDict());
await Promise.all([model.dispose(), copy.dispose()]);
