// `npm run test:hostile`: a good part of the suite while Object.prototype has a value for every name that the package knows.
import { defineConfig } from "vitest/config";
import { file, run } from "./vitest.config.ts";

// Not what downloads: undici and Node's http take options from their own objects. Not the names of weights: their many objects take minutes here.
const files = [
  ...["addon/image", "addon/image-bmp", "addon/image-formats", "addon/image-pnm", "addon/tensor"],
  ...["addon/image-refused", "device/device", "device/graph", "device/profile"],
  ...["device/refusals", "device/vgg", "library/builder", "library/checkpoint"],
  ...["library/checkpoint-pickle", "library/checkpoint/beside", "library/checkpoint/labels"],
  ...["library/safetensors", "library/topology"],
  ...["device/preprocessing", "library/preprocessing/stated"],
  ...["library/weights/label-file", "device/batching", "device/batching-refusals"],
];

export default defineConfig({
  test: {
    ...run,
    ...file,
    include: files.map((name) => `test/${name}.test.ts`),
    setupFiles: ["test/hostile/prototypes.ts"],
  },
});
