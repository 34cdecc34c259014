// Prints the memory of the process after loading VGG11, and after 200 forwards. Run with: node --expose-gc bench/memory.mjs
import { Tensor, Vgg } from "../dist/index.js";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const rss = () => {
  globalThis.gc?.();
  return process.memoryUsage().rss;
};

const start = rss();
const model = await Vgg.create("vgg11");
const loaded = rss();
const image = Tensor.randn([1, 3, 224, 224]);
await model.warmup([1]);
const warm = rss();
for (let i = 0; i < 200; i++) await model.forward(image);
const after = rss();
const { parameterBytes, activationBytes } = model.device.memoryStats();
const weights = model.parameterCount * 4;
console.log(`Node alone ${megabytes(start)}; weights ${megabytes(weights)}`);
console.log(
  `after create ${megabytes(loaded)}, that is ${((loaded - start) / weights).toFixed(2)} × the weights`,
);
console.log(`after the first forward ${megabytes(warm)}, after 200 more ${megabytes(after)}`);
console.log(
  `the device's own account: parameters ${megabytes(parameterBytes)}, activations ${megabytes(activationBytes)}`,
);
await model.dispose();
